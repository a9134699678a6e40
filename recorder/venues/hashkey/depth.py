"""Books, from the raw bytes to Arrow lists, without a Python object per level.

Fast: cut both sides out of the bytes, prove by what is left without the digits that each is a list of
pairs of strings, and parse only the small rest as JSON. All sides of a batch then become one string array
and one cast. Slow: parse everything, check each value; any doubt leads there, and both ways agree.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from recorder.venues.hashkey.columns import COMMON, DECIMAL, INT64, OWN, Columns, Row, columns
from recorder.venues.hashkey.frames import Push
from recorder.venues.hashkey.values import Unreadable, decimal_text, optional_integer, shown, truth, version

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Words = NDArray[np.uint64]

TABLES = {"depth": "depth", "diffMergedDepth": "depth_delta"}  # mergedDepth is coarser than either: not recorded
BIDS, ASKS = -7_001, -7_002  # stand for the sides that were cut out
DIGITS = b"0123456789."
BRACKETS = b'[],"'
CHUNK_LEVELS = 16_384  # cast at once: few enough to stay in the processor's cache
QUOTE, DOT = ord('"'), ord(".")
SKELETONS: dict[bytes, int] = {b"[" + b",".join([b'["",""]'] * n) + b"]": n for n in range(1, 257)}


class Doubtful(Exception):
    """A book that was cut out of its bytes is not what it looked like: read the batch the slow way."""


@dataclass(slots=True)
class Book:
    """A row of depth or depth_delta, its sides still as JSON text (b"" for an empty side)."""

    common: Row
    own: Row
    bids: bytes
    bid_count: int
    asks: bytes
    ask_count: int


@dataclass(slots=True)
class Cut:
    """A frame without its two sides."""

    rest: bytes
    bids: bytes
    bid_count: int
    asks: bytes
    ask_count: int


def cut(text: bytes) -> Cut | None:
    """Take both sides out of a book frame; None wherever its form is not the usual one."""
    first = text.find(b'"b":[')
    if first < 0:
        return None
    second = text.find(b'],"a":[', first)
    if second < 0:
        return None
    bids = text[first + 4 : second + 1]
    start = second + 6
    end = start + 2 if text.startswith(b"[]", start) else text.rfind(b"]]", start) + 2
    asks = text[start:end]
    bid_count = 0 if bids == b"[]" else SKELETONS.get(bids.translate(None, DIGITS))
    ask_count = 0 if asks == b"[]" else SKELETONS.get(asks.translate(None, DIGITS))
    if bid_count is None or ask_count is None:
        return None
    rest = b'%b"b":-7001,"a":-7002%b' % (text[:first], text[end:])
    return Cut(rest, bids if bid_count else b"", bid_count, asks if ask_count else b"", ask_count)


def is_what_was_cut(item: Any) -> bool:
    """Whether the sides that were cut out are those of this very item."""
    return type(item) is dict and item.get("b") == BIDS and item.get("a") == ASKS


def read_own(item: dict[str, Any], push: Push) -> Row:
    """The values beside the lists: version of a book; version, counter, is_snapshot of a change."""
    if push.topic == "depth":
        return (version(item.get("v")),)
    counter = optional_integer(item.get("o"), "o")
    snapshot = counter == 0 if push.first is None else truth(push.first, "f")
    return version(item.get("v")), counter, snapshot


def book(common: Row, own: Row, sides: Cut) -> Book:
    return Book(common, own, sides.bids, sides.bid_count, sides.asks, sides.ask_count)


def read_book(common: Row, own: Row, item: dict[str, Any]) -> Book:
    """The slow way. A push is whole, so a side that it does not name is empty; one must be named."""
    if item.get("b") is None and item.get("a") is None:
        raise Unreadable("book without b and a")
    return Book(common, own, *_side(item.get("b"), "b"), *_side(item.get("a"), "a"))


def _side(levels: Any, name: str) -> tuple[bytes, int]:
    if levels is None or levels == []:
        return b"", 0
    if type(levels) is not list:
        raise Unreadable(f"{name} is {shown(levels)}, not a list")
    pairs = []
    for level in levels:
        if type(level) is not list or len(level) != 2:
            raise Unreadable(f"{name} holds {shown(level)}, not a price and a size")
        pairs.append((decimal_text(level[0], name), decimal_text(level[1], name)))
    return orjson.dumps(pairs), len(pairs)


def book_columns(table: str, books: list[Book]) -> Columns:
    """Columns of depth or depth_delta, rows in the order given. Raises Doubtful."""
    bid_counts = np.array([b.bid_count for b in books], np.int64)
    ask_counts = np.array([b.ask_count for b in books], np.int64)
    texts = [b.bids for b in books if b.bid_count] + [b.asks for b in books if b.ask_count]
    counts = np.concatenate([bid_counts, ask_counts])
    prices, sizes = _values(texts, counts[counts > 0])
    total = int(bid_counts.sum())
    bids = _Side(prices[:total], sizes[:total], bid_counts)
    asks = _Side(prices[total:], sizes[total:], ask_counts)
    bids.sort(best_is_highest=True)
    asks.sort(best_is_highest=False)
    made = columns(COMMON, (b.common for b in books))
    names = [name for name, kind in OWN[table].items() if kind not in (DECIMAL, OWN["depth"]["bid_prices"])]
    made |= columns({name: OWN[table][name] for name in names}, (b.own for b in books))
    if table == "depth":
        made |= bids.best("bid") | asks.best("ask")
    return made | bids.lists("bid") | asks.lists("ask")


def _values(texts: list[bytes], counts: Ints) -> tuple[Words, Words]:
    """Prices and sizes of all texts, each an array of shape (levels, 2): low and high half of a decimal."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if texts else 0
    prices, sizes = np.empty((total, 2), np.uint64), np.empty((total, 2), np.uint64)
    start = done = 0
    while start < len(texts):
        stop = max(start + 1, int(np.searchsorted(ends, done + CHUNK_LEVELS, side="right")))
        pairs = _pairs(texts[start:stop], counts[start:stop])
        prices[done : done + len(pairs)] = pairs[:, 0]
        sizes[done : done + len(pairs)] = pairs[:, 1]
        start, done = stop, done + len(pairs)
    return prices, sizes


