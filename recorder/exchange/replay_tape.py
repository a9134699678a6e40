"""The range of a lake that is played: what is in it, and its entries in order, window by window.

A window is as many seconds as hold a bounded number of rows, so a day of books needs no more memory than an hour.
Only positions are sorted, never the books themselves. What the recorder's lines did is among the entries: it is what
makes a gap a disconnect.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import orjson
import pyarrow as pa

from recorder.errors import LakeError
from recorder.exchange.replay_options import ReplayOptions
from recorder.exchange.replay_rows import COMMON, TABLES, Context, Entry, Kind, Table
from recorder.exchange.site import site_of
from recorder.lake.reader import Lake, near, open_lake, quoted
from recorder.lake.times import moment

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
WINDOW = 20_000.0  # weight of a window; a book is 1. Two windows are in memory: the one that plays and the next
BATCH = 1024  # books that are numbers at a time
KNOWN_TRADES = 100  # before the start, for REST and V1's history
KNOWN_CANDLES = 1000
KNOWN_DAYS = 2  # how long before the start is looked for what was known there
EVER = range(DAY, 2**63 - 1 - DAY)  # ns; the end is in the year 2262
BOTH_APIS = ("v1", "v2")
Answer = TypeVar("Answer")


class LineEvent(NamedTuple):
    """What the recorder's line did; `data` of an entry. A line is an API of the venue."""

    what: str  # connect, disconnect or start
    api: str  # '' of a start
    session: str
    conn: int


class TradeGap(NamedTuple):
    """An interval in which trades are missing; healed: the history of V1 closed it."""

    symbol: str
    from_ns: int
    to_ns: int
    healed: bool


@dataclass(frozen=True)
class Listed:
    """How a symbol looked from a moment on, in the venue's words."""

    moment: int
    raw: dict[str, Any]
    is_contract: bool


