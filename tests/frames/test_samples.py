"""Every public sample of HashKey's protocol decodes to its documented meaning, or to no row where it has none."""

import datetime as dt
from decimal import Decimal
from typing import Any

import orjson
import pytest

from recorder.journal.format import Kind, Line
from tests.frames.arrivals import FRAMES, Row, arrived, decoded, own, reply, sample


def time(ms: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=ms)


def levels(*pairs: tuple[str, str]) -> tuple[list[Decimal], list[Decimal]]:
    return [Decimal(p) for p, _ in pairs], [Decimal(s) for _, s in pairs]


def place(venue: str, symbol: str, ms: int | None) -> Row:
    return {"venue": venue, "symbol": symbol, "exchange_time": None if ms is None else time(ms)}


def numbers(**values: str | None) -> Row:
    return {key: None if value is None else Decimal(value) for key, value in values.items()}


def book(version: int, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> Row:
    bid_prices, bid_sizes = levels(*bids)
    ask_prices, ask_sizes = levels(*asks)
    return {
        "version": version,
        "bid_price": bid_prices[0],
        "bid_size": bid_sizes[0],
        "ask_price": ask_prices[0],
        "ask_size": ask_sizes[0],
        **lists(bids, asks),
    }


def lists(bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> Row:
    names = ("bid_prices", "bid_sizes", "ask_prices", "ask_sizes")
    return dict(zip(names, levels(*bids) + levels(*asks), strict=True))


def candle(interval: str, ms: int, prices: tuple[str, str, str, str], volume: str, full: bool = False) -> Row:
    none: dict[str, Any] = dict.fromkeys(("quote_volume", "trade_count", "taker_buy_volume", "taker_buy_quote_volume"))
    zero = {key: 0 if key == "trade_count" else Decimal(0) for key in none}
    return {
        "interval": interval,
        "open_time": time(ms),
        **numbers(**dict(zip(("open", "high", "low", "close"), prices, strict=True)), volume=volume),
        **(zero if full else none),
    }


def trade(trade_id: int, price: str, size: str, buyer_is_maker: bool) -> Row:
    return {"trade_id": trade_id, **numbers(price=price, size=size), "buyer_is_maker": buyer_is_maker}


FLAT, FLAT_V2 = ("88888.01",) * 4, ("88947.71",) * 4
HK_NEXT = (
    [("2750.82", "14.5411"), ("2750.75", "0.0073"), ("2750.74", "23.63")],
    [("2750.85", "34.535"), ("2750.86", "21.8114"), ("2750.88", "18.176")],
)
DELTA = (
    [("86505.1", "0.00024"), ("86499.91", "0.00034"), ("86413.04", "0"), ("82428.56", "0")],
    [("86512.01", "0.00024"), ("86517.2", "0.00034"), ("86542.29", "0"), ("89282.97", "0")],
)
FORMULA = "(86672.9[KRAKEN]*0.2+86669.24[BINANCE]*0.2+86671.2[BYBIT]*0.2+86638.31[COINBASE]*0.2+86674.4[OKEX]*0.2)"
HK, MENA = "hashkey", "hashkey-mena"

MEANING: dict[str, tuple[str, list[Row]]] = {
    "ws-v1-kline-1m": (
        "kline",
        [place(MENA, "BTCUSDT", None) | candle("1m", 1766727660000, FLAT, "0", full=True)],
    ),
    "ws-v1-kline-15m-ancestor": (
        "kline",
        [
            place(HK, "BTCUSDT", None)
            | candle("15m", 1565595900000, ("11381.89", "11437", "11381.89", "11436.14"), "16.3306")
        ],
    ),
    "ws-v2-kline": ("kline", [place(MENA, "BTCUSDT", None) | candle("1m", 1766728080000, FLAT_V2, "0")]),
    "ws-v1-realtimes": (
        "ticker",
        [
            place(MENA, "BTCUSDT", 1764598623773)
            | numbers(open="91592.99", high="91854.4", low="84834.68", last="86127.13")
            | numbers(volume="23.90583", quote_volume="2071254.823793")
        ],
    ),
    "ws-v1-realtimes-string-time-ancestor": (
        "ticker",
        [
            place(HK, "ETHUSDT", 1565592599015)
            | numbers(open="210.23", high="216.96", low="206.78", last="212.63")
            | numbers(volume="73013.575", quote_volume="15726612.498168")
        ],
    ),
    "ws-v2-realtimes": (
        "ticker",
        [
            place(MENA, "BTCUSDT", 1766728440004)
            | numbers(open="87740.12", high="89270.33", low="86971.82", last="88910.23")
            | numbers(volume="0.20041", quote_volume="17621.0846565")
        ],
    ),
    "ws-v1-trade": (
        "trade",
        [place(MENA, "BTCUSDT", 1764598927887) | trade(4620696243481038848, "86101.4", "0.00314", False)],
    ),
    "ws-v1-trade-first-push": (
        "trade",
        [place(HK, "ETHUSDT", 1722866228075) | trade(1745922896272048129, "2340.41", "0.0132", True)],
    ),
    "ws-v1-trade-two-rows-with-event-and-id": (
        "trade",
        [
            place(HK, "ETHUSD", 1687271825415) | trade(1447335405363150849, "10001", "0.001", False),
            place(HK, "ETHUSD", 1687272035953) | trade(1447337171483901952, "10001.1", "0.001", True),
        ],
    ),
    "ws-v2-trade": (
        "trade",
        [place(MENA, "ETHUSDT", 1766728952350) | trade(4645465192627367936, "2974.53", "0.0089", False)],
    ),
    "ws-v1-depth": (
        "depth",
        [
            place(MENA, "BTCUSD", 1788838692240)
            | book(
                1811627276,
                [("78924.09", "0.78641"), ("78920.98", "2.13771")],
                [("78924.1", "6.75267"), ("78924.99", "0.7864")],
            )
        ],
    ),
    "ws-v1-depth-ethusdt": (
        "depth",
        [place(HK, "ETHUSDT", 1722873144371) | book(84661262, [("1650", "0.0864")], [("4085", "0.0074")])],
    ),
    "ws-v1-depth-snapshot-hk-ethusd": (
        "depth",
        [
            place(HK, "ETHUSD", 1790128265172)
            | book(
                2546770814,
                [("2750.84", "14.541"), ("2750.82", "0.0073"), ("2750.76", "23.6298")],
                HK_NEXT[1],
            )
        ],
    ),
    "ws-v1-depth-next-hk-ethusd": (
        "depth",
        [place(HK, "ETHUSD", 1790128268176) | book(2546770852, *HK_NEXT)],
    ),
    "ws-v1-depth-snapshot-global-perp": (
        "depth",
        [
            place(HK, "BTCUSDT-PERPETUAL", 1790134581222)
            | book(
                14088479,
                [("86637.3", "6"), ("86636.6", "12"), ("86635.4", "14")],
                [("86640.4", "12"), ("86645.8", "12"), ("86659.3", "4")],
            )
        ],
    ),
    "ws-v2-depth-global-perp": (
        "depth",
        [
            place(HK, "BTCUSDT-PERPETUAL", 1790134581603)
            | book(
                14088520,
                [("86645.7", "155"), ("86637.3", "6"), ("86635.4", "14")],
                [("86645.8", "12"), ("86659.3", "4"), ("86678.6", "142")],
            )
        ],
    ),
    "ws-v1-diffMergedDepth-snapshot": (
        "depth_delta",
        [
            place(HK, "ETHUSD", 1790128268090)
            | {"version": 2546770852, "counter": 0, "is_snapshot": True}
            | lists(*HK_NEXT)
        ],
    ),
    "ws-v1-diffMergedDepth-delta": (
        "depth_delta",
        [
            place(HK, "BTCUSD", 1790127380923)
            | {"version": 1865138364, "counter": 387704, "is_snapshot": False}
            | lists(*DELTA)
        ],
    ),
    "ws-v2-bbo": (
        "bbo",
        [
            place(MENA, "ETHUSDT", 1766729017183)
            | {"version": None}
            | numbers(bid_price="2974.52", bid_size="0.0202", ask_price="2974.85", ask_size="0.2838")
        ],
    ),
    "ws-v2-bbo-global-perp": (
        "bbo",
        [
            place(HK, "BTCUSDT-PERPETUAL", 1790133813033)
            | {"version": 14081098}
            | numbers(bid_price="86645.7", bid_size="310", ask_price="86645.8", ask_size="11")
        ],
    ),
    "ws-v1-index-btcusdt": (
        "index_price",
        [
            place(HK, "BTCUSDT", 1790133770000)
            | numbers(price="86665.21", average_price="86557.817066")
            | {"formula": FORMULA}
        ],
    ),
    "ws-v2-markPrice": (
        "mark_price",
        [place(HK, "BTCUSDT-PERPETUAL", 1790133812000) | numbers(price="86651.838")],
    ),
}
SAMPLES = sorted(path.stem for path in FRAMES.glob("*.json"))
REST_PATHS = {
    "rest-exchangeInfo": "/api/v1/exchangeInfo",
    "rest-exchangeInfo-one-symbol": "/api/v1/exchangeInfo",
    "rest-exchangeInfo-contracts": "/api/v1/exchangeInfo",
    "rest-klines": "/quote/v1/klines",
    "rest-trades": "/quote/v1/trades",
    "rest-trades-buyer-maker": "/quote/v1/trades",
}


@pytest.mark.parametrize("name", sorted(MEANING))
def test_a_sample_of_data_decodes_to_its_documented_meaning(name: str) -> None:
    line = Line.WS_V2 if "-v2-" in name else Line.WS_V1
    tables = decoded(arrived(sample(name), seq=9, line=line))
    table, rows = MEANING[name]
    assert list(tables) == [table]
    assert [own(row) for row in tables[table]] == rows
    assert {row["source"] for row in tables[table]} == {"ws_v2" if "-v2-" in name else "ws_v1"}
    assert [(row["seq"], row["idx"]) for row in tables[table]] == [(9, i) for i in range(len(rows))]


@pytest.mark.parametrize("name", [n for n in SAMPLES if n.startswith("ws-") and n not in MEANING])
def test_a_sample_that_is_no_data_gives_no_row(name: str) -> None:
    assert decoded(arrived(sample(name), kind=Kind.SENT if "-client-" in name else Kind.TEXT)) == {}


@pytest.mark.parametrize("name", [n for n in SAMPLES if n.startswith("rest-") and n not in REST_PATHS])
def test_a_rest_sample_that_is_not_stored_gives_no_row(name: str) -> None:
    assert decoded(reply(sample(name), "/quote/v1/depth", use="store")) == {}


@pytest.mark.parametrize("name", [n for n in SAMPLES if n.startswith("rest-error")])
def test_a_refused_request_gives_no_row(name: str) -> None:
    assert decoded(reply(sample(name), status=400)) == {}


def test_send_time_is_kept_beside_the_exchange_time() -> None:
    (row,) = decoded(sample("ws-v1-depth"))["depth"]
    assert (row["send_ms"], row["exchange_time"]) == (1788838692794, time(1788838692240))


def test_instruments_of_a_whole_site() -> None:
    rows = {row["symbol"]: row for row in decoded(reply(sample("rest-exchangeInfo")))["instrument"]}
    spot, perpetual = rows["BTCUSDT"], rows["BTCUSDT-PERPETUAL"]
    assert (spot["kind"], spot["base"], spot["quote"], spot["status"]) == ("spot", "BTC", "USDT", "TRADING")
    assert (spot["tick_size"], spot["lot_size"], spot["min_notional"]) == (
        Decimal("0.01"),
        Decimal("0.00001"),
        Decimal(1),
    )
    assert spot["contract_multiplier"] is None
    assert (perpetual["kind"], perpetual["base"]) == ("perpetual", "BTC")
    assert perpetual["contract_multiplier"] == Decimal("0.001")
    assert orjson.loads(perpetual["raw"])["riskLimits"][1]["maintMargin"] == "0.01"


def test_an_instrument_asked_for_alone_is_the_object_itself() -> None:
    (row,) = decoded(reply(sample("rest-exchangeInfo-one-symbol")))["instrument"]
    assert (row["venue"], row["symbol"], row["kind"]) == (MENA, "USDTAED", "spot")
    assert row["min_notional"] == Decimal(1)


def test_contracts_whose_base_asset_is_the_coin() -> None:
    rows = decoded(reply(sample("rest-exchangeInfo-contracts")))["instrument"]
    assert [(row["symbol"], row["base"], row["kind"]) for row in rows] == [("BTCUSD-PERPETUAL", "BTC", "perpetual")]


def test_rest_candles_are_stored_where_the_request_says_so() -> None:
    about: dict[str, Any] = {"params": {"symbol": "BTCUSD", "interval": "1m"}}
    assert decoded(reply(sample("rest-klines"), "/quote/v1/klines", **about)) == {}
    rows = decoded(reply(sample("rest-klines"), "/quote/v1/klines", use="store", **about))["kline"]
    assert len(rows) == 3
    last = own(rows[2])
    assert last == place(HK, "BTCUSD", None) | {
        "interval": "1m",
        "open_time": time(1766718420000),
        **numbers(open="89101.5", high="89101.5", low="89101.5", close="89101.5", volume="0.00012"),
        **numbers(quote_volume="10.69218", taker_buy_volume="0.00012", taker_buy_quote_volume="10.69218"),
        "trade_count": 1,
    }
    assert {row["source"] for row in rows} == {"rest"}


def test_rest_trades_have_no_id() -> None:
    about: dict[str, Any] = {"params": {"symbol": "BTCUSD"}, "use": "store"}
    rows = decoded(reply(sample("rest-trades"), "/quote/v1/trades", **about))["trade"]
    assert [row["trade_id"] for row in rows] == [None] * 3
    assert own(rows[1]) == place(HK, "BTCUSD", 1764059593105) | {
        "trade_id": None,
        **numbers(price="87371.47", size="0.16"),
        "buyer_is_maker": False,
    }
    (row,) = decoded(reply(sample("rest-trades-buyer-maker"), "/quote/v1/trades", **about))["trade"]
    assert row["buyer_is_maker"] is True


def test_the_frames_of_hong_kong_all_decode() -> None:
    """Kinds of rows of the 15 frames, in their order: sent frames, answers and errors have none."""
    made = []
    for text in (FRAMES / "frames_hk.jsonl").read_bytes().splitlines():
        said = orjson.loads(text)
        kind = Kind.SENT if said["dir"] == "out" else Kind.TEXT
        line = Line.WS_V1 if said["ws"] == "v1" else Line.WS_V2
        tables = decoded(arrived(said["frame"], kind=kind, line=line))
        made.append(next(iter(tables), ""))
    data = ["", "depth_delta", "depth_delta", "depth", "depth", "depth", "", "bbo"]
    assert made == data + [""] * 7


def test_an_empty_book_has_no_best_levels() -> None:
    frames = [orjson.loads(text)["frame"] for text in (FRAMES / "frames_hk.jsonl").read_bytes().splitlines()]
    (row,) = decoded(next(f for f in frames if f.get("symbol") == "BBTCUSD-PERPETUAL"))["depth"]
    assert (row["bid_price"], row["ask_size"], row["bid_prices"], row["ask_sizes"]) == (None, None, [], [])


def test_the_bare_version_of_hong_kong_is_read() -> None:
    frames = [orjson.loads(text)["frame"] for text in (FRAMES / "frames_hk.jsonl").read_bytes().splitlines()]
    (row,) = decoded(next(f for f in frames if f.get("topic") == "bbo"))["bbo"]
    assert (row["version"], row["bid_size"]) == (1865138374, Decimal("0.63578"))
