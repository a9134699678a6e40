"""The REST calls, asked on the bench: paths, shapes, ranges and refusals."""

import json
from typing import Any

import pytest

from recorder.exchange.rest import NOT_ROUTED, Rest, answer, routes, unknown
from tests.exchange.bench import START_MS, Bench, market


@pytest.fixture
def bench() -> Bench:
    return Bench(market("BTCUSD", "POLUSD", "BTCUSDT-PERPETUAL", "BBTCUSD-PERPETUAL"))


def get(bench: Bench, path: str, **query: Any) -> Any:
    response = answer(routes(Rest(bench.hub))[path], {key: str(value) for key, value in query.items()})
    assert response.content_type == "application/json"
    body = response.body
    assert isinstance(body, bytes)
    found = json.loads(body) if body else None
    return found if response.status == 200 else (response.status, found)


def test_service_calls(bench: Bench) -> None:
    assert get(bench, "/api/v1/ping") == {}
    assert get(bench, "/api/v1/time") == {"serverTime": START_MS}
    assert get(bench, "/api/v1/exchangeInfo", symbol="BTCUSD")["symbol"] == "BTCUSD"
    assert len(get(bench, "/api/v1/exchangeInfo", site="HK")["symbols"]) == 2


async def test_depth_is_the_book_of_the_socket_without_symbol_or_version(bench: Bench) -> None:
    client = bench.client("v1")
    await bench.run(1000)
    (frame,) = client.sub("depth", "BTCUSD")
    book = get(bench, "/quote/v1/depth", symbol="BTCUSD", limit=1000)
    assert book == {key: frame["data"][0][key] for key in ("t", "b", "a")}
    assert len(book["b"]) == 100
    assert len(get(bench, "/quote/v1/depth", symbol="BTCUSD", limit=20)["a"]) == 20
    empty = get(bench, "/quote/v1/depth", symbol="BBTCUSD-PERPETUAL")
    assert (empty["b"], empty["a"]) == ([], [])


def test_merged_depth_groups_to_its_scale(bench: Bench) -> None:
    plain = get(bench, "/quote/v1/depth/merged", symbol="BTCUSD")
    assert plain == get(bench, "/quote/v1/depth", symbol="BTCUSD")
    tens = get(bench, "/quote/v1/depth/merged", symbol="BTCUSD", scale=-2, limit=5)
    assert len(tens["b"]) == 5
    assert all(float(price) % 10 == 0 for price, _ in tens["b"])


def test_trades_are_oldest_first_at_most_a_hundred_and_have_no_id(bench: Bench) -> None:
    trades = get(bench, "/quote/v1/trades", symbol="BTCUSD", limit=500)
    assert len(trades) == 100
    assert list(trades[0]) == ["t", "p", "q", "ibm"]
    assert [one["t"] for one in trades] == sorted(one["t"] for one in trades)
    assert get(bench, "/quote/v1/trades", symbol="BTCUSD", limit=3) == trades[-3:]


def test_klines_are_rows_of_eleven_oldest_first(bench: Bench) -> None:
    found = get(bench, "/quote/v1/klines", symbol="BTCUSD", interval="1m", limit=10)
    assert len(found) == 10
    assert {len(row) for row in found} == {11}
    assert [row[0] for row in found] == list(range(found[0][0], found[-1][0] + 1, 60_000))
    assert found[-1][0] == START_MS // 60_000 * 60_000
    assert {row[6] for row in found} == {0}