class Tape:
    """An open lake, a venue, symbols and a range. Raises LakeError or ExchangeError for what is not there."""

    def __init__(self, options: ReplayOptions) -> None:
        self.lake: Lake = open_lake(options.data)
        self.lake.con.execute("SET threads = 1")  # the other core plays; each thread of DuckDB's takes its own buffers
        self.by_exchange = options.timing == "exchange"
        self.venue = self._choose_venue(options)
        self.offset_ns = self._offset() if self.by_exchange else 0
        low, high = _asked(options)
        self.symbols = self._choose_symbols(options, low, high)
        self.listings = self._listings()
        self.indices = self._indices(bool(options.symbols))
        self.start_ns, self.end_ns = self._range(options, low, high)
        self.recorded = self._recorded()
        self.lines = self._lines()
        self.trade_gaps = self._trade_gaps()
        self.context = Context({}, site_of(self.venue))

    # -- what there is

    def _choose_venue(self, options: ReplayOptions) -> str:
        venues: list[str] = []
        for views in (("session", "instrument"), tuple(TABLES)):  # the large tables only if the small ones are empty
            query = " UNION ".join(f"SELECT venue FROM {view}" for view in views)
            venues = venues or sorted(venue for (venue,) in self._ask(query))
        if not venues:
            raise LakeError(f"{options.data}: nothing recorded yet; record something first (`recorder run`)")
        if options.venue is None and len(venues) > 1:
            raise LakeError(f"{options.data} has {', '.join(venues)}; name one with --venue")
        if options.venue not in (None, *venues):
            raise LakeError(f"{options.venue}: not recorded in {options.data}; there is {', '.join(venues)}")
        return options.venue or venues[0]

    def _choose_symbols(self, options: ReplayOptions, low: int, high: int) -> tuple[str, ...]:
        """Those asked for when it was recorded, and those that have rows in the range."""
        venue = f"venue = {quoted(self.venue)}"
        queries = [f"SELECT symbol FROM session WHERE {venue} AND event = 'subscribe' AND channel <> 'index_price'"]
        queries += [
            f"SELECT symbol FROM {view} WHERE {venue}{self._dates(low, high)}"
            for view in TABLES
            if view != "index_price"
        ]
        known = sorted(symbol for (symbol,) in self._ask(" UNION ".join(queries)) if symbol)
        for symbol in options.symbols:
            if symbol not in known:
                raise LakeError(f"--symbols {symbol}: never recorded here{near(symbol, known)}; see lake.symbols()")
        return tuple(dict.fromkeys(options.symbols)) or tuple(known)

    def _listings(self) -> dict[str, list[Listed]]:
        rows = self._ask(
            f"SELECT symbol, receive_ns, raw, kind = 'perpetual' FROM instrument WHERE venue = {quoted(self.venue)} "
            f"AND {_among(self.symbols)} ORDER BY receive_ns, seq, idx"
        )
        found: dict[str, list[Listed]] = {}
        for symbol, at, raw, is_contract in rows:
            found.setdefault(symbol, []).append(Listed(at + self.offset_ns, orjson.loads(raw), is_contract))
        return found

    def _indices(self, only_ours: bool) -> tuple[str, ...]:
        """Names of the indices that were recorded; with chosen symbols only theirs."""
        rows = self._ask(f"SELECT DISTINCT symbol FROM index_price WHERE venue = {quoted(self.venue)} ORDER BY 1")
        ours = {index_name(listed.raw) for listings in self.listings.values() for listed in listings}
        return tuple(name for (name,) in rows if not only_ours or name in ours)

    def _range(self, options: ReplayOptions, low: int, high: int) -> tuple[int, int]:
        """The part of [low, high) from its first row to its last."""
        first, last = self._span(low, high)
        if first is None or last is None:
            self.symbols = self._choose_symbols(options, EVER.start, EVER.stop)
            first, last = self._span(EVER.start, EVER.stop)
            has = "nothing" if first is None or last is None else f"{_text(first)} to {_text(last)}"
            raise LakeError(
                f"--from {options.start} --to {options.end}: no rows there; the lake has {has}, see `recorder coverage`"
            )
        return max(low, first), min(high, last + 1)

    def _span(self, low: int, high: int) -> tuple[int | None, int | None]:
        spans = " UNION ALL ".join(
            f"SELECT min({self._moment(table)}) AS first, max({self._moment(table)}) AS last FROM {view} "
            f"WHERE {self._within(view, table, low, high)}"
            for view, table in TABLES.items()
        )
        first, last = self._ask(f"SELECT min(first), max(last) FROM ({spans})")[0]
        return first, last

    def _recorded(self) -> dict[str, frozenset[str]]:
        """Views that the range has pushes of; of the candles also which intervals."""
        found = {}
        for view, table in TABLES.items():
            interval = "interval" if view == "kline_update" else "''"
            where = f"{self._within(view, table, self.start_ns, self.end_ns)} AND source <> 'rest'"
            rows = self._ask(f"SELECT DISTINCT {interval} FROM {view} WHERE {where}")
            if rows:
                found[view] = frozenset(interval for (interval,) in rows)
        return found

    def _lines(self) -> list[Entry]:
        """What the lines did, from the very beginning: who is open at the start must be known."""
        rows = self._ask(
            "SELECT receive_ns, seq, event, session, conn, CAST(json_extract(detail, '$.line') AS INTEGER), "
            "CAST(json_extract(detail, '$.conn') AS INTEGER) FROM session "
            f"WHERE venue = {quoted(self.venue)} AND event IN ('start', 'connect', 'disconnect') "
            f"AND receive_ns + {self.offset_ns} < {self.end_ns} ORDER BY receive_ns, seq, idx"
        )
        return [
            Entry(
                at + self.offset_ns, seq, -1, "", "", None, told or conn, Kind.LINE,
                LineEvent(event, f"v{line}" if line else "", session, told or conn),
            )
            for at, seq, event, session, conn, line, told in rows
        ]  # fmt: skip

    def _trade_gaps(self) -> list[TradeGap]:
        rows = self._ask(
            f"SELECT symbol, from_ns + {self.offset_ns}, to_ns + {self.offset_ns}, bool_or(healed) FROM gap "
            f"WHERE venue = {quoted(self.venue)} AND channel = 'trade' AND {_among(self.symbols)} GROUP BY ALL"
        )
        return [TradeGap(*row) for row in rows]

    def _offset(self) -> int:
        """The venue's clock minus ours, the median of the lake."""
        rows = self._ask(f"SELECT median(offset_ns) FROM clock WHERE venue = {quoted(self.venue)}")
        return round(rows[0][0] or 0)

    # -- what was known at the start

    def before(self) -> list[Entry]:
        """The last of everything before the start: books, quotes, tickers, prices, trades and candles."""
        low = self.start_ns - KNOWN_DAYS * DAY
        found: list[Entry] = []
        for view, table in TABLES.items():
            where = self._within(view, table, low, self.start_ns)
            at = self._moment(table)
            latest = f"{at} DESC, seq DESC, idx DESC"
            if view == "trade":
                where += f" QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY {latest}) <= {KNOWN_TRADES}"
            elif view == "kline_update":
                candle = f"row_number() OVER (PARTITION BY symbol, interval, open_time ORDER BY {latest}) = 1"
                newest = "dense_rank() OVER (PARTITION BY symbol, interval ORDER BY open_time DESC)"
                where += f" QUALIFY {candle} AND {newest} <= {KNOWN_CANDLES}"
            else:  # lists are wide: find the rows first, then read them
                rows = f"SELECT symbol, max({at}) AS m FROM {view} WHERE {where} GROUP BY symbol"
                last = self._ask(rows)
                if view == "depth_delta" or not last:
                    continue  # a change says nothing without those before it
                pairs = ", ".join(f"({quoted(symbol)}, {when})" for symbol, when in last)
                where += f" AND (symbol, {at}) IN ({pairs})"
            found += self._entries(view, table, where)
        return sorted(found, key=_order)

    # -- the entries

    def windows(self) -> Iterator[list[Entry]]:
        """All entries of the range in order, in pieces."""
        lines = [entry for entry in self.lines if entry.moment >= self.start_ns]
        done = 0
        for low, high, views in self._spans():
            found: list[Entry] = []
            for view in views:
                table = TABLES[view]
                found += self._entries(view, table, self._within(view, table, low, high))
            first = done
            while done < len(lines) and lines[done].moment < high:
                done += 1
            found += lines[first:done]
            found.sort(key=_order)
            yield found
        if lines[done:]:
            yield lines[done:]

    def _spans(self) -> Iterator[tuple[int, int, list[str]]]:
        """Windows as (low, high, views that have rows there): whole seconds, but for the ends of the range."""
        low, weight, views = self.start_ns, 0.0, set[str]()
        for hour in range(self.start_ns // HOUR * HOUR, self.end_ns, HOUR):
            for second, more, those in self._weights(max(hour, self.start_ns), min(hour + HOUR, self.end_ns)):
                if weight and weight + more > WINDOW:
                    yield low, second * SECOND, sorted(views)
                    low, weight, views = second * SECOND, 0.0, set()
                weight += more
                views.update(those)
        if weight:
            yield low, self.end_ns, sorted(views)

    def _weights(self, low: int, high: int) -> list[tuple[int, float, list[str]]]:
        """What each second of [low, high) weighs, and which views it has; seconds without rows are left out."""
        counts = " UNION ALL ".join(
            f"SELECT {self._moment(table)} // {SECOND} AS s, count(*) * {table.weight} AS w, '{view}' AS view "
            f"FROM {view} WHERE {self._within(view, table, low, high)} GROUP BY 1"
            for view, table in TABLES.items()
        )
        rows = self._ask(f"SELECT s, sum(w), list(view) FROM ({counts}) GROUP BY 1 ORDER BY 1")
        return [(second, float(weight), views) for second, weight, views in rows]

    def _entries(self, view: str, table: Table, where: str) -> list[Entry]:
        """Wide rows are turned into text in batches, so that they are never all in memory as numbers."""
        query = f"SELECT {COMMON}, {self._moment(table)} AS moment, {table.columns} FROM {view} WHERE {where}"

        def read() -> list[Entry]:
            rows = self.lake.sql(query)
            if not table.is_wide:
                return self._made(table, rows.to_arrow_table())
            batches = rows.to_arrow_reader(BATCH)
            return [entry for batch in batches for entry in self._made(table, pa.Table.from_batches([batch]))]

        return self._retried(read)

    def _made(self, table: Table, rows: pa.Table) -> list[Entry]:
        return list(table.make(rows, self.context)) if len(rows) else []

    # -- SQL

    def _moment(self, table: Table) -> str:
        """The time that counts, ns."""
        if not self.by_exchange:
            return "receive_ns"
        return "epoch_ns(exchange_time)" if table.has_time else f"(receive_ns + {self.offset_ns})"

    def _ours(self, view: str) -> str:
        names = self.indices if view == "index_price" else self.symbols
        return f"venue = {quoted(self.venue)} AND {_among(names)}"

    def _dates(self, low: int, high: int) -> str:
        """By which files can be left out."""
        slack = DAY if self.by_exchange else 0
        first, last = (_text(ns)[:10] for ns in (low - slack, high + slack))
        return f" AND date BETWEEN DATE '{first}' AND DATE '{last}'"

    def _within(self, view: str, table: Table, low: int, high: int) -> str:
        """Rows whose moment is in [low, high); written so that files and row groups can be left out."""
        where = f"{self._ours(view)}{self._dates(low, high)}"
        if self.by_exchange and table.has_time:
            first, last = f"make_timestamp({_us(low)})", f"make_timestamp({_us(high)})"
            return f"{where} AND exchange_time >= {first} AND exchange_time < {last}"
        return f"{where} AND receive_ns >= {low - self.offset_ns} AND receive_ns < {high - self.offset_ns}"

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        return self._retried(lambda: self.lake.sql(query).fetchall())

    def _retried(self, ask: Callable[[], Answer]) -> Answer:
        """Once more if files were merged away while they were read."""
        try:
            return ask()
        except Exception as error:
            if type(error).__name__ != "IOException":  # DuckDB's, which only the lake may import
                raise
            self.lake.refresh()
            return ask()


def index_name(raw: dict[str, Any]) -> str:
    """The index of a contract: its field if that is a pair already, else underlying and field."""
    name, coin = str(raw.get("index") or ""), str(raw.get("underlying") or "")
    return name if coin and name.startswith(coin) else coin + name


def _among(symbols: Iterable[str]) -> str:
    names = ", ".join(quoted(symbol) for symbol in symbols)
    return f"symbol IN ({names})" if names else "false"


def _order(entry: Entry) -> tuple[int, int, int]:
    return entry.moment, entry.seq, entry.idx


def _asked(options: ReplayOptions) -> tuple[int, int]:
    """The range as asked for, ns. Raises LakeError if nothing can be in it."""
    low, high = moment(options.start), moment(options.end)
    first = EVER.start if low is None else _ns(low)
    last = EVER.stop if high is None else _ns(high)
    if last <= first:
        raise LakeError(f"--from {options.start} --to {options.end}: the range is empty; let --to be after --from")
    return first, last


def _ns(at: datetime) -> int:
    return (at - datetime(1970, 1, 1)) // timedelta(microseconds=1) * 1000


def _us(ns: int) -> int:
    """The first microsecond not before."""
    return -(-ns // 1000)


def _text(ns: int) -> str:
    """UTC, to the second."""
    return f"{datetime.fromtimestamp(ns // SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"
