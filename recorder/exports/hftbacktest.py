"""Input for hftbacktest 2.4: one .npz of its events a clean stretch, a snapshot for the next day, order latencies.

Books become an infinite clear, a snapshot, then changes; trades carry the initiator's side and stand before depth at
equal times. exch_ts is the venue's time (ms in ns), local_ts is receive_ns, both as recorded unless --clock-offset.
Beside `day.npz`: `day.snapshot.npz` (for initial_snapshot of the next day) and `day.latency.npz` (for
intp_order_latency: half of each measured round trip each way, a lower bound of what an order needs).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recorder.exports.changes import CLEAR, REMOVE, Book, Changes, Differ
from recorder.exports.coverage import NEVER, OnGap, Plan, Stretch, judge, moment, plan
from recorder.exports.errors import ExportError
from recorder.exports.event_order import EventOrder
from recorder.exports.exact import Floats, Ints
from recorder.exports.files import ExportedFile, ExportReport, beside, need, numbered
from recorder.exports.npz import NpzWriter, save
from recorder.exports.offset import ClockOffset, applied_offset
from recorder.exports.progress import steps
from recorder.exports.report import report_on
from recorder.exports.source import Scales, Source, Trades
from recorder.lake.reader import quoted

DEPTH, TRADE, DEPTH_CLEAR, DEPTH_SNAPSHOT = 1, 2, 3, 4
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
EVENT_OF = np.array([DEPTH_CLEAR, DEPTH, DEPTH_SNAPSHOT, DEPTH, DEPTH], np.uint64)  # by the kind of change
ORDER_LATENCY = np.dtype([("req_ts", "i8"), ("exch_ts", "i8"), ("resp_ts", "i8"), ("_padding", "i8")], align=True)
Events = NDArray[Any]


def export_hftbacktest(
    source: Source, out: Path, *, on_gap: OnGap = "refuse", clock_offset: ClockOffset = None, progress: bool = True
) -> ExportReport:
    """Write `out` (.npz), or `out` numbered per clean stretch. Raises CoverageError, ExportError."""
    if out.suffix != ".npz":
        raise ExportError(f"--out {out}: hftbacktest reads .npz; name it {out.with_suffix('.npz').name}")
    dtype = need("hftbacktest.types").event_dtype
    found = plan(
        source.lake, source.venue, source.symbol, ("depth", "trade"), source.clock, source.start_ns, source.end_ns
    )
    stretches = judge(found, on_gap, source.clock, f"hftbacktest, {source.what}")
    source.begin(found)
    latency = source.latency("depth", "trade")
    shift = applied_offset(clock_offset, source.clock, latency, source.what)
    report = report_on("hftbacktest", source, found, out, on_gap, latency, shift)
    last_book: tuple[Book, Scales] | None = None
    for number, stretch in enumerate(stretches, 1):
        part = _Part(source, found, stretch, shift, dtype)
        path = numbered(out, number, on_gap == "split")
        if part.write(path, progress, report):
            last_book = (part.differ.book and (part.differ.book, source.scales)) or last_book
    if not report.files:
        raise ExportError(f"hftbacktest, {source.what}: no book in this range; see `recorder coverage`")
    if last_book is not None:
        path = beside(out, "snapshot")
        rows = snapshot(*last_book, dtype)
        save(path, rows)
        report.files.append(ExportedFile(path, len(rows), last_book[0].exchange_ns, last_book[0].exchange_ns))
    delays = order_latencies(source, found, shift)
    if len(delays):
        path = beside(out, "latency")
        save(path, delays)
        report.files.append(ExportedFile(path, len(delays), int(delays["req_ts"][0]), int(delays["req_ts"][-1])))
    else:
        report.notes.append("no pong in this range: no file of order latencies")
    return report.write("hftbacktest")


class _Part:
    """One clean stretch on its way to a file."""

    def __init__(self, source: Source, found: Plan, stretch: Stretch, shift: int, dtype: np.dtype[Any]) -> None:
        self._source = source
        self._plan = found
        self._bounds = source.bounds(found, stretch)
        self._shift = shift
        self._dtype = dtype
        self._first = stretch.from_ns == found.from_ns
        self._no_trade_before = max(source.start_ns or 0, source.clock.venues(stretch.from_ns))
        self.differ = Differ(source.scales, found.resets("depth"))

    def write(self, path: Path, progress: bool, report: ExportReport) -> bool:
        """False if there is no book in it: then there is no file either."""
        writer = NpzWriter(path, self._dtype)
        try:
            first_ns, last_ns, trades, left_out = 0, 0, 0, 0
            for events in self._ordered(progress):
                happened = events["exch_ts"]
                first_ns = first_ns or int(happened[0])
                last_ns = max(last_ns, int(happened.max()))
                kind = events["ev"] & 0xFF
                trades += int(((kind == TRADE) & (events["ev"] & EXCH != 0)).sum())
                writer.append(events)
            left_out = self.trades_before_books
            if self.differ.book is None:
                writer.abandon()
                return False
            writer.close()
        except BaseException:
            writer.abandon()
            raise
        report.files.append(ExportedFile(path, writer.rows, first_ns, last_ns))
        for name, number in (
            ("trades", trades),
            ("trades_before_the_first_book", left_out),
            ("stale_books_left_out", self.differ.stale),
            ("books_with_raised_local_time", self.differ.stepped),
        ):
            report.counts[name] = report.counts.get(name, 0) + number
        return True

    def _ordered(self, progress: bool) -> Iterator[Events]:
        order = EventOrder()
        windows = self._source.windows(self._bounds, "depth", "trade")
        carried = self._source.carried(self._plan, self._shift) if self._first else []
        for low, high in steps(windows, f"hftbacktest {self._source.symbol}", progress):
            events = order.push(self._window(low, high, carried), high)
            carried = []
            if len(events):
                yield events
        if windows and len(events := order.finish()):
            yield events

    trades_before_books = 0
    _books_from: int | None = None

    def _window(self, low: int, high: int, carried: list[pa.RecordBatch]) -> Events:
        """Trades, then changes of the book, of one hour."""
        trades = self._source.trades(self._bounds, low, high)
        trade_events = trades_as_events(trades, self._source.scales, self._shift, self._dtype)
        depth = [self._changes(batch) for batch in carried]
        depth += [self._changes(batch) for batch in self._source.books(self._bounds, low, high)]
        happened = trade_events["exch_ts"]
        books_from = self._books_from if self._books_from is not None else NEVER
        with_book = (happened >= self._no_trade_before) & (happened > books_from)
        self.trades_before_books += int((~with_book).sum())
        return np.concatenate([trade_events[with_book], *depth])

    def _changes(self, batch: pa.RecordBatch) -> Events:
        changes = self.differ.feed(batch)
        if self._books_from is None and len(changes):
            self._books_from = int(changes.exchange_ns[0])
        return changes_as_events(changes, self._source.scales, self._shift, self._dtype)


def trades_as_events(trades: Trades, scales: Scales, shift: int, dtype: np.dtype[Any]) -> Events:
    kind = np.where(trades.bought, TRADE | BUY, TRADE | SELL).astype(np.uint64)
    price, size = scales.price.floats(trades.price), scales.size.floats(trades.size)
    return _events(kind, trades.exchange_ns, trades.receive_ns + shift, price, size, dtype)


def changes_as_events(changes: Changes, scales: Scales, shift: int, dtype: np.dtype[Any]) -> Events:
    kind = EVENT_OF[changes.kind] | np.where(changes.bid, BUY, SELL).astype(np.uint64)
    price = np.where(changes.kind == CLEAR, np.inf, scales.price.floats(changes.price))  # infinite: the whole side
    size = np.where(changes.kind == REMOVE, 0.0, scales.size.floats(changes.size))
    return _events(kind, changes.exchange_ns, changes.receive_ns + shift, price, size, dtype)


def snapshot(book: Book, scales: Scales, dtype: np.dtype[Any]) -> Events:
    """The book as hftbacktest's own snapshots are: without times, for both sides of the wire."""
    sides = []
    for levels, side in ((book.bids, BUY), (book.asks, SELL)):
        kind = np.full(len(levels.price), DEPTH_SNAPSHOT | EXCH | LOCAL | side, np.uint64)
        none = np.zeros(len(levels.price), np.int64)
        price, size = scales.price.floats(levels.price), scales.size.floats(levels.size)
        sides.append(_events(kind, none, none, price, size, dtype))
    return np.concatenate(sides)


