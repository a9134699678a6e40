"""Open a lake: SQL and ready-made questions over its files, while the recorder writes or when it does not run.

`open_lake` needs no server and takes no lock. The views are those of `lake.sql` (see `views.py`); this module
keeps their lists of files fresh and puts Python's arguments into SQL.

Answers are DuckDB relations: nothing is read until `.df()`, `.pl()`, `.arrow()`, `.fetchall()` or the like. One that
is kept for longer than the sealer's grace (an hour) may find its files merged away; it then fails, never silently:
ask again.
"""

import difflib
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from recorder.errors import LakeError
from recorder.lake.layout import check_format
from recorder.lake.listing import Watch
from recorder.lake.names import EPOCH
from recorder.lake.pinned import Removals, check_pinned, pin_now, pinned_files_sql
from recorder.lake.pins import Pin, read_pin
from recorder.lake.schema import tables
from recorder.lake.times import SLACK, Moment, dates, literal, moment, within
from recorder.lake.views import files_sql, lake_sql, multipliers_sql
from recorder.lake.whole import check_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from recorder.lake.live import Live

Relation = duckdb.DuckDBPyRelation
NO_ROWS_DATE = "1970-01-01"


def open_lake(path: str | Path = "data", live: bool = False, pin: str | None = None) -> "Lake":
    """The lake in directory `path`. `live=True` adds the last seconds, which are in the journal only.

    `pin` names a list that `Lake.pin` has kept: exactly its files are read, today and in a year.

    Raises LakeError if there is no lake, one of another format, or no such pin.
    """
    return Lake(path, live=live, pin=pin)


