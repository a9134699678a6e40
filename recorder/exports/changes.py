"""Changes between successive whole books, many books at a time.

HashKey pushes whole books; backtesters want what changed. Each level gets one integer key, book number times span
plus price rank, ascending as the levels stand. A level's predecessor is then the key minus one span: one
binary search a level finds it, and what is found by nobody has gone.

Within one book the order is: clear, what has gone, then what is new or other. So a reader that applies row by row
never sees a crossed book that was not sent.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recorder.exports.exact import Ints, rescaled
from recorder.exports.source import Scales

CLEAR, REMOVE, SNAPSHOT, ADD, UPDATE = range(5)
KEYS_END = 2**62


@dataclass
class Levels:
    """One side of many books: the levels of book i are at [starts[i], starts[i + 1]), best first."""

    starts: Ints
    price: Ints
    size: Ints

    def of(self, book: int) -> "Levels":
        first, last = self.starts[book], self.starts[book + 1]
        return Levels(np.array([0, last - first]), self.price[first:last], self.size[first:last])


@dataclass
class Book:
    """One whole book and the decimal places it is kept in."""

    exchange_ns: int
    receive_ns: int
    bids: Levels
    asks: Levels
    price_places: int
    size_places: int


@dataclass
class Changes:
    """Rows in the order to apply. `last`: the last row of its book. A clear has no price and no size."""

    kind: NDArray[np.int8]
    bid: NDArray[np.bool_]
    price: Ints
    size: Ints
    exchange_ns: Ints
    receive_ns: Ints
    sequence: Ints
    last: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.kind)


class Differ:
    """Books in, changes out; remembers the last book. `resets` (our clock) are moments from which nothing before
    counts: the first book after each is given whole."""

    def __init__(self, scales: Scales, resets: list[int]) -> None:
        self.book: Book | None = None
        self.stale = 0  # books that came after a newer one, left out
        self.stepped = 0  # books whose receive_ns was raised, since our clock stepped back
        self._scales = scales
        self._resets = np.array(resets, np.int64)

    def feed(self, batch: pa.RecordBatch) -> Changes:
        """The changes that the books of `batch` bring, each against the one before."""
        batch = self._without_stale(batch)
        column = {name: batch.column(name) for name in batch.schema.names}
        exchange, receive = _numbers(column["exchange_ns"]), self._steady(_numbers(column["receive_ns"]))
        if not len(exchange):
            return _empty()
        bids = self._levels(column["bid_prices"], column["bid_sizes"])
        places = self._scales.price.places, self._scales.size.places
        asks = self._levels(column["ask_prices"], column["ask_sizes"])
        bids.price = rescaled(bids.price, places[0], self._scales.price.places)  # the asks may need more places
        bids.size = rescaled(bids.size, places[1], self._scales.size.places)
        version = column["version"].fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        before = self._before()
        moments = np.concatenate([[before.receive_ns if before else -1], receive])
        anew = np.diff(np.searchsorted(self._resets, moments, side="right")) > 0
        if before is None:
            anew[0] = True
        parts = [_clears(anew, True), _clears(anew, False)]
        for side, sign, was in ((bids, -1, before and before.bids), (asks, 1, before and before.asks)):
            parts += _side(side, sign, was or _nothing(), anew)
        price_places, size_places = self._scales.price.places, self._scales.size.places
        number = len(exchange) - 1
        self.book = Book(
            int(exchange[-1]), int(receive[-1]), bids.of(number), asks.of(number), price_places, size_places
        )
        return _in_order(parts, exchange, receive, version)

    def _without_stale(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A book with an older exchange time than one that came before it tells nothing new."""
        exchange = _numbers(batch.column("exchange_ns"))
        known = self.book.exchange_ns if self.book else -1
        newest = np.maximum.accumulate(np.concatenate([[known], exchange]))[:-1]
        fresh = exchange >= newest
        self.stale += int((~fresh).sum())
        return batch if fresh.all() else batch.filter(pa.array(fresh))

    def _steady(self, receive: Ints) -> Ints:
        known = self.book.receive_ns if self.book else -1
        steady = np.maximum.accumulate(np.concatenate([[known], receive]))[1:]
        self.stepped += int((steady != receive).sum())
        return steady.astype(np.int64)

    def _levels(self, prices: pa.ListArray, sizes: pa.ListArray) -> Levels:
        starts = prices.offsets.to_numpy().astype(np.int64)
        first, last = int(starts[0]), int(starts[-1])
        size_first = int(sizes.offsets[0].as_py())
        price = self._scales.price.ints(prices.values.slice(first, last - first))
        size = self._scales.size.ints(sizes.values.slice(size_first, last - first))
        return Levels(starts - first, price, size)

    def _before(self) -> Book | None:
        """The last book in today's decimal places; both sides of a batch are read before it is asked."""
        if self.book is not None:
            price, size = self._scales.price.places, self._scales.size.places
            for side in (self.book.bids, self.book.asks):
                side.price = rescaled(side.price, self.book.price_places, price)
                side.size = rescaled(side.size, self.book.size_places, size)
            self.book.price_places, self.book.size_places = price, size
        return self.book


