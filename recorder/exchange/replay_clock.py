"""The clock of a replay: it runs as the user wished, but never past what has not been played yet.

So a machine that is too slow, a reader that is too slow, and clients that come back late after a gap all make
time pass more slowly, and lose nothing. At speed inf the clock goes from row to row.
"""

import math
import time
from collections.abc import Callable

from recorder.exchange.clock import Clock

POLL_SECONDS = 0.02  # how soon to look again at a clock of which nobody knows how fast it runs


class ReplayClock(Clock):
    """Time (ns) from `start_ns` at `speed`, held at `limit`."""

    def __init__(self, start_ns: int, speed: float, monotonic: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(start_ns, speed, monotonic)
        self.limit = start_ns  # the time of the next thing to play

    def now(self) -> int:
        if self._begun is None:
            return self._start
        if math.isinf(self._speed):
            return self.limit
        return min(self.limit, super().now())

    def seconds_until(self, exchange_ns: int) -> float:
        """How long in our own seconds, if nothing holds the clock."""
        if math.isinf(self._speed):
            return 0.0 if exchange_ns <= self.limit else POLL_SECONDS
        if self._begun is None:
            return max(0.0, (exchange_ns - self._start) / self._speed / 1e9)
        return max(0.0, (exchange_ns - super().now()) / self._speed / 1e9)

    def go_on(self, exchange_ns: int) -> None:
        """It is `exchange_ns` now, however long that took."""
        self.limit = max(self.limit, exchange_ns)
        if self._begun is not None:
            self._start, self._begun = exchange_ns, self._monotonic()

    @property
    def is_unbound(self) -> bool:
        """Whether it goes as fast as it can."""
        return math.isinf(self._speed)


class PushTime(Clock):
    """What pushes say the time is: the row's own `sendTime` while one is set, else the position of the replay."""

    def __init__(self, clock: ReplayClock) -> None:
        super().__init__(clock.now(), 1.0)
        self._clock = clock
        self.send_ms: int | None = None

    def now(self) -> int:
        return self._clock.now()

    def said_ms(self) -> int:
        return (self.now_ms() if self.send_ms is None else self.send_ms) + self._clock.wrong_ms
