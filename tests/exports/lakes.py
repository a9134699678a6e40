"""Lakes for the exports' tests: a seeded synthetic market, or a real capture, sampled as the venue samples it.

No socket and no clock: a row's receive_ns is its exchange time plus a delay that the seed decides, so that every
test knows what local times to expect. Real captures keep the receive stamps they were made with.
"""

import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from recorder.exchange.capture import CaptureSource
from recorder.exchange.instruments import choose
from recorder.exchange.market import Market
from recorder.exchange.series import Series
from recorder.exchange.source import MS, Source, Traded
from tests.lake.helpers import Row, empty_lake, write

CAPTURES = Path(
    os.environ.get("RECORDER_CAPTURES", Path(__file__).resolve().parents[3] / "shared/data/real/hftbacktest")
)
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
START_NS = int(START.timestamp()) * 1_000_000_000
TICK_NS = 100 * MS
PONG_NS = 10_000 * MS
EPOCH = datetime(1970, 1, 1)
SECOND_NS = 1_000_000_000
Interval = tuple[float, float]  # seconds after the start
Span = tuple[int, int]  # Unix ns


@dataclass
class Made:
    """What was written, for comparison: rows as the lake has them."""

    path: Path
    symbol: str
    start_ns: int
    end_ns: int
    books: list[Row] = field(default_factory=list)
    trades: list[Row] = field(default_factory=list)

    def at(self, seconds: float) -> datetime:
        return when(self.start_ns + round(seconds * SECOND_NS))