Part = tuple[Ints, NDArray[np.int8], NDArray[np.bool_], Ints, Ints]  # book, kind, bid, price, size


def _side(side: Levels, sign: int, before: Levels, anew: NDArray[np.bool_]) -> list[Part]:
    """What has gone and what is new on one side; `before` is the side ahead of the first book."""
    book = np.concatenate([np.zeros(len(before.price), np.int64), _books(side) + 1])
    price, size = np.concatenate([before.price, side.price]), np.concatenate([before.size, side.size])
    if not len(price):
        return []
    key, span = _keys(book, price * sign)
    if (np.diff(key) <= 0).any():  # not best first, or a price twice: the last one counts
        order = np.argsort(key, kind="stable")
        order = order[np.append(np.diff(key[order]) != 0, True)]
        book, price, size, key = book[order], price[order], size[order], key[order]
    whole = np.concatenate([[False], anew, [False]])  # by book number; there is none after the last
    at = np.minimum(np.searchsorted(key, key - span), len(key) - 1)
    found = (key[at] == key - span) & ~whole[book]
    kept = np.zeros(len(key), np.bool_)
    kept[at[found]] = True
    gone = ~kept & (book < len(anew)) & ~whole[book + 1]
    new = (book > 0) & ~(found & (size[at] == size))
    kind = np.where(whole[book], SNAPSHOT, np.where(found, UPDATE, ADD)).astype(np.int8)
    bids = np.full(len(key), sign < 0)
    left = np.full(int(gone.sum()), REMOVE, np.int8)
    return [
        (book[gone], left, bids[gone], price[gone], np.zeros(len(left), np.int64)),
        (book[new] - 1, kind[new], bids[new], price[new], size[new]),
    ]


def _keys(book: Ints, rank: Ints) -> tuple[Ints, int]:
    low = int(rank.min())
    span = int(rank.max()) - low + 1
    if span > KEYS_END // (int(book[-1]) + 2):  # prices too far apart: number those that there are
        kinds, rank = np.unique(rank, return_inverse=True)
        low, span = 0, len(kinds)
    return book * np.int64(span) + (rank - low), span


def _books(side: Levels) -> Ints:
    return np.repeat(np.arange(len(side.starts) - 1), np.diff(side.starts))


def _clears(anew: NDArray[np.bool_], bid: bool) -> Part:
    book = np.flatnonzero(anew)
    zeros = np.zeros(len(book), np.int64)
    return book, np.full(len(book), CLEAR, np.int8), np.full(len(book), bid), zeros, zeros


def _in_order(parts: list[Part], exchange: Ints, receive: Ints, version: Ints) -> Changes:
    book, kind, bid, price, size = (np.concatenate([part[i] for part in parts]) for i in range(5))
    order = np.argsort(book * 3 + np.minimum(kind, SNAPSHOT), kind="stable")
    book = book[order]
    last = np.append(np.diff(book) != 0, True)[: len(book)]
    return Changes(
        kind[order], bid[order], price[order], size[order], exchange[book], receive[book], version[book], last
    )


def _numbers(column: pa.Array) -> Ints:
    values: Ints = column.to_numpy(zero_copy_only=False)
    return values


def _nothing() -> Levels:
    none = np.empty(0, np.int64)
    return Levels(np.zeros(1, np.int64), none, none)


def _empty() -> Changes:
    none = np.empty(0, np.int64)
    flags = np.empty(0, np.bool_)
    return Changes(np.empty(0, np.int8), flags, none, none, none, none, none, flags)
