"""Time for everything that waits: seconds of the venue, which tests and simulations let pass faster.

At pace 1 they are our own. With a simulator that runs 20 times as fast, pace 20 makes every ping,
patience and pause 20 times as short, so that all rules meet each other as they would in real time.
"""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from recorder.journal.writer import MAX_QUEUED

PACE_VARIABLE = "RECORDER_PACE"  # for simulations that start `recorder run`; not a setting


@dataclass(frozen=True, slots=True)
class Tempo:
    pace: float = 1.0

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic() * self.pace

    def later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds / self.pace, callback)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.pace)

    def own(self, seconds: float) -> float:
        """How much of our own time that is."""
        return seconds / self.pace


@dataclass(frozen=True, slots=True)
class Options:
    """What nobody sets but tests and simulations."""

    tempo: Tempo = field(default_factory=lambda: Tempo(float(os.environ.get(PACE_VARIABLE, "1"))))
    rotate_seconds: float = 12 * 3600.0  # a connection so old is replaced, before the venue may do it
    max_queued: int = MAX_QUEUED  # bytes that wait for the disk
