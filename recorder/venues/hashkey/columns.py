"""From rows (tuples) to Arrow columns, sorted by (venue, symbol, seq, idx).

Decimals travel as text and are cast a whole column at a time. The names and types here are those of
`schemas/`, which this room must not import; a test holds the two together.
"""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

import pyarrow as pa

Row = tuple[Any, ...]
Columns = dict[str, pa.Array]

DECIMAL = pa.decimal128(30, 12)
LIST = pa.list_(DECIMAL)
STRING, INT64, INT16, BOOL = pa.string(), pa.int64(), pa.int16(), pa.bool_()
TIME = pa.timestamp("us")

COMMON: dict[str, pa.DataType] = {
    "venue": STRING,
    "symbol": STRING,
    "exchange_time": TIME,
    "receive_ns": INT64,
    "send_ms": INT64,
    "seq": INT64,
    "idx": INT16,
    "conn": INT16,
    "source": STRING,
}
WIDTH = len(COMMON)
IN_ORDER = itemgetter(*(list(COMMON).index(name) for name in ("venue", "symbol", "seq", "idx")))


def _decimals(*names: str) -> dict[str, pa.DataType]:
    return dict.fromkeys(names, DECIMAL)


BEST = _decimals("bid_price", "bid_size", "ask_price", "ask_size")
LISTS: dict[str, pa.DataType] = dict.fromkeys(("bid_prices", "bid_sizes", "ask_prices", "ask_sizes"), LIST)
OWN: dict[str, dict[str, pa.DataType]] = {
    "trade": {"trade_id": INT64, **_decimals("price", "size"), "buyer_is_maker": BOOL},
    "depth": {"version": INT64, **BEST, **LISTS},
    "depth_delta": {"version": INT64, "counter": INT64, "is_snapshot": BOOL, **LISTS},
    "kline": {
        "interval": STRING,
        "open_time": TIME,
        **_decimals("open", "high", "low", "close", "volume", "quote_volume"),
        "trade_count": INT64,
        **_decimals("taker_buy_volume", "taker_buy_quote_volume"),
    },
    "bbo": {"version": INT64, **BEST},
    "ticker": _decimals("open", "high", "low", "last", "volume", "quote_volume"),
    "mark_price": _decimals("price"),
    "index_price": {**_decimals("price", "average_price"), "formula": STRING},
    "clock": {"server_ms": INT64, "round_trip_ns": INT64, "offset_ns": INT64},
    "instrument": {
        **dict.fromkeys(("base", "quote", "kind", "status"), STRING),
        **_decimals("tick_size", "lot_size", "min_notional", "contract_multiplier"),
        "raw": STRING,
    },
    "session": dict.fromkeys(("session", "event", "channel", "detail"), STRING),
    "gap": {
        "channel": STRING,
        "reason": STRING,
        **dict.fromkeys(("from_ns", "to_ns", "seq_before", "seq_after"), INT64),
        "healed": BOOL,
    },
    "quarantine": {"channel": STRING, "reason": STRING, "frame": pa.binary()},
}


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """One column; decimals come as text that is known to fit."""
    if kind == DECIMAL:
        return pa.array(values, STRING).cast(DECIMAL)
    return pa.array(values, kind)


def columns(kinds: dict[str, pa.DataType], rows: Iterable[Row]) -> Columns:
    """Rows that hold one value for each of `kinds`, as columns by name."""
    return {
        name: column(values, kind) for (name, kind), values in zip(kinds.items(), zip(*rows, strict=True), strict=True)
    }


def table_columns(table: str, rows: list[Row]) -> Columns:
    """All columns of a table; sorts `rows` in place."""
    rows.sort(key=IN_ORDER)
    return columns(COMMON | OWN[table], rows)