def _pairs(texts: list[bytes], counts: Ints) -> Words:
    """The levels of some texts, of shape (levels, price or size, low or high half). Raises Doubtful."""
    whole = b",".join(texts)
    chars = np.frombuffer(whole, np.uint8)
    quotes = np.flatnonzero(chars == QUOTE)
    opening, closing = quotes[0::2], quotes[1::2]
    # The skeleton fits; so if the quotes are as close to each other as it says, all digits are inside them.
    steps = np.full(len(opening) - 1, 4)  # from a size to the next price: "],["
    steps[0::2] = 2  # from a price to its size: ","
    steps[2 * np.cumsum(counts)[:-1] - 1] = 6  # from one text to the next: "]],[["
    lengths = closing - opening - 1
    if (
        opening[0] != 2
        or closing[-1] != len(whole) - 3
        or not np.array_equal(opening[1:] - closing[:-1], steps)
        or not lengths.all()
        or (chars[opening + 1] == DOT).any()
        or (chars[closing - 1] == DOT).any()
    ):
        raise Doubtful
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    data = whole.translate(None, BRACKETS)
    strings = pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(data))
    try:
        decimals = strings.cast(DECIMAL)
    except pa.ArrowInvalid as error:
        raise Doubtful from error
    return np.frombuffer(decimals.buffers()[1], np.uint64, 2 * len(lengths)).reshape(-1, 2, 2)


class _Side:
    """Bids or asks of all books of a batch: levels one after another, `counts` of them a book."""

    def __init__(self, prices: Words, sizes: Words, counts: Ints) -> None:
        self.prices = prices
        self.sizes = sizes
        self.counts = counts
        self.offsets = np.zeros(len(counts) + 1, np.int32)
        np.cumsum(counts, out=self.offsets[1:])

    def sort(self, best_is_highest: bool) -> None:
        """Put the best level first where the venue did not; equal prices stay in their order."""
        low, high = self.prices[:, 0], self.prices[:, 1]
        before, after = (slice(None, -1), slice(1, None)) if best_is_highest else (slice(1, None), slice(None, -1))
        wrong: Flags = (high[after] > high[before]) | ((high[after] == high[before]) & (low[after] > low[before]))
        starts = self.offsets[1:-1]
        wrong[starts[(starts > 0) & (starts <= len(wrong))] - 1] = False  # between two books
        if not wrong.any():
            return
        self.prices, self.sizes = self.prices.copy(), self.sizes.copy()
        for at in np.unique(np.searchsorted(self.offsets, np.flatnonzero(wrong), side="right") - 1):
            span = slice(int(self.offsets[at]), int(self.offsets[at + 1]))
            keys = [high << 64 | low for low, high in self.prices[span].tolist()]
            order = sorted(range(len(keys)), key=keys.__getitem__, reverse=best_is_highest)
            self.prices[span] = self.prices[span][order]
            self.sizes[span] = self.sizes[span][order]

    def lists(self, name: str) -> Columns:
        return {
            f"{name}_prices": pa.ListArray.from_arrays(self.offsets, _decimals(self.prices)),
            f"{name}_sizes": pa.ListArray.from_arrays(self.offsets, _decimals(self.sizes)),
        }

    def best(self, name: str) -> Columns:
        """The first level of each book, null where the side is empty."""
        empty = self.counts == 0
        first = pa.array(np.where(empty, 0, self.offsets[:-1]), INT64, mask=empty)
        return {
            f"{name}_price": _decimals(self.prices).take(first),
            f"{name}_size": _decimals(self.sizes).take(first),
        }


def _decimals(words: Words) -> pa.Array:
    return pa.Array.from_buffers(DECIMAL, len(words), [None, pa.py_buffer(words)])
