"""Candles made from trades, and nothing else, for every interval the venue has.

Only candles with a trade are stored. A quiet candle is made when someone asks: flat at the close
before it, volume zero, as the venue's REST reply shows. Boundaries are UTC; a week begins on Monday
(the reference does not say; readers must take it from `t`).
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

MINUTE = 60_000
FIXED = {
    "1m": MINUTE,
    "3m": 3 * MINUTE,
    "5m": 5 * MINUTE,
    "15m": 15 * MINUTE,
    "30m": 30 * MINUTE,
    "1h": 60 * MINUTE,
    "2h": 120 * MINUTE,
    "4h": 240 * MINUTE,
    "6h": 360 * MINUTE,
    "8h": 480 * MINUTE,
    "12h": 720 * MINUTE,
    "1d": 1440 * MINUTE,
    "1w": 7 * 1440 * MINUTE,
}
INTERVALS = (*FIXED, "1M")
FIRST_MONDAY = 4 * 1440 * MINUTE  # 1970-01-05


def open_time(interval: str, time: int) -> int:
    """When the candle that holds `time` opened; both in ms."""
    if interval == "1M":
        month = datetime.fromtimestamp(time // 1000, UTC).replace(day=1, hour=0, minute=0, second=0)
        return int(month.timestamp()) * 1000
    shift = FIRST_MONDAY if interval == "1w" else 0
    return (time - shift) // FIXED[interval] * FIXED[interval] + shift


@dataclass(slots=True)
class Candle:
    """One candle in exact units; `quote` amounts are in the instrument's quote_scale."""

    open_time: int  # ms
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    quote: int = 0
    count: int = 0
    taker_volume: int = 0
    taker_quote: int = 0

    def add(self, price: int, size: int, quote: int, taker_buys: bool) -> None:
        if not self.count:
            self.open = self.high = self.low = price
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price
        self.volume += size
        self.quote += quote
        self.count += 1
        if taker_buys:
            self.taker_volume += size
            self.taker_quote += quote

    def merge(self, later: "Candle") -> None:
        """Take in a finer candle that follows everything here."""
        self.high, self.low, self.close = max(self.high, later.high), min(self.low, later.low), later.close
        self.volume += later.volume
        self.quote += later.quote
        self.count += later.count
        self.taker_volume += later.taker_volume
        self.taker_quote += later.taker_quote


class Candles:
    """All candles of one symbol and interval, oldest first."""

    def __init__(self, interval: str, finer: Iterable[Candle] = ()) -> None:
        self.interval = interval
        self.opens: list[int] = []
        self._by_open: dict[int, Candle] = {}
        for candle in finer:
            start = open_time(interval, candle.open_time)
            if start in self._by_open:
                self._by_open[start].merge(candle)
            else:
                self.opens.append(start)
                self._by_open[start] = Candle(
                    start, candle.open, candle.high, candle.low, candle.close, candle.volume, candle.quote,
                    candle.count, candle.taker_volume, candle.taker_quote,
                )  # fmt: skip

    def __iter__(self) -> Iterator[Candle]:
        return (self._by_open[start] for start in self.opens)

    def add(self, time: int, price: int, size: int, quote: int, taker_buys: bool) -> Candle:
        """Count one trade; returns the candle it fell into."""
        start = open_time(self.interval, time)
        candle = self._by_open.get(start)
        if candle is None:
            candle = self._by_open[start] = Candle(start, price, price, price, price)
            insort(self.opens, start)
        candle.add(price, size, quote, taker_buys)
        return candle

    def at(self, start: int) -> Candle | None:
        """The candle that opens at `start`, flat if quiet, None before the first trade."""
        if start in self._by_open:
            return self._by_open[start]
        position = bisect_left(self.opens, start)
        if position == 0:
            return None
        close = self._by_open[self.opens[position - 1]].close
        return Candle(start, close, close, close, close)

    def current(self, now: int) -> Candle | None:
        """The running candle; a trade stamped later than our clock is believed."""
        if not self.opens:
            return None
        return self.at(max(open_time(self.interval, now), self.opens[-1]))

    def last(self, count: int, end: int, start: int = 0) -> list[Candle]:
        """Up to `count` candles, quiet ones too, that opened within [start, end] (ms), oldest first."""
        found: list[Candle] = []
        opening = open_time(self.interval, end)
        while len(found) < count and opening >= start:
            candle = self.at(opening)
            if candle is None:
                break
            found.append(candle)
            opening = open_time(self.interval, opening - 1)
        return found[::-1]
