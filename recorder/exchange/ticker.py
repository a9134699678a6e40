"""The rolling 24 hour ticker, exact to the trade: what leaves the window is taken out again."""

from collections import deque
from typing import NamedTuple

DAY = 86_400_000  # ms


class Day(NamedTuple):
    """The last 24 hours, in the instrument's units."""

    time: int  # ms of the last trade
    open: int
    high: int
    low: int
    last: int
    volume: int
    quote: int


class Ticker:
    """Trades of the last 24 hours; the highs and lows are kept in two falling queues."""

    def __init__(self) -> None:
        self._trades: deque[tuple[int, int, int, int]] = deque()  # time, price, size, quote
        self._highs: deque[tuple[int, int]] = deque()  # time, price
        self._lows: deque[tuple[int, int]] = deque()
        self._volume = 0
        self._quote = 0
        self._last: tuple[int, int] | None = None  # time, price

    def add(self, time: int, price: int, size: int, quote: int) -> None:
        self._trades.append((time, price, size, quote))
        self._volume += size
        self._quote += quote
        self._last = (time, price)
        while self._highs and self._highs[-1][1] <= price:
            self._highs.pop()
        self._highs.append((time, price))
        while self._lows and self._lows[-1][1] >= price:
            self._lows.pop()
        self._lows.append((time, price))

    def day(self, now: int) -> Day | None:
        """The window that ends at `now` (ms); flat if all trades are older, None if there never was one."""
        if self._last is None:
            return None
        edge = now - DAY
        while self._trades and self._trades[0][0] < edge:
            _, _, size, quote = self._trades.popleft()
            self._volume -= size
            self._quote -= quote
        for extremes in (self._highs, self._lows):
            while extremes and extremes[0][0] < edge:
                extremes.popleft()
        time, last = self._last
        if not self._trades:
            return Day(time, last, last, last, last, 0, 0)
        first, high, low = self._trades[0][1], self._highs[0][1], self._lows[0][1]
        return Day(time, first, high, low, last, self._volume, self._quote)
