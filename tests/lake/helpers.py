"""Small lakes for tests, written with pyarrow by the file-name rule alone: no writer is involved.

Times are given in seconds after START; prices as text. What a row does not say is null, or what `DEFAULTS` says.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recorder.lake.schema import Table, tables

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
START_NS = int(START.timestamp()) * 1_000_000_000
REC = "alpha"
Row = dict[str, Any]

DEFAULTS: Row = {"venue": "hashkey", "symbol": "BTCUSD", "idx": 0, "conn": 1, "source": "ws_v1"}
OWN: Row = {"conn": 0, "source": "", "session": "s1", "channel": "", "detail": "{}"}


def ns(seconds: float) -> int:
    return START_NS + round(seconds * 1_000_000_000)


def at(seconds: float) -> datetime:
    """The naive UTC time of a moment, as views show it."""
    return START.replace(tzinfo=None) + timedelta(seconds=seconds)


def empty_lake(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "LAKE.json").write_text(json.dumps({"format": 1}))
    for table in tables().values():
        folder = root / "schema" / table.name / "date=1970-01-01"
        folder.mkdir(parents=True)
        pq.write_table(table.arrow.empty_table(), folder / "empty.parquet")
    return root


def as_table(table: Table, rows: Sequence[Row]) -> pa.Table:
    """Rows by their columns' names, completed by DEFAULTS, in the table's types."""
    full = [{field.name: None for field in table.arrow} | DEFAULTS | row for row in rows]
    return pa.Table.from_pylist(full, schema=table.arrow)


def write(
    root: Path,
    name: str,
    rows: Sequence[Row],
    *,
    level: str = "p",
    rec: str = REC,
    place: str = "hot",
    table: Table | None = None,
) -> Path:
    """One file of a table; its window and its seq range are those of its rows."""
    table = table or tables()[name]
    first, last = rows[0], rows[-1]
    arrived = datetime.fromtimestamp(first["receive_ns"] / 1e9, UTC)
    window = arrived.strftime("%Y%m%d" if level == "d" else "%Y%m%d%H")
    folder = root / place / name / f"date={arrived:%Y-%m-%d}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{rec}~{level}~{window}~{first['seq']}~{last['seq']}~{len(rows)}.parquet"
    pq.write_table(as_table(table, rows), path)
    return path


def trade(seq: int, seconds: float, price: str, size: str = "1", *, taker: str = "buy", **more: Any) -> Row:
    return {
        "seq": seq,
        "receive_ns": ns(seconds),
        "exchange_time": at(seconds),
        "trade_id": seq,
        "price": Decimal(price),
        "size": Decimal(size),
        "buyer_is_maker": taker == "sell",
    } | more


def bbo(seq: int, seconds: float, bid: str | None, ask: str | None, **more: Any) -> Row:
    prices = {"bid_price": bid and Decimal(bid), "ask_price": ask and Decimal(ask)}
    sizes = {"bid_size": bid and Decimal(1), "ask_size": ask and Decimal(2)}
    times = {"seq": seq, "receive_ns": ns(seconds), "exchange_time": at(seconds), "source": "ws_v2"}
    return times | prices | sizes | more


def book(seq: int, seconds: float, bids: Iterable[str], asks: Iterable[str], **more: Any) -> Row:
    bid_prices, ask_prices = [Decimal(p) for p in bids], [Decimal(p) for p in asks]
    return {
        "seq": seq,
        "receive_ns": ns(seconds),
        "exchange_time": at(seconds),
        "source": "ws_v2",
        "version": seq,
        "bid_price": bid_prices[0] if bid_prices else None,
        "ask_price": ask_prices[0] if ask_prices else None,
        "bid_prices": bid_prices,
        "bid_sizes": [Decimal(n + 1) for n in range(len(bid_prices))],
        "ask_prices": ask_prices,
        "ask_sizes": [Decimal(n + 1) for n in range(len(ask_prices))],
    } | more


def candle(seq: int, seconds: float, open_seconds: float, close: str, **more: Any) -> Row:
    price = Decimal(close)
    return {
        "seq": seq,
        "receive_ns": ns(seconds),
        "interval": "1m",
        "open_time": at(open_seconds),
        "open": price,
        "high": price,
        "low": price,
        "close": price,
        "volume": Decimal(1),
    } | more


def event(seq: int, seconds: float, name: str, channel: str = "", **more: Any) -> Row:
    """A session row; `detail` may be given as a dict."""
    detail = json.dumps(more.pop("detail", {}))
    symbol = {"symbol": "BTCUSD" if channel else ""}
    own = OWN | {"channel": channel, "event": name, "detail": detail}
    return {"seq": seq, "receive_ns": ns(seconds)} | own | symbol | more


def clock(seq: int, seconds: float) -> Row:
    own = {"symbol": "", "source": "ws_v2", "server_ms": ns(seconds) // 1_000_000, "round_trip_ns": 4_000_000}
    return {"seq": seq, "receive_ns": ns(seconds), "exchange_time": at(seconds), "offset_ns": -1_500_000} | own


def gap(seq: int, seconds: float, channel: str, start: float, end: float, reason: str, **more: Any) -> Row:
    own = {"conn": 0, "source": "", "channel": channel, "reason": reason, "healed": False}
    return {"seq": seq, "receive_ns": ns(seconds), "from_ns": ns(start), "to_ns": ns(end)} | own | more