def order_latencies(source: Source, found: Plan, shift: int) -> NDArray[Any]:
    """From each pong: sent, at the venue, back. Our clock says when it was there: in the middle."""
    first, last = moment(found.from_ns), moment(found.to_ns)
    table = source.lake.sql(
        f"SELECT receive_ns, round_trip_ns FROM clock WHERE venue = {quoted(source.venue)} AND round_trip_ns > 0 "
        f"AND date BETWEEN CAST({first} AS DATE) AND CAST({last} AS DATE) "
        f"AND receive_ns BETWEEN {found.from_ns} AND {found.to_ns} ORDER BY receive_ns"
    ).to_arrow_table()
    back = table["receive_ns"].to_numpy() + shift
    trip = table["round_trip_ns"].to_numpy()
    rows = np.zeros(len(back), ORDER_LATENCY)
    rows["req_ts"], rows["exch_ts"], rows["resp_ts"] = back - trip, back - trip // 2, back
    rows.sort(order="req_ts")
    return rows


def _events(
    kind: NDArray[np.uint64], exchange: Ints, local: Ints, price: Floats, size: Floats, dtype: np.dtype[Any]
) -> Events:
    rows = np.zeros(len(kind), dtype)
    rows["ev"], rows["exch_ts"], rows["local_ts"], rows["px"], rows["qty"] = kind, exchange, local, price, size
    return rows