def when(ns: int) -> datetime:
    """Naive UTC."""
    return EPOCH + timedelta(microseconds=ns // 1000)


def market_lake(
    root: Path,
    *,
    symbol: str = "BTCUSD",
    seconds: float = 120,
    gaps: Sequence[Interval] = (),
    seed: int = 7,
    rate: float = 3.0,
    our_clock_ns: int = 0,
    start: datetime = START,
    tick: Decimal | None = None,
    late: tuple[float, float, float] | None = None,
) -> Made:
    """A lake of one symbol. In `gaps` nothing was received; `our_clock_ns` is our clock minus the venue's.

    `late` (from, to, delay in seconds): the trades of that time arrived by so much later, as a backfill brings them.
    """
    start_ns = int(start.timestamp()) * SECOND_NS
    market = Market(choose([symbol], 0)[:1], seed, start_ns // MS, rate)
    chooser = random.Random(seed)
    delays = {True: lambda: chooser.randrange(5 * MS, 15 * MS), False: lambda: chooser.randrange(15 * MS, 45 * MS)}
    made = Made(root, symbol, start_ns, start_ns + round(seconds * SECOND_NS))
    made.books, made.trades = sample(
        market, symbol, start_ns, made.end_ns, lambda tick, is_trade: tick + delays[is_trade]() + our_clock_ns
    )
    lost = [
        (start_ns + int(a * SECOND_NS) + our_clock_ns, start_ns + int(b * SECOND_NS) + our_clock_ns) for a, b in gaps
    ]
    made.books = [row for row in made.books if not inside(row, lost)]
    made.trades = [row for row in made.trades if not inside(row, lost)]
    if late is not None:
        for row in made.trades:
            row["late"] = late[0] < (row["receive_ns"] - start_ns) / SECOND_NS < late[1]
            row["receive_ns"] += round(late[2] * SECOND_NS) if row["late"] else 0
    finish(made, lost, our_clock_ns, market.series[symbol], tick)
    return made


def capture_lake(root: Path, name: str, seconds: float = 60) -> Made:
    """A real recording with its own receive stamps; the recorder's clock was some 1.2 s behind the venue's."""
    source = CaptureSource([CAPTURES / name])
    ((symbol, series),) = source.series.items()
    made = Made(root, symbol, source.start_ns, source.start_ns + round(seconds * SECOND_NS))
    made.books, made.trades = sample(source, symbol, made.start_ns, made.end_ns, lambda tick, is_trade: tick)
    finish(made, [], -1_245 * MS, series, ours=True)
    return made


def sample(source: Source, symbol: str, start_ns: int, end_ns: int, received: Any) -> tuple[list[Row], list[Row]]:
    """Each trade, and the book at each tick at which it has changed."""
    books: list[Row] = []
    trades: list[Row] = []
    series, version = source.series[symbol], 0
    for tick in range(start_ns + TICK_NS, end_ns, TICK_NS):
        for event in source.advance(tick):
            if isinstance(event, Traded):
                trades.append(trade_row(series, event, received(tick, True)))
        if series.book.version and series.book.version != version:
            version = series.book.version
            books.append(book_row(series, received(tick, False)))
    for rows in (books, trades):  # one line: nothing overtakes
        latest = 0
        for row in rows:
            row["receive_ns"] = latest = max(latest, row["receive_ns"])
    return books, trades


def number(value: int, scale: int) -> Decimal:
    return Decimal(value).scaleb(-scale)


def trade_row(series: Series, event: Traded, receive_ns: int) -> Row:
    trade, scales = event.trade, series.instrument
    return {
        "receive_ns": receive_ns,
        "exchange_time": when(trade.time * MS),
        "trade_id": trade.id,
        "price": number(trade.price, scales.price_scale),
        "size": number(trade.size, scales.size_scale),
        "buyer_is_maker": trade.buyer_is_maker,
    }


def book_row(series: Series, receive_ns: int) -> Row:
    scales = series.instrument
    row: Row = {"receive_ns": receive_ns, "exchange_time": when(series.book.time * MS), "version": series.book.version}
    for name, side in (("bid", series.book.bids), ("ask", series.book.asks)):
        levels = [(number(p, scales.price_scale), number(s, scales.size_scale)) for p, s in side.levels()]
        row[f"{name}_prices"] = [price for price, _ in levels]
        row[f"{name}_sizes"] = [size for _, size in levels]
        row[f"{name}_price"], row[f"{name}_size"] = levels[0] if levels else (None, None)
    return row


def finish(
    made: Made,
    lost: Sequence[Span],
    our_clock_ns: int,
    series: Series,
    tick: Decimal | None = None,
    ours: bool = False,
) -> None:
    """Number all rows in order of arrival, add own events, and write the files. `ours`: `made` speaks our clock."""
    root = empty_lake(made.path)
    begin, end = (made.start_ns, made.end_ns) if ours else (made.start_ns + our_clock_ns, made.end_ns + our_clock_ns)
    own: Row = {"symbol": "", "source": "", "conn": 0, "session": "s1", "channel": "", "detail": "{}"}
    session = [own | {"receive_ns": begin - 1000, "event": "start"}]
    channels = ("depth", "trade")
    session += [own | {"receive_ns": begin, "event": "live", "symbol": made.symbol, "channel": c} for c in channels]
    session += [own | {"receive_ns": end + 1, "event": "stop"}]
    gaps = [
        {"symbol": made.symbol, "source": "", "conn": 0, "channel": c, "reason": "disconnect", "healed": False}
        | {"receive_ns": b, "from_ns": a, "to_ns": b}
        for a, b in lost
        for c in channels
    ]
    clock = [
        {"symbol": "", "source": "", "conn": 0, "receive_ns": at, "exchange_time": when(at - our_clock_ns)}
        | {"server_ms": (at - our_clock_ns) // MS, "round_trip_ns": 8 * MS, "offset_ns": -our_clock_ns}
        for at in range(begin, end + 1, PONG_NS)
    ]
    instrument = [instrument_row(series, begin, made.symbol) | ({"tick_size": tick} if tick else {})]
    tables = {"depth": made.books, "trade": made.trades, "session": session, "gap": gaps, "clock": clock}
    every = [
        (row["receive_ns"], name, row) for name, rows in {**tables, "instrument": instrument}.items() for row in rows
    ]
    every.sort(key=lambda one: one[0])
    for seq, (_, _, row) in enumerate(every, 1):
        row["seq"] = seq
    for name in ("depth", "trade", "session", "gap", "clock", "instrument"):
        by_hour: dict[int, list[Row]] = {}
        for receive_ns, table, row in every:
            if table == name:
                by_hour.setdefault(receive_ns // (3600 * SECOND_NS), []).append({"symbol": made.symbol} | row)
        for rows in by_hour.values():
            write(root, name, rows)


def instrument_row(series: Series, receive_ns: int, symbol: str) -> Row:
    instrument = series.instrument
    return {
        "symbol": symbol,
        "receive_ns": receive_ns,
        "exchange_time": when(receive_ns),
        "base": instrument.base,
        "quote": instrument.quote,
        "kind": "perpetual" if instrument.contract else "spot",
        "status": "TRADING",
        "tick_size": number(1, instrument.price_decimals),
        "lot_size": number(1, instrument.size_decimals),
        "min_notional": Decimal(1),
        "contract_multiplier": number(instrument.multiplier, instrument.multiplier_scale)
        if instrument.contract
        else None,
        "raw": "{}",
    }


def inside(row: Row, lost: Iterable[Span]) -> bool:
    return any(a < row["receive_ns"] < b for a, b in lost)


def own_event(seconds: float, event: str, symbol: str, channel: str, seq: int) -> Row:
    """A session row of the recorder's own."""
    at = START_NS + round(seconds * SECOND_NS)
    own: Row = {"source": "", "conn": 0, "session": "s1", "detail": "{}"}
    return own | {"receive_ns": at, "seq": seq, "event": event, "symbol": symbol, "channel": channel}
