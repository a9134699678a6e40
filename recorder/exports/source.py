"""Rows of one symbol for one range of exchange time, in pieces small enough for any memory.

The range [start, end) is the venue's time, as in every question to the lake; a clean stretch is our time. So a row
belongs to a stretch when its exchange_time is in the range and its receive_ns in the stretch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recorder.exports.coverage import NEVER, Clock, Plan, Stretch, measure_clock, moment
from recorder.exports.errors import ExportError
from recorder.exports.exact import Ints, Places
from recorder.exports.times import to_ns
from recorder.lake.reader import Lake, Relation, open_lake, quoted
from recorder.lake.times import Moment
from recorder.lake.times import moment as parse

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
BOOKS_A_BATCH = 2048  # 2 x 100 levels each: a batch stays in the processor's cache
BOOK = "epoch_ns(exchange_time) AS exchange_ns, receive_ns, seq, version, bid_prices, bid_sizes, ask_prices, ask_sizes"


@dataclass(frozen=True)
class Trades:
    """Trades in order of exchange time; prices and sizes in the places of the `Scales` that made them."""

    exchange_ns: Ints
    receive_ns: Ints
    trade_id: list[int | None]
    price: Ints
    size: Ints
    bought: NDArray[np.bool_]  # the taker bought

    def __len__(self) -> int:
        return len(self.exchange_ns)


@dataclass(frozen=True)
class Latency:
    """receive_ns minus exchange_time over the rows of a range, before any offset."""

    rows: int
    least_ns: int | None
    median_ns: int | None
    p99_ns: int | None


@dataclass
class Scales:
    """Decimal places of prices and sizes, shared by trades and books."""

    price: Places
    size: Places


class Source:
    """One symbol of a lake. An open start is where coverage begins: `begin` sets it."""

    def __init__(self, lake: Lake, venue: str, symbol: str, start_ns: int | None, end_ns: int | None) -> None:
        self.lake = lake
        self.venue = venue
        self.symbol = symbol
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.clock: Clock = measure_clock(lake, venue, start_ns, end_ns)
        self.scales = Scales(Places(), Places())
        self._several = _recorders(lake) > 1

    @property
    def what(self) -> str:
        return f"{self.symbol} of {self.venue}"

    def begin(self, plan: Plan) -> None:
        if self.start_ns is None:
            self.start_ns = self.clock.venues(plan.from_ns)

    def bounds(self, plan: Plan, stretch: Stretch) -> Stretch:
        """What receive_ns must be; at the range's own edges exchange_time alone decides."""
        first = 0 if stretch.from_ns == plan.from_ns else stretch.from_ns
        last = NEVER if stretch.to_ns == plan.to_ns and self.end_ns is not None else stretch.to_ns
        return Stretch(first, last)

    def rows(self, view: str, columns: str, bounds: Stretch, low: int, high: int, order: str = "") -> Relation:
        """`columns` of the rows in [low, high) and in the range."""
        where = self._where(bounds, max(low, self.start_ns or 0), min(high, self.end_ns or NEVER))
        return self.lake.sql(f"SELECT {columns} FROM {view} WHERE {where}" + (f" ORDER BY {order}" if order else ""))

    def span(self, view: str, bounds: Stretch) -> tuple[int, int] | None:
        """First and last exchange time, ns; None if there are no rows."""
        columns = "epoch_ns(min(exchange_time)), epoch_ns(max(exchange_time))"
        first, last = self.rows(view, columns, bounds, 0, NEVER).fetchall()[0]
        return None if first is None else (first, last)

    def windows(self, bounds: Stretch, *views: str) -> list[tuple[int, int]]:
        """Whole hours that hold all rows of the views."""
        spans = [span for view in views if (span := self.span(view, bounds)) is not None]
        if not spans:
            return []
        first, last = min(span[0] for span in spans), max(span[1] for span in spans)
        return [(hour, hour + HOUR_NS) for hour in range(first // HOUR_NS * HOUR_NS, last + 1, HOUR_NS)]

    def latency(self, *views: str) -> Latency:
        """Over all rows of the range. The median and p99 are those of the first view."""
        delay = "receive_ns - epoch_ns(exchange_time)"
        found = []
        for view in views:
            columns = f"count(*), min({delay}), approx_quantile({delay}, 0.5), approx_quantile({delay}, 0.99)"
            found.append(self.rows(view, columns, Stretch(0, NEVER), 0, NEVER).fetchall()[0])
        least = [row[1] for row in found if row[1] is not None]
        return Latency(sum(row[0] for row in found), min(least, default=None), found[0][2], found[0][3])

    def trades(self, bounds: Stretch, low: int, high: int) -> Trades:
        """Those of [low, high), in order."""
        columns = "epoch_ns(exchange_time) AS exchange_ns, receive_ns, trade_id, price, size, NOT buyer_is_maker AS b"
        order = "exchange_time, trade_id, seq, idx"
        table = self.rows("trade", columns, bounds, low, high, order).to_arrow_table().combine_chunks()
        column = {name: _one(table[name]) for name in table.column_names}
        return Trades(
            _ints(column["exchange_ns"]),
            _ints(column["receive_ns"]),
            column["trade_id"].to_pylist(),
            self.scales.price.ints(column["price"]),
            self.scales.size.ints(column["size"]),
            column["b"].to_numpy(zero_copy_only=False),
        )

    def books(self, bounds: Stretch, low: int, high: int) -> Iterator[pa.RecordBatch]:
        """Whole books of [low, high) in order of arrival: exchange_ns, receive_ns, seq, version and the four lists.

        Ask nothing else of the lake before the last one is taken.
        """
        order = "receive_ns, seq, idx" if self._several else ""  # the files of one recorder are in order
        reader = self.rows("depth", BOOK, bounds, low, high, order).to_arrow_reader(BOOKS_A_BATCH)
        for batch in reader:
            for start in range(0, batch.num_rows, BOOKS_A_BATCH):
                yield batch.slice(start, BOOKS_A_BATCH)

    def book_before(self, plan: Plan) -> pa.RecordBatch | None:
        """The book in force where the range begins, if nothing can have been missed since it came."""
        if self.start_ns is None or plan.since_ns is None:
            return None
        at = moment(self.start_ns - 1000)  # the last microsecond before
        query = f"SELECT {BOOK} FROM book_at({quoted(self.symbol)}, {at}) WHERE venue = {quoted(self.venue)}"
        table = self.lake.sql(query).to_arrow_table()
        if table.num_rows != 1 or not plan.since_ns <= table["receive_ns"][0].as_py():
            return None
        return table.to_batches()[0]

    def carried(self, plan: Plan, shift: int) -> list[pa.RecordBatch]:
        """That book as if it came at the start of the range, also after `shift` has been added; empty if none."""
        batch = self.book_before(plan)
        if batch is None or self.start_ns is None:
            return []
        arrived = max(self.start_ns - shift, self.clock.ours(self.start_ns), batch.column("receive_ns")[0].as_py())
        batch = batch.set_column(0, "exchange_ns", pa.array([self.start_ns], pa.int64()))
        return [batch.set_column(1, "receive_ns", pa.array([arrived], pa.int64()))]

    def instrument(self) -> dict[str, Any]:
        """The newest row before the end of the range, else the oldest; empty if there is none."""
        before = f"exchange_time < {moment(self.end_ns)}" if self.end_ns is not None else "true"
        columns = "base, quote, kind, status, tick_size, lot_size, min_notional, contract_multiplier, raw"
        rows = self.lake.sql(
            f"SELECT {columns} FROM instrument WHERE venue = {quoted(self.venue)} AND symbol = {quoted(self.symbol)} "
            f"ORDER BY coalesce({before}, false) DESC, CASE WHEN {before} THEN seq ELSE -seq END DESC LIMIT 1"
        ).fetchall()
        return dict(zip(columns.split(", "), rows[0], strict=True)) if rows else {}

    def _where(self, bounds: Stretch, low: int, high: int) -> str:
        wanted = [f"venue = {quoted(self.venue)}", f"symbol = {quoted(self.symbol)}"]
        wanted.append(f"exchange_time >= {moment(low)}")
        first = self.clock.ours(low)
        wanted += [f"date >= DATE '{moment(first - DAY_NS)[11:21]}'"] if first > DAY_NS else []
        if high < NEVER:
            last = moment(self.clock.ours(high) + DAY_NS)[11:21]
            wanted += [f"exchange_time < {moment(high)}", f"date <= DATE '{last}'"]
        wanted += [f"receive_ns >= {bounds.from_ns}"] if bounds.from_ns else []
        wanted += [f"receive_ns <= {bounds.to_ns}"] if bounds.to_ns < NEVER else []
        return " AND ".join(wanted)


def open_source(lake_path: str | Path, symbol: str, start: Moment, end: Moment, venue: str | None) -> Source:
    """Raises ExportError if the symbol is not here, or of several venues and `venue` names none."""
    lake = open_lake(lake_path)
    lake.con.execute("SET enable_progress_bar = false")  # DuckDB's own goes to stdout, where data goes
    rows = lake.sql(
        f"SELECT venue FROM session WHERE symbol = {quoted(symbol)} "
        f"UNION SELECT venue FROM instrument WHERE symbol = {quoted(symbol)} ORDER BY 1"
    ).fetchall()
    venues = [row[0] for row in rows]
    if not venues:
        known = ", ".join(lake.symbols()) or "none"
        raise ExportError(f"{symbol}: never recorded in {lake_path}; there are {known}")
    if venue is None and len(venues) > 1:
        raise ExportError(f"{symbol}: recorded on {', '.join(venues)}; name one with --venue")
    if venue is not None and venue not in venues:
        raise ExportError(f"{symbol}: not recorded on {venue}; on {', '.join(venues)}")
    low, high = parse(start), parse(end)
    if low is not None and high is not None and high <= low:
        raise ExportError(f"--from {start} --to {end}: the range is empty; let --to be after --from")
    return Source(lake, venue or venues[0], symbol, to_ns(low) if low else None, to_ns(high) if high else None)


def _recorders(lake: Lake) -> int:
    """How many recorders wrote books; a file's name begins with its recorder."""
    return len({Path(file).name.partition("~")[0] for file in lake.files("depth") if "~" in Path(file).name})


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _ints(column: pa.Array) -> Ints:
    values: Ints = column.to_numpy(zero_copy_only=False).astype(np.int64)
    return values
