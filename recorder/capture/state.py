"""What capture knows about itself, for health pages: plain numbers, updated in passing, read at any time."""

from collections.abc import Callable
from dataclasses import dataclass, field

from recorder.journal.writer import Journal


@dataclass(slots=True)
class TopicState:
    """One topic of one symbol on one line; `frames` and `last_ns` (0: none yet) count over reconnects.

    What follows `last_ns` belongs to one connection. `heard_ns` and its kin are monotonic.
    """

    channel: str
    topic: str
    symbol: str
    needs_first: bool = False  # only a first push proves it
    needs_push: bool = False  # an acknowledgement does not prove it: it was found stale
    is_proved: bool = False
    frames: int = 0
    last_ns: int = 0  # receive_ns of the last frame
    last_frame: bytes = b""  # with the venue's own time of what came last
    heard_ns: int = 0  # of the last frame, or of the proof of life before the first
    news_ns: int = 0  # of the last frame that was no repetition of the past
    told_ns: int = 0  # of trades: of the last frame with one that no other line had brought
    longest_ns: int = 0  # longest silence between two frames since somebody looked,
    longest_from: int = 0  # receive_ns of the frame before it,
    longest_to: int = 0  # and after it
    counter: int | None = None  # `o` of the last diffMergedDepth

    def on_new_connection(self, monotonic_ns: int) -> "TopicState":
        return TopicState(
            self.channel,
            self.topic,
            self.symbol,
            self.needs_first,
            self.needs_push,
            frames=self.frames,
            last_ns=self.last_ns,
            heard_ns=monotonic_ns,
        )


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
    topics: dict[tuple[str, str], TopicState] = field(default_factory=dict)  # of the present connection


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
    looks: int = 0  # questions to REST whether a silence is the venue's own
    stale: int = 0  # streams that were found stale
    gaps: int = 0  # all that were closed, also those that were healed
    healed: int = 0  # gaps of trades
    disk_low: bool = False  # less free space than the reserve
    disk_free: int | None = None  # bytes
    rest_ok: bool | None = None  # None: not asked yet
    rest_error: str = ""
    refresh: Callable[[], None] = lambda: None  # ask for exchangeInfo now

    @property
    def journal_state(self) -> str:
        return self.journal.state