class Lake:
    """A lake open for reading. `con` is its DuckDB connection, with all views and macros; use it from one thread.

    Every method looks first whether there are newer files; a query on `con` itself sees those of the last look.
    """

    def __init__(
        self, path: str | Path = "data", live: bool = False, *, pin: str | None = None, as_of_ns: int | None = None
    ) -> None:
        if live and (pin is not None or as_of_ns is not None):
            raise LakeError("live=True shows what arrives now; leave it out to read what a pin or a moment holds")
        self.path = Path(path).absolute()
        if not self.path.is_dir():
            raise LakeError(f"{path}: no such directory; record something first (`recorder demo`), or name another")
        check_format(self.path)
        self._pin = read_pin(self.path, pin) if pin is not None else None
        if self._pin is not None:
            check_pinned(self.path, self._pin)
        self._watch = Watch(self.path)
        self._removals = Removals(self.path)
        self._tables = {name: table.name for table in tables().values() for name in (table.name, table.view)}
        self._symbols: set[str] = set()
        self._live: Live | None = None
        self.con = duckdb.connect()
        self.con.execute("SET enable_progress_bar = false")  # it is drawn on stdout, where our data goes
        self.con.execute("SET python_scan_all_frames = true")  # so that queries see the caller's data frames
        self.con.execute("SET VARIABLE lake = ?", [str(self.path)])
        for table in tables():
            self._watch.changed(table)
        try:
            self.con.execute(lake_sql(self._list_files, as_of_ns))
        except duckdb.IOException as error:
            remedy = "run this version's `recorder seal` on it once"
            raise LakeError(f"{self.path}: a table's schema file is missing; {remedy} ({error})") from error
        if live:
            self._live = _live(self)
            self.refresh()

    def refresh(self, everything: bool = True) -> None:
        """List the files again; with `everything=False` only of those tables whose folders have changed."""
        if self._pin is not None:
            return
        if everything or self._removals.happened():
            self._watch.forget()
        if self._live is not None:
            self._live.read()  # before the files are listed: a row that moves meanwhile is then seen in both
        changed = [table for table in tables() if self._watch.changed(table)]
        for table in changed:
            self.con.execute(files_sql(table))
        if self._live is not None:
            self._live.show()
        if "instrument" in changed:
            self.con.execute(multipliers_sql())

    def _list_files(self, table: str) -> str:
        """The statement that sets a table's list: the pinned one, or that of the reader rule."""
        return files_sql(table) if self._pin is None else pinned_files_sql(self.path, self._pin, table)

    def settled(self) -> datetime:
        """The latest moment for which `as_of` can promise that its rows will never change."""
        from recorder.lake.settled import settled_ns  # here, since it brings the decoder with it

        now_ns = time.time_ns()
        # At a pin no row is added any more, whatever the journal holds.
        settled = now_ns if self._pin is not None else settled_ns(self.path, now_ns)
        return EPOCH + timedelta(microseconds=settled // 1000)

    def as_of(self, t: Moment) -> "Lake":
        """The lake as it was known at `t`: only rows that had arrived by then, in every view and macro.

        It gives the same rows for ever: what is merged, healed or backfilled later changes nothing; only retention
        takes rows away, unless they are pinned. `files` still lists whole files: filter on receive_ns there.

        Raises LakeError if rows of before `t` may still be on their way into files: `settled()` says how far they are.
        """
        when = moment(t)
        if when is None:
            raise LakeError("as_of needs a time; write it as 2026-03-01T12:00:00Z")
        settled = self.settled()
        if when > settled:
            raise LakeError(
                f"as_of {when.isoformat()}: rows of before that time may still be added; "
                f"use {settled.isoformat()} (UTC) or earlier, or ask again in a minute"
            )
        name = self._pin.name if self._pin is not None else None
        return Lake(self.path, pin=name, as_of_ns=(when - EPOCH) // timedelta(microseconds=1) * 1000)

    def pin(self, name: str) -> Pin:
        """Keep the files of this moment under `name`, whatever is merged or removed: `open_lake(path, pin=name)`.

        Raises LakeError if the name is taken or not fit for a file name.
        """
        return pin_now(self.path, name)

    def sql(self, query: str, **params: Any) -> Relation:
        """Ask anything. Parameters are named: `lake.sql("… WHERE price > $limit", limit=5)`."""
        self.refresh(everything=False)
        try:
            return self.con.sql(query, params=params or None)
        except duckdb.IOException:  # a file has been merged away since it was listed
            self.refresh()
            return self.con.sql(query, params=params or None)

    def trades(self, symbol: str, start: Moment = None, end: Moment = None, whole: bool = False) -> Relation:
        """Trades with start <= exchange_time < end, in their order.

        `whole=True` raises LakeError, which names the gaps, unless coverage calls all of the range ok or healed.
        """
        return self._rows("trade", symbol, start, end, "exchange_time, trade_id, seq, idx", whole)

    def bbo(self, symbol: str, start: Moment = None, end: Moment = None, whole: bool = False) -> Relation:
        """Best bids and offers with start <= exchange_time < end, in their order.

        `whole=True` raises LakeError, which names the gaps, unless coverage calls all of the range ok or healed.
        """
        return self._rows("bbo", symbol, start, end, "exchange_time, seq, idx", whole)

    def depth(self, symbol: str, start: Moment = None, end: Moment = None, whole: bool = False) -> Relation:
        """Books with start <= exchange_time < end; of one recorder in order of arrival, as the files are.

        They are not sorted, since a day of books is more than most memories hold. `whole`: see `trades`.
        """
        return self._rows("depth", symbol, start, end, "", whole)

    def klines(
        self, symbol: str, interval: str = "1m", start: Moment = None, end: Moment = None, whole: bool = False
    ) -> Relation:
        """The last word on each candle with start <= open_time < end. `whole`: see `trades`."""
        low, high = moment(start), moment(end)
        first = f"{low - SLACK:%Y-%m-%d}" if low else NO_ROWS_DATE
        wanted = [f"symbol = {quoted(symbol)}", f"interval = {quoted(interval)}", *within("open_time", low, high)]
        self._check_symbol("kline_update", symbol)
        if whole:
            check_whole(self.coverage(symbol, "kline", low, high).fetchall(), "kline", symbol, low, high)
        query = f"FROM klines_since(DATE '{first}') WHERE {' AND '.join(wanted)} ORDER BY venue, open_time"
        return self.sql(query)

    def book_at(self, symbol: str, t: Moment) -> Relation:
        """The last book with exchange_time <= t, no older than a day: one row, or none."""
        when = moment(t)
        if when is None:
            raise LakeError("book_at needs a time; write it as 2026-03-01T12:00:00Z")
        self._check_symbol("depth", symbol)
        return self.sql(f"FROM book_at({quoted(symbol)}, {literal(when)})")

    def coverage(
        self, symbol: str | None = None, channel: str | None = None, start: Moment = None, end: Moment = None
    ) -> Relation:
        """What is recorded and what is missing, by our clock, cut to [start, end)."""
        low, high = moment(start), moment(end)
        wanted = ["true"]
        wanted += [f"symbol = {quoted(symbol)}"] if symbol is not None else []
        wanted += [f"channel = {quoted(channel)}"] if channel is not None else []
        wanted += [f"to_time > {literal(low)}"] if low else []
        wanted += [f"from_time < {literal(high)}"] if high else []
        first = f"greatest(from_time, {literal(low)}::TIMESTAMP_NS)" if low else "from_time"
        last = f"least(to_time, {literal(high)}::TIMESTAMP_NS)" if high else "to_time"
        return self.sql(
            f"SELECT venue, symbol, channel, {first} AS from_time, {last} AS to_time, status, reason FROM coverage "
            f"WHERE {' AND '.join(wanted)} ORDER BY venue, symbol, channel, from_time"
        )

    def files(self, table: str, start: Moment = None, end: Moment = None) -> list[str]:
        """The files that a view reads, for any other engine: those that may hold rows of [start, end).

        The first has no rows: it fixes the columns' types, and makes the list of an empty table readable.
        """
        if table not in self._tables:
            known = ", ".join(sorted(set(self._tables)))
            raise LakeError(f"{table}: no such table{near(table, self._tables)}; one of {known}")
        self.refresh(everything=False)
        files: list[str] = self.con.execute(f"SELECT getvariable('{self._tables[table]}_files')").fetchall()[0][0]
        low, high = moment(start), moment(end)
        first = f"{low - SLACK:%Y-%m-%d}" if low else ""
        last = f"{high + SLACK:%Y-%m-%d}" if high else "9999"
        return [file for file in files if (date := date_of(file)) == NO_ROWS_DATE or first <= date <= last]

    def symbols(self) -> list[str]:
        """Symbols of which there are rows or that we asked for."""
        query = "SELECT symbol FROM instrument UNION SELECT symbol FROM session"
        return sorted(symbol for (symbol,) in self.sql(query).fetchall() if symbol)

    def plot_coverage(self, start: Moment = None, end: Moment = None) -> "Figure":
        """Streams against time, coloured by status."""
        from recorder.lake import plots

        return plots.coverage(self.coverage(start=start, end=end).df())

    def plot_candles(self, symbol: str, interval: str = "1m", start: Moment = None, end: Moment = None) -> "Figure":
        """Candles and volume, made from trades; bars that a gap touches are shaded."""
        from recorder.lake import plots

        bars = self.ohlcv(symbol, interval, start, end).df()
        return plots.candles(bars, f"{symbol}, {interval}")

    def plot_depth(self, symbol: str, t: Moment = None) -> "Figure":
        """The book at `t`, cumulated from the middle; without `t` the last one."""
        from recorder.lake import plots

        when = moment(t) or self._last_book(symbol)
        book = self.book_at(symbol, when).df()
        if book.empty:
            raise LakeError(f"depth {symbol}: no book in the day before {when}; see lake.coverage({symbol!r})")
        return plots.depth(book.iloc[0].to_dict(), symbol)

    def ohlcv(self, symbol: str, interval: str = "1m", start: Moment = None, end: Moment = None) -> Relation:
        """Bars made from trades, one row for each bar that [start, end) touches; see the macro `ohlcv`."""
        self._check_symbol("trade", symbol)
        low, high = (literal(t) if t else "NULL" for t in (moment(start), moment(end)))
        return self.sql(f"FROM ohlcv({quoted(symbol)}, {quoted(interval)}, {low}, {high})")

    def _rows(self, view: str, symbol: str, start: Moment, end: Moment, order: str, whole: bool) -> Relation:
        low, high = moment(start), moment(end)
        self._check_symbol(view, symbol)
        if whole:
            check_whole(self.coverage(symbol, view, low, high).fetchall(), view, symbol, low, high)
        wanted = [f"symbol = {quoted(symbol)}", *within("exchange_time", low, high), *dates(low, high)]
        ordered = f" ORDER BY {order}" if order else ""
        return self.sql(f"FROM {view} WHERE {' AND '.join(wanted)}{ordered}")

    def _last_book(self, symbol: str) -> datetime:
        query = f"SELECT max(exchange_time) FROM depth WHERE symbol = {quoted(symbol)}"
        rows = self.sql(query).fetchall()
        if rows[0][0] is None:
            raise LakeError(f"depth {symbol}: nothing recorded; add depth to [record] streams")
        last: datetime = rows[0][0]
        return last

    def _check_symbol(self, view: str, symbol: str) -> None:
        """Raise LakeError for a symbol that was never asked for nor seen; what it costs is paid once a symbol."""
        if symbol in self._symbols:
            return
        self._symbols.update(self.symbols())
        if symbol in self._symbols:
            return
        if self.sql(f"SELECT 1 FROM {view} WHERE symbol = {quoted(symbol)} LIMIT 1").fetchall():
            self._symbols.add(symbol)
        elif self._symbols:
            raise LakeError(f"{symbol}: never recorded here{near(symbol, self._symbols)}; see lake.symbols()")


def _live(lake: Lake) -> "Live":
    from recorder.lake.live import Live  # here, since it brings the decoder with it

    return Live(lake.path, lake.con)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def date_of(file: str) -> str:
    """The date of arrival in a file's path."""
    return file.rpartition("/date=")[2][:10]


def near(name: str, known: Any) -> str:
    """', did you mean X?' for a slip of the keyboard; '' if nothing is close."""
    close = difflib.get_close_matches(name.upper(), {k.upper(): k for k in known}, n=3)
    exact = [k for k in known if k.upper() in close]
    return f" (did you mean {', '.join(sorted(exact))}?)" if exact else ""
