"""What becomes of REST answers that backfill puts into its journal."""

from typing import Any

from tests.frames.arrivals import decoded, reply

MINUTE = 60_000
T = 1_766_718_300_000


def candles(number: int) -> list[list[Any]]:
    return [[T + k * MINUTE, "9", "9", "9", "9", str(k), 0, "0", 0, "0", "0"] for k in range(number)]


def asked(start: int, end: int, **more: Any) -> dict[str, Any]:
    params = {"symbol": "BTCUSD", "interval": "1m", "startTime": T + start, "endTime": T + end, "limit": 1000}
    return {"path": "/quote/v1/klines", "params": params, "use": "store"} | more


def trades(number: int) -> list[dict[str, Any]]:
    return [{"t": T + k // 2, "p": "5.1", "q": str(k), "ibm": False} for k in range(number)]


def kept(*places: int) -> dict[str, Any]:
    return {"path": "/quote/v1/trades", "params": {"symbol": "BTCUSD"}, "use": "store", "keep": list(places)}


def test_candles_outside_of_the_range_that_was_asked_for_are_left_out() -> None:
    found = decoded(reply(candles(5), **asked(MINUTE, 4 * MINUTE - 1)))["kline"]
    assert [(int(row["volume"]), row["idx"], row["source"]) for row in found] == [
        (1, 0, "rest"),
        (2, 1, "rest"),
        (3, 2, "rest"),
    ]


def test_without_a_range_every_candle_is_kept() -> None:
    answer = reply(candles(3), path="/quote/v1/klines", params={"symbol": "A", "interval": "1m"}, use="store")
    assert len(decoded(answer)["kline"]) == 3


def test_trades_are_kept_by_their_place_and_numbered_without_holes() -> None:
    answer = reply(trades(6), **kept(1, 4))
    found = decoded(answer)
    assert [(int(row["size"]), row["idx"], row["trade_id"]) for row in found["trade"]] == [(1, 0, None), (4, 1, None)]
    assert decoded(answer) == found


def test_an_empty_list_keeps_nothing_and_a_place_behind_the_end_is_nothing() -> None:
    assert decoded(reply(trades(3), **kept())) == {}
    assert decoded(reply(trades(3), **kept(7))) == {}


def test_a_list_that_is_none_is_told() -> None:
    found = decoded(reply(trades(3), **kept() | {"keep": [0, "1"]}))
    assert [row["reason"] for row in found["quarantine"]] == ["keep is [0, '1'], not a list of places"]


def test_an_answer_that_was_only_looked_at_becomes_no_rows() -> None:
    assert decoded(reply(trades(3), path="/quote/v1/trades", params={"symbol": "BTCUSD"})) == {}
