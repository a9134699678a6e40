"""What capture knows about itself, for health pages: plain numbers, updated in passing, read at any time."""

from collections.abc import Callable
from dataclasses import dataclass, field

from recorder.journal.writer import Journal


@dataclass(slots=True)
class TopicState:
    """One topic of one symbol on one line; `frames` and `last_ns` (0: none yet) count over reconnects."""

    channel: str
    topic: str
    symbol: str
    needs_first: bool = False
    is_proved: bool = False  # on the present connection
    frames: int = 0
    last_ns: int = 0


@dataclass(slots=True)
class LineState:
    name: str
    url: str
    connected: bool = False
    conn: int = 0
    connects: int = 0
    frames: int = 0
    bytes: int = 0
    last_ns: int = 0  # receive_ns of the last frame, of whatever connection
    last_seq: int = 0
    round_trip_ns: int | None = None
    offset_ns: int | None = None
    topics: dict[tuple[str, str], TopicState] = field(default_factory=dict)


@dataclass(slots=True)
class CaptureState:
    session: str
    started_ns: int
    journal: Journal
    lines: dict[int, LineState] = field(default_factory=dict)
    open_gaps: int = 0
    live: int = 0
    symbols: tuple[str, ...] = ()
    unknown_frames: int = 0
    errors: int = 0  # refusals and answers that never came
    faults: int = 0  # frames that our own code stumbled over; they are in the journal
    rest_ok: bool | None = None  # None: not asked yet
    rest_error: str = ""
    refresh: Callable[[], None] = lambda: None  # ask for exchangeInfo now

    @property
    def journal_state(self) -> str:
        return self.journal.state
