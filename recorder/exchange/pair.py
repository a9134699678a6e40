"""One synthetic symbol: how its book moves and when it trades, from a seed and nothing else.

The idea: a fair price wanders; quotes too close to it are cancelled, quotes too far from it are
improved, and in between orders come, change and go at random. A trade takes from the best level of
the other side, so it always happens at the quote. Floats only help to decide; every price and size
is a whole number of ticks and lots. No two changes share a millisecond, so "the quote just before a
trade" is never in doubt.
"""

import math
from collections.abc import Iterator
from random import Random

from recorder.exchange.book import Side
from recorder.exchange.instruments import Instrument, Temper
from recorder.exchange.series import Series, Trade
from recorder.exchange.source import Event, Quoted, Traded

ID_EPOCH = 1_200_000_000_000  # ms; makes trade ids of 19 digits in the 2020s
ID_BITS = 23  # below one millisecond: 13 bits for the symbol, 10 bits within it


class Pair:
    """The generator of one symbol; writes into `series`."""

    def __init__(
        self,
        instrument: Instrument,
        temper: Temper,
        seed: int,
        number: int,
        start_ms: int,
        rate: float,
        *,
        has_past: bool = True,  # false for a symbol that is new today
    ) -> None:
        self.series = Series(instrument)
        self.temper = temper
        self.random = Random(f"{seed}:{instrument.symbol}")
        self.fair: float = temper.price * 10**instrument.price_scale  # in ticks
        self._number = number
        self._changes = temper.changes * rate
        self._trades = temper.trades * rate
        self._sweep: Side | None = None  # the side an order is still eating into
        self._time = start_ms
        self.next_ms: int | None = None
        self._open_book()
        if has_past and not temper.dormant:
            self._make_history()
        self._schedule()

    def step(self) -> Iterator[Event]:
        """Let the next change happen, at `next_ms`."""
        assert self.next_ms is not None
        elapsed = (self.next_ms - self._time) / 1000
        self._time = now = self.next_ms
        self._wander(elapsed)
        book = self.series.book
        total = self._changes + self._trades
        taken = self._sweep
        if taken is None and self.random.random() * total < self._trades:
            taken = book.asks if self.random.random() < 0.5 else book.bids
            if not taken:
                taken = book.bids if taken is book.asks else book.asks
        book.version += 1 + int(self.random.expovariate(0.15))
        book.time = now
        if taken:
            yield self._take(taken, now)
        else:
            self._change(book.asks if self.random.random() < 0.5 else book.bids)
        quote = self.series.see_book(now)
        if quote is not None:
            yield Quoted(self.series, quote)
        self._schedule()

    # -- time and price

    def _schedule(self) -> None:
        total = self._changes + self._trades
        if total <= 0:
            self.next_ms = None
        elif self._sweep is not None:
            self.next_ms = self._time + 1
        else:
            self.next_ms = self._time + max(1, round(self.random.expovariate(total) * 1000))

    def _wander(self, seconds: float) -> None:
        # Pulled gently to where it began, so that a long run keeps sensible prices.
        home = self.temper.price * 10**self.series.instrument.price_scale
        noise = self.random.gauss(0.0, self.temper.volatility) * math.sqrt(min(seconds, 600.0))
        self.fair *= math.exp(noise + (home / self.fair - 1) * min(1.0, seconds / 7200))

    # -- trades

    def _take(self, side: Side, now: int) -> Traded:
        best = side.best()
        assert best is not None
        price, available = best
        whole = self.random.random() < 0.3
        size = available if whole else min(available, self._size())
        side.set(price, available - size)
        ends = size < available or not side or self.random.random() < 0.6
        self._sweep = None if ends else side
        return Traded(self.series, self._record(now, price, size, buyer_is_maker=side.sign < 0))

    def _record(self, now: int, price: int, size: int, buyer_is_maker: bool) -> Trade:
        inside = self.random.randrange(1 << (ID_BITS - 13))
        trade_id = (now - ID_EPOCH) << ID_BITS | self._number << (ID_BITS - 13) | inside
        return self.series.record(trade_id, now, price, size, buyer_is_maker)

    def _make_history(self) -> None:
        """Trades before time zero: dense lately, sparse a day ago; on a quiet pair days old."""
        gap = 1 / self._trades if self._trades else 60.0
        longest = max(1200.0, gap)
        price, time = self.fair, float(self._time)
        past: list[tuple[int, int, int, bool]] = []
        for back in range(300):
            gap_now = min(longest, gap * 1.03**back)
            time -= max(1.0, self.random.expovariate(1 / gap_now) * 1000)
            price *= math.exp(self.random.gauss(0.0, self.temper.volatility) * math.sqrt(min(gap_now, 60.0)))
            past.append((int(time), max(1, round(price)), self._size(), self.random.random() < 0.5))
        for moment, ticks, size, maker in reversed(past):
            self._record(moment, ticks, size, maker)

    # -- the book

    def _open_book(self) -> None:
        book = self.series.book
        book.version = self.random.randrange(10_000_000, 2_900_000_000)
        book.time = self._time - self.random.randrange(50, 3000)
        if self.temper.dormant:
            book.version, book.time = 34_719_093, self._time - 134_634
            return
        for side in (book.bids, book.asks):
            price = self.fair + side.sign * self._half_spread()
            for _ in range(self.temper.levels):
                side.set(max(1, round(price)), self._size())
                price += side.sign * self._gap()
        self.series.see_book(book.time)

    def _change(self, side: Side) -> None:
        """One thing happens on one side: an order comes, changes or goes."""
        temper, random = self.temper, self.random
        if temper.fickle_asks and side.sign > 0 and side and random.random() < 0.4:
            side.clear()
        if not side:
            if not (temper.fickle_asks and side.sign > 0) or random.random() < 0.3:
                self._place(side, self.fair + side.sign * self._half_spread())
            return
        away = (side.price(0) - self.fair) * side.sign  # how far the best quote is behind the fair price
        if away < 0.2 * self._half_spread() and len(side) > 1:
            side.set(side.price(0), 0)
        elif away > 3.0 * self._half_spread():
            self._place(side, self.fair + side.sign * self._half_spread())
        elif len(side) < temper.levels:
            # Mostly near the top: a price that wanders leaves a hole behind the best quote, which must fill again.
            near = int(len(side) * random.random() ** 4)
            self._place(side, side.price(near) + side.sign * self._gap())
        elif len(side) > temper.levels * 1.15:
            side.set(side.price(len(side) - 1), 0)
        else:
            position = 0 if random.random() < temper.top_share else random.randrange(len(side))
            removes = position > 0 and random.random() < 0.3
            side.set(side.price(position), 0 if removes else self._size())

    def _place(self, side: Side, price: float) -> None:
        """Put an order at `price`, or at the nearest one that does not cross the other side."""
        book = self.series.book
        other = (book.asks if side is book.bids else book.bids).best()
        ticks = max(1, round(price))
        if other is not None and (other[0] - ticks) * side.sign >= 0:
            ticks = other[0] + side.sign
        if ticks >= 1:
            side.set(ticks, side.sizes.get(ticks * side.sign, 0) + self._size())

    def _half_spread(self) -> float:
        return max(1.0, self.fair * self.temper.half_spread)

    def _gap(self) -> float:
        return max(1.0, self.random.expovariate(1.0) * self.fair * self.temper.spacing)

    def _size(self) -> int:
        instrument = self.series.instrument
        unit = self.temper.price * 10.0**-instrument.size_scale
        if instrument.contract:
            unit *= instrument.multiplier * 10.0**-instrument.multiplier_scale
        return max(1, round(self.random.lognormvariate(0.0, 1.1) * self.temper.notional / unit))