def test_klines_without_an_end_ignore_the_start_and_with_both_give_the_newest_in_the_range(bench: Bench) -> None:
    path, minute = "/quote/v1/klines", 60_000
    newest = get(bench, path, symbol="BTCUSD", interval="1m", limit=5)
    start = START_MS - 60 * minute
    assert get(bench, path, symbol="BTCUSD", interval="1m", limit=5, startTime=start) == newest
    end = START_MS - 30 * minute
    ranged = get(bench, path, symbol="BTCUSD", interval="1m", limit=5, startTime=start, endTime=end)
    assert ranged[-1][0] == end // minute * minute
    assert len(ranged) == 5
    short = get(bench, path, symbol="BTCUSD", interval="1m", startTime=end - 2 * minute, endTime=end)
    assert [row[0] for row in short] == [end // minute * minute - minute, end // minute * minute]


def test_tickers_are_lists_even_for_one_symbol(bench: Bench) -> None:
    (day,) = get(bench, "/quote/v1/ticker/24hr", symbol="BTCUSDT-PERPETUAL")
    assert list(day) == ["t", "s", "c", "h", "l", "o", "b", "a", "v", "qv", "it"]
    assert day["it"] == "FUTURES"
    (price,) = get(bench, "/quote/v1/ticker/price", symbol="BTCUSD")
    assert list(price) == ["s", "p"]
    (best,) = get(bench, "/quote/v1/ticker/bookTicker", symbol="BTCUSD")
    assert list(best) == ["s", "b", "bq", "a", "aq", "t"]
    book = get(bench, "/quote/v1/depth", symbol="BTCUSD", limit=1)
    assert ([best["b"], best["bq"]], [best["a"], best["aq"]]) == (book["b"][0], book["a"][0])


def test_the_bulk_ticker_has_no_perpetuals_unless_asked(bench: Bench) -> None:
    path = "/quote/v1/ticker/24hr"
    counts = [len(get(bench, path, **query)) for query in ({}, {"instType": "FUTURES"}, {"instType": "ANY"})]
    assert counts == [2, 2, 4]
    dormant = [row for row in get(bench, "/quote/v1/ticker/price") if row["s"] == "BBTCUSD-PERPETUAL"]
    assert dormant == [{"s": "BBTCUSD-PERPETUAL", "p": "0"}]


def test_marks_indices_and_funding(bench: Bench) -> None:
    contract = "BTCUSDT-PERPETUAL"
    for path in ("/quote/v1/markPrice", "/quote/v2/markPrice"):
        assert list(get(bench, path, symbol=contract)) == ["symbolId", "price", "time"]
        assert get(bench, path, symbol="BTCUSD") is None  # 200 with an empty body
    index = get(bench, "/quote/v1/index", symbol="BTCUSDT,NOPE")
    assert index["index"].keys() == index["edp"].keys() == {"BTCUSDT"}
    assert get(bench, "/quote/v1/index", symbol="NOPE") == {"index": {}, "edp": {}}
    (rate,) = get(bench, "/api/v1/futures/fundingRate", timestamp=1)
    assert list(rate) == ["symbol", "rate", "nextSettleTime"]
    assert int(rate["nextSettleTime"]) > START_MS
    history = get(bench, "/api/v1/futures/historyFundingRate", timestamp=1, symbol=contract, limit=2)
    assert [list(row) for row in history] == [["id", "symbol", "settleTime", "settleRate"]] * 2
    assert int(history[0]["settleTime"]) > int(history[1]["settleTime"])


@pytest.mark.parametrize(
    ("path", "query", "error"),
    [
        ("/quote/v1/depth", {"symbol": "NOPE"}, {"code": -100011, "msg": "Not supported symbols"}),
        ("/quote/v1/depth", {"symbol": "BTCUSD", "site": "MENA"}, {"code": -100011, "msg": "Not supported symbols"}),
        ("/quote/v1/trades", {}, {"code": -100012, "msg": "Parameter symbol [String] missing!"}),
        ("/quote/v1/klines", {"symbol": "BTCUSD"}, {"code": -100012, "msg": "Parameter interval [String] missing!"}),
        ("/quote/v1/klines", {"symbol": "BTCUSD", "interval": "7m"}, {"code": -10009, "msg": "Invalid period!"}),
        (
            "/quote/v1/depth",
            {"symbol": "BTCUSD", "limit": "x"},
            {"code": -100002, "msg": "Parameter limit [Integer] is wrong!"},
        ),
        (
            "/api/v1/futures/fundingRate",
            {},
            {"code": "0001", "msg": "Required field timestamp missing or invalid"},
        ),
        ("/api/v1/exchangeInfo", {"symbol": "NOPE"}, {"code": "-1151", "msg": "The trading pair is not open yet"}),
    ],
)
def test_a_wrong_call_is_refused_with_400(bench: Bench, path: str, query: dict[str, str], error: object) -> None:
    assert get(bench, path, **query) == (400, error)


def test_there_are_two_kinds_of_404() -> None:
    nowhere, unrouted = unknown("/nowhere"), unknown(NOT_ROUTED[0])
    assert (nowhere.status, unrouted.status) == (404, 404)
    assert nowhere.body == b"<html><body><h2>404 Not found</h2></body></html>"
    assert nowhere.content_type == "application/json"
    assert isinstance(unrouted.body, bytes)
    assert json.loads(unrouted.body) == {"code": 404, "msg": "No static resource quote/v2/index."}
