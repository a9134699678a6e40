"""The CSV files of tardis.dev, which many tools read: one file a kind of data and day, gzipped, sorted by arrival.

    out/hashkey_incremental_book_L2_2026-03-01_BTCUSD.csv.gz     trades, quotes, book_snapshot_25 alike

Times are microseconds: `timestamp` the venue's, `local_timestamp` ours. Numbers are written as exact decimals.
The day is that of the exchange time. The first book of each file, and the first after a gap, is a snapshot.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from recorder.exports.changes import CLEAR, REMOVE, SNAPSHOT, Changes, Differ
from recorder.exports.coverage import OnGap, Plan, Stretch, judge, plan
from recorder.exports.errors import CoverageError, ExportError
from recorder.exports.exact import Ints
from recorder.exports.files import ExportedFile, ExportReport, numbered_folder, whole
from recorder.exports.offset import ClockOffset, applied_offset
from recorder.exports.progress import steps
from recorder.exports.report import report_on
from recorder.exports.source import DAY_NS, Source
from recorder.exports.times import to_datetime

DEPTH_LEVELS = 25
GZIP_LEVEL = 4
HEAD = ("exchange", "symbol", "timestamp", "local_timestamp")
L2 = (*HEAD, "is_snapshot", "side", "price", "amount")
TRADES = (*HEAD, "id", "side", "price", "amount")
QUOTES = (*HEAD, "ask_amount", "ask_price", "bid_price", "bid_amount")
SNAPSHOT_25 = (
    *HEAD,
    *(
        f"{side}[{level}].{what}"
        for level in range(DEPTH_LEVELS)
        for side in ("asks", "bids")
        for what in ("price", "amount")
    ),
)
KINDS = {"incremental_book_L2": "depth", "book_snapshot_25": "depth", "trades": "trade", "quotes": "bbo"}
COLUMNS = {"incremental_book_L2": L2, "book_snapshot_25": SNAPSHOT_25, "trades": TRADES, "quotes": QUOTES}
Batches = Iterator[pa.RecordBatch]


def export_tardis(
    source: Source, out: Path, *, on_gap: OnGap = "refuse", clock_offset: ClockOffset = None, progress: bool = True
) -> ExportReport:
    """Write all kinds of which there is data below `out`. Raises CoverageError, ExportError."""
    channels = [channel for channel in ("depth", "trade", "bbo") if _recorded(source, channel)]
    if not channels:
        raise CoverageError(f"tardis, {source.what}: no depth, trade or bbo was recorded; see [record] streams")
    found = plan(source.lake, source.venue, source.symbol, channels, source.clock, source.start_ns, source.end_ns)
    stretches = judge(found, on_gap, source.clock, f"tardis, {source.what}")
    source.begin(found)
    latency = source.latency(*channels)
    # These files only carry times: a negative latency is passed on as it is, unless an offset is asked for.
    shift = 0 if clock_offset is None else applied_offset(clock_offset, source.clock, latency, source.what)
    report = report_on("tardis", source, found, out, on_gap, latency, shift)
    if latency.least_ns is not None and latency.least_ns + shift < 0:
        report.notes.append("some rows have a local_timestamp before their timestamp: the clocks disagree")
    todo = [
        (kind, number, stretch, day)
        for number, stretch in enumerate(stretches, 1)
        for kind, channel in KINDS.items()
        if channel in channels
        for day in _days(source, channel, source.bounds(found, stretch))
    ]
    for kind, number, stretch, day in steps(todo, f"tardis {source.symbol}", progress):
        date = to_datetime(day).date()
        name = f"{source.venue}_{kind}_{date}_{source.symbol}.csv.gz"
        file = _File(source, found, source.bounds(found, stretch), day, shift)
        path = numbered_folder(out, number, on_gap == "split") / name
        report.files.append(_write(path, COLUMNS[kind], getattr(file, kind)()))
    if not report.files:
        raise ExportError(f"tardis, {source.what}: no rows in this range; see `recorder coverage`")
    missing = sorted(set(KINDS.values()) - set(channels))
    report.notes += [f"{channel} was not recorded" for channel in missing]
    return report.write("pyarrow")


class _File:
    """The batches of one file: one stretch, one day; each method is named as its kind."""

    def __init__(self, source: Source, found: Plan, bounds: Stretch, day: int, shift: int) -> None:
        self._source = source
        self._scales = source.scales
        self._plan = found
        self._bounds = bounds
        self._day = (day, day + DAY_NS)
        self._shift = shift

    def incremental_book_L2(self) -> Batches:
        differ = Differ(self._scales, self._plan.resets("depth"))
        for books in self._source.books(self._bounds, *self._day):
            changes = differ.feed(books)
            shown = changes.kind != CLEAR  # a snapshot replaces the book by itself
            price, size = self._texts(changes)
            columns = [
                *self._head(changes.exchange_ns, changes.receive_ns),
                pc.if_else(pa.array(changes.kind == SNAPSHOT), "true", "false"),
                pc.if_else(pa.array(changes.bid), "bid", "ask"),
                price,
                size,
            ]
            yield _batch(L2, columns).filter(pa.array(shown))

    def book_snapshot_25(self) -> Batches:
        for books in self._source.books(self._bounds, *self._day):
            columns = self._head(*(_numbers(books.column(name)) for name in ("exchange_ns", "receive_ns")))
            sides = {
                side: [_levels(books.column(f"{side}_{what}")) for what in ("prices", "sizes")]
                for side in ("ask", "bid")
            }
            columns += [
                sides[side][what][level] for level in range(DEPTH_LEVELS) for side in ("ask", "bid") for what in (0, 1)
            ]
            yield _batch(SNAPSHOT_25, columns)

    def trades(self) -> Batches:
        columns = "epoch_ns(exchange_time) AS e, receive_ns, trade_id, NOT buyer_is_maker AS b, price, size"
        for rows in self._rows("trade", columns):
            yield _batch(
                TRADES,
                [
                    *self._head(_numbers(rows.column("e")), _numbers(rows.column("receive_ns"))),
                    pc.fill_null(rows.column("trade_id").cast(pa.string()), ""),
                    pc.if_else(rows.column("b"), "buy", "sell"),
                    plain(rows.column("price")),
                    plain(rows.column("size")),
                ],
            )

    def quotes(self) -> Batches:
        columns = "epoch_ns(exchange_time) AS e, receive_ns, ask_size, ask_price, bid_price, bid_size"
        for rows in self._rows("bbo", columns):
            head = self._head(_numbers(rows.column("e")), _numbers(rows.column("receive_ns")))
            sides = [plain(rows.column(name)) for name in ("ask_size", "ask_price", "bid_price", "bid_size")]
            yield _batch(QUOTES, [*head, *sides])

    def _rows(self, view: str, columns: str) -> Batches:
        relation = self._source.rows(view, columns, self._bounds, *self._day, order="receive_ns, seq, idx")
        yield from relation.to_arrow_reader(65_536)

    def _head(self, exchange_ns: Ints, receive_ns: Ints) -> list[Any]:
        rows = len(exchange_ns)
        return [
            pa.array(np.full(rows, self._source.venue)),
            pa.array(np.full(rows, self._source.symbol)),
            pa.array(exchange_ns // 1000),
            pa.array((receive_ns + self._shift) // 1000),
        ]

    def _texts(self, changes: Changes) -> tuple[pa.Array, pa.Array]:
        size = np.where(changes.kind == REMOVE, 0, changes.size)
        return text_of(changes.price, self._scales.price.places), text_of(size, self._scales.size.places)


def text_of(ints: Ints, places: int) -> pa.Array:
    """Integers of 10**-places as plain decimals without zeros at the end."""
    unit = np.int64(10**places)
    whole_part = pa.array(ints // unit).cast(pa.string())
    if not places:
        return whole_part
    fraction = pc.utf8_lpad(pa.array(ints % unit).cast(pa.string()), places, "0")
    return _trimmed(pc.binary_join_element_wise(whole_part, fraction, "."))


def plain(values: pa.Array) -> pa.Array:
    """decimal128(30, 12) as plain text, null as ''. Arrow itself would write 1E-7."""
    whole_part = pc.floor(values).cast(pa.decimal128(30, 0)).cast(pa.int64())
    scaled = pc.subtract(values, pc.floor(values)).cast(pa.decimal128(38, 12))
    fraction = np.frombuffer(scaled.buffers()[1], np.int64)[2 * scaled.offset : 2 * (scaled.offset + len(scaled)) : 2]
    padded = pc.utf8_lpad(pa.array(fraction).cast(pa.string()), 12, "0")
    text = _trimmed(pc.binary_join_element_wise(pc.fill_null(whole_part.cast(pa.string()), "0"), padded, "."))
    return pc.if_else(pc.is_null(values), "", text)


def _trimmed(texts: pa.Array) -> pa.Array:
    return pc.utf8_rtrim(pc.utf8_rtrim(texts, "0"), ".")


def _levels(lists: pa.ListArray) -> list[pa.Array]:
    """The 25 best levels of each list, a column each; '' where there are fewer."""
    lists = pc.list_slice(lists, 0, DEPTH_LEVELS)
    starts = lists.offsets.to_numpy()
    texts = plain(lists.values.slice(int(starts[0]), int(starts[-1] - starts[0])))
    starts = starts - starts[0]
    columns = []
    for level in range(DEPTH_LEVELS):
        at: NDArray[Any] = starts[:-1] + level
        there = at < starts[1:]
        columns.append(pc.fill_null(texts.take(pa.array(at, mask=~there)), ""))
    return columns


def _write(path: Path, names: tuple[str, ...], batches: Batches) -> ExportedFile:
    schema = pa.schema([(name, pa.int64() if name.endswith("timestamp") else pa.string()) for name in names])
    options = pa.csv.WriteOptions(quoting_style="none", quoting_header="none")
    written = ExportedFile(path, 0)
    with (
        whole(path) as partial,
        gzip.open(partial, "wb", compresslevel=GZIP_LEVEL) as packed,
        pa.csv.CSVWriter(packed, schema, write_options=options) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
            written.rows += batch.num_rows
            if batch.num_rows:
                times = pc.min_max(batch.column("timestamp")).as_py()
                written.first_ns = min(times["min"] * 1000, written.first_ns or times["min"] * 1000)
                written.last_ns = max(times["max"] * 1000, written.last_ns or 0)
    return written


def _batch(names: tuple[str, ...], columns: list[Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(c) if isinstance(c, np.ndarray) else c for c in columns], list(names))


def _numbers(column: pa.Array) -> Ints:
    values: Ints = column.to_numpy(zero_copy_only=False)
    return values


def _days(source: Source, view: str, bounds: Stretch) -> list[int]:
    span = source.span(view, bounds)
    return [] if span is None else list(range(span[0] // DAY_NS * DAY_NS, span[1] + 1, DAY_NS))


def _recorded(source: Source, channel: str) -> bool:
    try:
        plan(source.lake, source.venue, source.symbol, (channel,), source.clock, None, None)
    except CoverageError:
        return False
    return True
