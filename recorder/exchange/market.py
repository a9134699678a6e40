"""The synthetic market: all pairs in one order of time, a function of seed, start and rate.

Each pair draws from its own random numbers, so adding a symbol never changes another, and the same
seed gives the same versions with the same levels in every run.
"""

import heapq
from collections import deque
from collections.abc import Iterator, Sequence

from recorder.exchange.decimals import plain
from recorder.exchange.instruments import Listing
from recorder.exchange.pair import Pair
from recorder.exchange.series import Series
from recorder.exchange.source import MS, Event, Index, Mark

BASKET = ("KRAKEN", "BINANCE", "BYBIT", "COINBASE", "OKEX")  # each weighs 0.2
OFFSETS = (87, -12, 20, -71, 44)  # where each stands against the fair price, in millionths
AVERAGE_SECONDS = 600


class Market:
    """A `Source` of pairs that we make up."""

    waits = False

    def __init__(self, listings: Sequence[Listing], seed: int, start_ms: int, rate: float = 1.0) -> None:
        self.start_ns = start_ms * MS
        self._pairs = [
            Pair(listing.instrument, listing.temper, seed, number, start_ms, rate)
            for number, listing in enumerate(listings)
        ]
        self.series: dict[str, Series] = {pair.series.symbol: pair.series for pair in self._pairs}
        self._seed, self._rate = seed, rate
        self._queue = [(pair.next_ms, number) for number, pair in enumerate(self._pairs) if pair.next_ms is not None]
        heapq.heapify(self._queue)
        self._averages: dict[str, deque[int]] = {}

    @property
    def _contracts(self) -> list[Pair]:
        return [
            pair
            for pair in self._pairs
            if pair.series.instrument.contract and not pair.temper.dormant and pair.series.symbol in self.series
        ]

    def add(self, listing: Listing, at_ms: int) -> None:
        """A new symbol: it has a book from `at_ms` on, and no trade before."""
        number = len(self._pairs)
        pair = Pair(listing.instrument, listing.temper, self._seed, number, at_ms, self._rate, has_past=False)
        self._pairs.append(pair)
        self.series[pair.series.symbol] = pair.series
        if pair.next_ms is not None:
            heapq.heappush(self._queue, (pair.next_ms, number))

    def restart(self) -> None:
        """The versions of all books begin lower; the books themselves go on."""
        for pair in self._pairs:
            book = pair.series.book
            book.version = book.version // 1000 + 1 if book.version else 0

    def next_time(self) -> int | None:
        return self._queue[0][0] * MS if self._queue else None

    def advance(self, until_ns: int) -> Iterator[Event]:
        while self._queue and self._queue[0][0] * MS <= until_ns:
            number = self._queue[0][1]
            pair = self._pairs[number]
            yield from pair.step()
            if pair.next_ms is None:
                heapq.heappop(self._queue)
            else:
                heapq.heapreplace(self._queue, (pair.next_ms, number))

    def marks(self, now_ms: int) -> list[Mark]:
        return [
            Mark(pair.series.symbol, plain(round(pair.fair * 100), pair.series.instrument.price_scale + 2), now_ms)
            for pair in self._contracts
        ]

    def indices(self, now_ms: int) -> list[Index]:
        found: dict[str, Index] = {}
        for pair in self._contracts:
            name = pair.series.instrument.index
            if name in found:
                continue
            scale = pair.series.instrument.price_scale
            parts = [round(pair.fair * (1 + offset * 1e-6)) for offset in OFFSETS]
            price = sum(parts) * 2  # the sum of a fifth each, with one more decimal
            past = self._averages.setdefault(name, deque(maxlen=AVERAGE_SECONDS))
            past.append(price)
            average = sum(past) * 10**6 // len(past)
            basket = "+".join(
                f"{plain(part, scale)}[{name_of}]*0.2" for name_of, part in zip(BASKET, parts, strict=True)
            )
            found[name] = Index(name, plain(price, scale + 1), plain(average, scale + 7), f"({basket})", now_ms)
        return list(found.values())
