"""What the rows of a file tell, piece by piece: as many as its name says, in order, and books that hold.

Numbers are compared as the integers that decimals are, so that nothing is rounded.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recorder.lake.names import PartName
from recorder.lake.retention import end_ns
from recorder.lake.schema import Table
from recorder.quality.finding import Finding

KEYS = ["venue", "symbol", "seq", "idx", "receive_ns"]
SIDES = {"bid": -1, "ask": 1}  # how prices go from the best on
KEYS_AT_ONCE = 1 << 16
BOOKS_AT_ONCE = 256
REMEDY = "restore it from a copy, or keep it and report it"

Bools = NDArray[np.bool_]
Key = tuple[str, str, int, int]


def check_rows(path: Path, where: str, table: Table) -> Iterator[Finding]:
    """Everything that is wrong with a file; at most one finding of each kind."""
    name = PartName.parse(path.name)
    assert name is not None, path
    try:
        with pq.ParquetFile(path) as file:
            yield from _check_schema(file.schema_arrow, where, table)
            yield from _check_keys(file, name, where)
            if "bid_prices" in file.schema_arrow.names and table.name == "depth":
                yield from _check_books(file, where)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        yield Finding("unreadable", where, str(error).splitlines()[0], REMEDY)


def _check_schema(schema: pa.Schema, where: str, table: Table) -> Iterator[Finding]:
    for field in table.arrow:
        if field.name not in schema.names:
            if not field.nullable:
                yield Finding("schema", where, f"has no column {field.name}", REMEDY)
        elif schema.field(field.name).type != field.type:
            detail = f"{field.name} is {schema.field(field.name).type}, not {field.type}"
            yield Finding("schema", where, detail, REMEDY)
    unknown = sorted(set(schema.names) - set(table.arrow.names))
    if unknown:
        yield Finding("schema", where, f"column {unknown[0]} is unknown", "read it with the program that wrote it")


def _check_keys(file: Any, name: PartName, where: str) -> Iterator[Finding]:
    """Rows, seq range, hour and order against the name."""
    rows, first, last, newest = 0, -1, -1, -1
    before: Key | None = None
    for keys in file.iter_batches(KEYS_AT_ONCE, columns=KEYS, use_threads=False):
        if not len(keys):
            continue
        seqs = _integers(keys.column("seq"))
        rows += len(keys)
        first = int(seqs.min()) if first < 0 else min(first, int(seqs.min()))
        last = max(last, int(seqs.max()))
        newest = max(newest, int(_integers(keys.column("receive_ns")).max()))
        place = _disorder(keys)
        start = tuple(keys.column(column)[0].as_py() for column in KEYS[:4])
        if before is not None and start <= before:
            place = 0
        if place is not None:
            detail = f"row {rows - len(keys) + place} is not after the one before it"
            yield Finding("order", where, detail, REMEDY)
            return
        before = tuple(keys.column(column)[len(keys) - 1].as_py() for column in KEYS[:4])
    if rows != name.rows:
        yield Finding("row count", where, f"has {rows} rows, its name says {name.rows}", REMEDY)
    if rows and (first, last) != (name.first, name.last):
        yield Finding("seq range", where, f"has seq {first} to {last}, its name says otherwise", REMEDY)
    if newest >= end_ns(name):  # the other side is free: a clock that stepped back does not reopen an hour
        yield Finding("window", where, f"a row arrived at {newest} ns, after the window of its name", REMEDY)


def _disorder(keys: pa.RecordBatch) -> int | None:
    """The first row that is not greater than the one before it."""
    if len(keys) < 2:
        return None
    equal = np.ones(len(keys) - 1, bool)
    less = np.zeros(len(keys) - 1, bool)
    for column in KEYS[:4]:
        values = keys.column(column)
        if pa.types.is_string(values.type):
            coded = values.dictionary_encode()
            rank = np.argsort(np.argsort(coded.dictionary.to_pylist()))
            numbers = rank[_integers(coded.indices)]
        else:
            numbers = _integers(values)
        less |= equal & (numbers[:-1] < numbers[1:])
        equal &= numbers[:-1] == numbers[1:]
    wrong = np.flatnonzero(~less)
    return int(wrong[0]) + 1 if len(wrong) else None


def _check_books(file: Any, where: str) -> Iterator[Finding]:
    """Levels sorted, as many sizes as prices, the top columns those of the lists, and no book crossed."""
    told: set[str] = set()
    columns = ["symbol", "seq", *(f"{side}_{what}" for side in SIDES for what in ("price", "size", "prices", "sizes"))]
    for books in file.iter_batches(BOOKS_AT_ONCE, columns=columns, use_threads=False):
        for check, wrong in _book_faults(books):
            if check in told or not wrong.any():
                continue
            told.add(check)
            at = int(np.flatnonzero(wrong)[0])
            symbol, seq = (books.column(column)[at].as_py() for column in ("symbol", "seq"))
            detail = f"{int(wrong.sum())} books or more, first {symbol} seq {seq}"
            yield Finding(check, where, detail, "the frames are as the venue sent them; leave these books out")


def _book_faults(books: pa.RecordBatch) -> Iterator[tuple[str, Bools]]:
    tops = {}
    for side, direction in SIDES.items():
        prices, sizes = (books.column(f"{side}_{what}") for what in ("prices", "sizes"))
        lengths = _lengths(prices)
        yield f"{side} sizes and prices differ in number", lengths != _lengths(sizes)
        yield f"{side} levels not sorted", _unsorted(prices, lengths, direction)
        for what, levels in (("price", prices), ("size", sizes)):
            top = books.column(f"{side}_{what}")
            yield f"{side}_{what} is not that of the best level", _differs(top, levels)
            tops[side, what] = top
    bid, ask = tops["bid", "price"], tops["ask", "price"]
    both = _valid(bid) & _valid(ask)
    yield "book crossed", both & ~_less(_numbers(bid), _numbers(ask))


def _lengths(lists: Any) -> NDArray[np.int64]:
    return np.diff(_integers(lists.offsets).astype(np.int64))  # of none: nothing, as of an empty one


def _valid(values: Any) -> Bools:
    found: Bools = _integers(values.is_valid().cast(pa.uint8())).astype(bool)
    return found


def _integers(values: Any) -> NDArray[Any]:
    """As they are in memory; `to_numpy`, as other conversions, would load pandas, which takes more than all we do."""
    return np.from_dlpack(values)


Numbers = tuple[NDArray[np.int64], NDArray[np.uint64]]  # high and low half of each decimal


def _numbers(values: Any) -> Numbers:
    raw = values.buffers()[1]
    if raw is None:
        return np.empty(0, np.int64), np.empty(0, np.uint64)
    halves = np.frombuffer(raw, "<i8")[2 * values.offset : 2 * (values.offset + len(values))]
    return halves[1::2], halves[0::2].view(np.uint64)


def _less(left: Numbers, right: Numbers) -> Bools:
    found: Bools = (left[0] < right[0]) | ((left[0] == right[0]) & (left[1] < right[1]))
    return found


def _unsorted(prices: Any, lengths: NDArray[np.int64], direction: int) -> Bools:
    high, low = _numbers(prices.flatten())
    here, there = (high[:-1], low[:-1]), (high[1:], low[1:])
    good = _less(here, there) if direction > 0 else _less(there, here)
    book = np.repeat(np.arange(len(lengths)), lengths)
    wrong = ~good & (book[:-1] == book[1:]) if len(book) > 1 else np.zeros(0, bool)
    found = np.zeros(len(lengths), bool)
    found[book[:-1][wrong]] = True
    return found


def _differs(top: Any, levels: Any) -> Bools:
    """Where `top` is not the first of the list, or not null although the list is empty."""
    lengths = _lengths(levels)
    has = lengths > 0
    firsts = (np.cumsum(lengths) - lengths)[has]
    top_high, top_low = _numbers(top)
    high, low = _numbers(levels.flatten())
    found: Bools = _valid(top) != has
    same = (top_high[has] == high[firsts]) & (top_low[has] == low[firsts])
    found[has] |= ~same
    return found
