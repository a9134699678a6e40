"""What the views and macros beyond the tables are called and what they answer: for comments in SQL and for the docs.

The SQL itself is in `kline.sql`, `coverage.sql` and `macros.sql`; `views.py` puts it together.
"""

from dataclasses import dataclass

from recorder.lake.schema import Column


@dataclass(frozen=True)
class Macro:
    """A table macro: `FROM name(parameters)`."""

    name: str
    parameters: str
    doc: str
    example: str


MACROS = (
    Macro(
        "ohlcv",
        "symbol, interval, from, to",
        "Bars from trades, one row for each bar that [from, to) touches: venue, symbol, open_time, open, high, low, "
        "close, volume, quote_volume, trade_count, taker_buy_volume, vwap, complete. `complete`: the bar lies inside "
        "what coverage calls ok or healed. A complete bar without trades has volume 0 and null prices; a bar that a "
        "gap touches has nulls only. `vwap` is a double, the rest is exact. interval: '1s' '5s' '1m' '1h' '1d' '1w', "
        "'1M' (month), or any DuckDB interval.",
        "FROM ohlcv('BTCUSD', '1m', '2026-03-01', '2026-03-02')",
    ),
    Macro(
        "book_at",
        "symbol, t",
        "The book at t: the row of `depth` with the greatest exchange_time <= t, no older than a day.",
        "FROM book_at('BTCUSD', '2026-03-01T12:00:00Z')",
    ),
    Macro(
        "levels",
        "symbol, from, to",
        "Each level of each pushed book as a row: venue, symbol, exchange_time, receive_time, seq, version, "
        "side ('bid' 'ask'), level (1 is the best), price, size.",
        "FROM levels('BTCUSD', '2026-03-01', '2026-03-01T00:01') WHERE level <= 5",
    ),
    Macro(
        "spread",
        "symbol, from, to",
        "Each bbo push with both sides: venue, symbol, exchange_time, receive_time, seq, the quote, mid, spread "
        "(exact), complete. `complete`: the quote is known to have held until the next row.",
        "SELECT avg(spread) FROM spread('BTCUSD', '2026-03-01', '2026-03-02') WHERE complete",
    ),
    Macro(
        "klines_since",
        "first_date",
        "The view kline, from the files of first_date on: for questions about recent candles of a long history.",
        "FROM klines_since(DATE '2026-03-01')",
    ),
    Macro(
        "kline_differences_since",
        "first_date",
        "The view kline_difference, of candles that opened on first_date or later.",
        "FROM kline_differences_since(DATE '2026-03-01')",
    ),
)

# Views that stand beside those of `schemas/`.
EXTRA_VIEWS = {
    "kline_difference": "Where push, REST and our own trades disagree on a candle that REST has confirmed, one row a "
    "field: venue, symbol, interval, open_time, field, push, rest, trades. Null: that one does not say, or a gap "
    "touches the candle there.",
    "instrument_now": "The latest row of `instrument` for each (venue, symbol).",
    "last_moment": "last_ns: the last moment (Unix ns) at which the recorder is known to have lived, for each venue.",
}

# Columns that a view adds and that need more than the row itself.
EXTRA_COLUMNS = {
    "trade": (
        Column(
            "size_base",
            "DECIMAL(30,12)",
            "Size in the base currency: size * contract_multiplier of today's instrument; the size itself on spot.",
            sql="CAST(size * coalesce(getvariable('contract_multiplier')[f.venue || ' ' || f.symbol], 1)"
            " AS DECIMAL(30,12))",
        ),
    ),
}
