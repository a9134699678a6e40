"""Rows have the keys, types and forms of the venue's samples."""

import json

from recorder.exchange import rows
from recorder.exchange.series import Quote, Series
from recorder.exchange.source import Index, Mark
from tests.exchange.bench import START_MS, market


def series() -> Series:
    return market("ETHUSD").series["ETHUSD"]


def test_books_say_their_version_with_18_on_v1_and_with_the_price_decimals_on_v2() -> None:
    one = series()
    v1, v2 = json.loads(rows.book_v1(one)), json.loads(rows.book_v2(one))
    assert list(v1) == ["e", "s", "t", "v", "b", "a", "o"]
    assert list(v2) == ["s", "t", "v", "b", "a"]
    assert (v1["e"], v1["s"], v1["o"]) == (301, "ETHUSD", 0)
    assert v1["v"] == f"{one.book.version}_18"
    assert v2["v"] == f"{one.book.version}_2"
    assert (v1["b"], v1["a"], v1["t"]) == (v2["b"], v2["a"], v2["t"])
    prices = [float(price) for price, _ in v1["b"]]
    assert prices == sorted(prices, reverse=True)
    assert len(prices) == 100


def test_a_quote_has_a_bare_version_and_zeros_for_an_empty_side() -> None:
    quote = Quote(1865138374, START_MS, (275084, 145410), None)
    assert json.loads(rows.quote_v2(series(), quote)) == {
        "s": "ETHUSD", "b": "2750.84", "bz": "14.541", "a": "0", "az": "0", "t": START_MS, "v": "1865138374",
    }  # fmt: skip


def test_candles_have_all_fields_on_v1_and_only_ohlcv_on_v2() -> None:
    one = series()
    candle = one.candle_at("1h", START_MS)
    v1, v2 = json.loads(rows.candle_v1(one, candle)), json.loads(rows.candle_v2(one, candle))
    assert list(v1) == ["t", "s", "sn", "c", "h", "l", "o", "v", "et", "qv", "td", "tb", "tq"]
    assert list(v2) == ["t", "s", "sn", "c", "h", "l", "o", "v"]
    assert v1["et"] == 0
    rest = rows.candle_rest(one, candle)
    assert rest == [v1[key] for key in ("t", "o", "h", "l", "c", "v", "et", "qv", "td", "tb", "tq")]


def test_tickers_have_the_fields_of_each_version() -> None:
    one = series()
    v1, v2 = json.loads(rows.ticker_v1(one, START_MS) or b""), json.loads(rows.ticker_v2(one, START_MS) or b"")
    assert list(v1) == ["t", "s", "sn", "c", "h", "l", "o", "v", "qv", "m", "e"]
    assert list(v2) == ["t", "s", "o", "h", "l", "c", "v", "qv", "m"]
    assert all(v1[key] == v2[key] for key in v2)
    assert float(v1["l"]) <= float(v1["c"]) <= float(v1["h"])


def test_a_symbol_that_never_traded_has_no_ticker() -> None:
    dormant = market("BBTCUSD-PERPETUAL").series["BBTCUSD-PERPETUAL"]
    assert rows.ticker_v1(dormant, START_MS) is rows.ticker_v2(dormant, START_MS) is None


def test_marks_and_indices_have_their_odd_names() -> None:
    mark = Mark("BTCUSDT-PERPETUAL", "86651.838", 1790133812000)
    assert json.loads(rows.mark_v1(mark)) == {
        "exchangeId": 301, "symbolId": "BTCUSDT-PERPETUAL", "price": "86651.838", "time": 1790133812000,
    }  # fmt: skip
    assert json.loads(rows.mark_v2(mark)) == {"s": "BTCUSDT-PERPETUAL", "p": "86651.838", "t": 1790133812000}
    index = json.loads(rows.index_v1(Index("BTCUSDT", "86665.21", "86557.8", "(1[A]*1)", 1790133770000)))
    assert list(index) == ["symbol", "index", "edp", "formula", "time"]
