"""What `recorder replay` can be told, and how it says that something is wrong."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recorder.exchange.errors import ExchangeError
from recorder.exchange.faults import Script
from recorder.lake.times import Moment

Timing = Literal["receive", "exchange"]
MAX = "max"


@dataclass(frozen=True)
class ReplayOptions:
    """A range of one lake, [start, end), and how to serve it. `speed` inf: as fast as the clients read."""

    data: Path
    start: Moment = None  # None: where the lake begins
    end: Moment = None
    speed: float = 1.0
    symbols: tuple[str, ...] = ()  # none: all that were recorded
    port: int = 0  # 0: any free one
    host: str = "127.0.0.1"
    faults: Path | Script | None = None
    ledger: Path | None = None
    timing: Timing = "receive"  # rows go out in order of arrival, or of the venue's own times
    venue: str | None = None  # needed only if the lake has several
    longest_gap_seconds: float = math.inf  # of our time: what a gap of the recording lasts at most

    patience_seconds: float = 90.0  # of our time: how long clients may take to come back after a gap
    stalled_seconds: float = 10.0  # of our time: a client that has read nothing for so long is dropped
    settle_seconds: float = 1.0  # it begins when no subscription has come for so long
    idle_v1_seconds: float = 60.0
    idle_v2_seconds: float = 30.0
    buffer_limit: int = 64 * 1024 * 1024  # bytes; the replay waits for its readers long before


def speed_of(text: str) -> float:
    """Read `--speed`: a number above 0, or `max`. Raises ExchangeError."""
    try:
        speed = math.inf if text.strip().lower() == MAX else float(text)
    except ValueError:
        speed = math.nan
    check_speed(speed, text)
    return speed


def check_speed(speed: float, text: str = "") -> None:
    if not speed > 0:
        raise ExchangeError(f"--speed {text or speed}: give a number above 0 or the word max, as in --speed 20")
