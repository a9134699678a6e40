"""Questions to REST, and what counts as news. Bodies and frames are shaped as in the market-data reference."""

from typing import Any

import orjson
import pytest

from recorder.capture.evidence import Mark, best_quotes, is_news, mark_of_answer, mark_of_frame, question

V2_DEPTH = {
    "topic": "depth",
    "params": {"symbol": "BTCUSD"},
    "data": {"s": "BTCUSD", "t": 100, "v": "7_2", "b": [["9.5", "1"], ["9", "2"]], "a": [["10", "3"]]},
}
V1_DELTA = {"symbol": "BTCUSD", "topic": "diffMergedDepth", "data": [{"t": 100, "v": "7_2", "b": [], "a": [], "o": 4}]}
V2_BBO = {
    "topic": "bbo",
    "params": {"symbol": "BTCUSD"},
    "data": {"s": "BTCUSD", "b": "9.5", "bz": "1", "a": "10", "az": "3", "t": 100, "v": "7"},
}
V1_KLINE = {
    "symbol": "BTCUSD",
    "topic": "kline",
    "params": {"klineType": "1m"},
    "data": [{"t": 60_000, "s": "BTCUSD", "v": "1.5"}],
}
V1_TICKER = {"symbol": "BTCUSD", "topic": "realtimes", "data": [{"t": 100, "s": "BTCUSD", "c": "1"}]}
V2_TRADE = {"topic": "trade", "params": {"symbol": "BTCUSD"}, "data": {"v": "1", "t": 100, "p": "1", "q": "1"}}
MARK = {"topic": "markPrice", "symbol": "BTCUSD-PERPETUAL", "data": {"symbolId": "BTCUSD-PERPETUAL", "time": 100}}


def candle(open_time: int, volume: str) -> list[Any]:
    return [open_time, "1", "1", "1", "1", volume, 0, "0", 0, "0", "0"]


def trade(time: int) -> dict[str, Any]:
    return {"t": time, "p": "1", "q": "1", "ibm": True}


@pytest.mark.parametrize(
    ("topic", "frame", "same", "newer"),
    [
        ("depth", V2_DEPTH, {"t": 100, "b": [], "a": []}, {"t": 101, "b": [], "a": []}),
        ("diffMergedDepth", V1_DELTA, {"t": 99}, {"t": 101}),
        (
            "bbo",
            V2_BBO,
            [{"s": "BTCUSD", "b": "9.50", "bq": "1", "a": "10", "aq": "3", "t": 500}],
            [{"s": "BTCUSD", "b": "9.5", "bq": "2", "a": "10", "aq": "3", "t": 500}],
        ),
        ("kline_1m", V1_KLINE, [candle(60_000, "1.50"), candle(120_000, "0")], [candle(60_000, "1.6")]),
        ("kline_1m", V1_KLINE, [], [candle(60_000, "1.5"), candle(120_000, "0.1")]),
        ("realtimes", V1_TICKER, [trade(2_000)], [trade(2_101)]),
        ("trade", V2_TRADE, [trade(100)], [trade(90), trade(101)]),
        ("markPrice", MARK, {"symbolId": "BTCUSD-PERPETUAL", "time": 100}, {"time": 1_100}),
    ],
)
def test_rest_is_news_if_it_is_further_than_the_last_frame(topic: str, frame: Any, same: Any, newer: Any) -> None:
    symbol = "BTCUSD-PERPETUAL" if topic == "markPrice" else "BTCUSD"
    assert question(topic, symbol) is not None
    ours = mark_of_frame(topic, symbol, orjson.dumps(frame))
    assert ours is not None
    assert not is_news(topic, ours, mark_of_answer(topic, same))
    assert is_news(topic, ours, mark_of_answer(topic, newer))


def test_without_something_to_compare_with_nothing_is_news() -> None:
    assert not is_news("depth", None, Mark(5))
    assert not is_news("depth", Mark(5), None)
    assert is_news("trade", mark_of_answer("trade", []), Mark(5)), "the venue had nothing, and has something"


@pytest.mark.parametrize("body", [None, {}, {"t": "x"}, [None], [[]], "text", 7, {"code": 404}])
@pytest.mark.parametrize("topic", ["depth", "bbo", "kline_1m", "trade", "realtimes", "markPrice"])
def test_an_answer_that_says_nothing_is_none(topic: str, body: Any) -> None:
    assert mark_of_answer(topic, body) is None


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b'{"topic":"depth","data":[]}', b'{"topic":"bbo","data":{"t":1}}']
)
def test_a_frame_that_says_nothing_is_none(payload: bytes) -> None:
    assert mark_of_frame("depth", "BTCUSD", payload) is None


def test_of_a_list_of_messages_only_the_own_symbol_counts() -> None:
    other = {**V2_DEPTH, "params": {"symbol": "ETHUSD"}, "data": {"s": "ETHUSD", "t": 900}}
    assert mark_of_frame("depth", "BTCUSD", orjson.dumps([other, V2_DEPTH])) == Mark(100)


def test_a_missing_side_is_no_quote_however_it_is_written() -> None:
    for empty in ({}, {"a": "", "az": ""}, {"a": "0", "az": "0"}, {"a": None, "az": None}):
        row = {"b": "9.5", "bz": "1", "t": 100, **empty}
        ours = mark_of_frame("bbo", "BTCUSD", orjson.dumps({**V2_BBO, "data": row}))
        theirs = mark_of_answer("bbo", [{"b": "9.5", "bq": "1", "a": "0", "aq": "0", "t": 1}])
        assert not is_news("bbo", ours, theirs)


def test_what_rest_knows_nothing_of_is_not_asked() -> None:
    assert question("index", "BTCUSDT") is None


def test_the_best_prices_of_a_book_and_a_quote_can_be_compared_as_text() -> None:
    assert best_quotes("depth", orjson.dumps(V2_DEPTH)) == best_quotes("bbo", orjson.dumps(V2_BBO))
    assert best_quotes("depth", b'{"b":[],"a":[]}') is None
    assert best_quotes("bbo", b"") is None
