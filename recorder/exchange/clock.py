"""The exchange's clock: stands still until it is begun, then runs, perhaps faster than ours."""

import time
from collections.abc import Callable


class Clock:
    """Exchange time in ns: `start_ns` + `speed` x the time since `begin`."""

    def __init__(self, start_ns: int, speed: float, monotonic: Callable[[], int] = time.monotonic_ns) -> None:
        self._start = start_ns
        self._speed = speed
        self._monotonic = monotonic
        self._begun: int | None = None
        self.wrong_ms = 0  # how far the clock that clients see is off; a fault

    @property
    def running(self) -> bool:
        return self._begun is not None

    def begin(self, at: int | None = None) -> None:
        """Run from now on, or as if begun at the monotonic moment `at`; a second time changes nothing."""
        if self._begun is None:
            self._begun = self._monotonic() if at is None else at

    def now(self) -> int:
        if self._begun is None:
            return self._start
        return self._start + int((self._monotonic() - self._begun) * self._speed)

    def now_ms(self) -> int:
        return self.now() // 1_000_000

    def said_ms(self) -> int:
        """What we tell clients the time is: in pongs, `sendTime` and REST."""
        return self.now_ms() + self.wrong_ms

    def seconds_until(self, exchange_ns: int) -> float:
        """How long we have to wait, in our own seconds."""
        return max(0.0, (exchange_ns - self.now()) / self._speed / 1e9)
