"""What we ask for, compared with the documented frames."""

import json

import pytest

from recorder.config import STREAMS
from recorder.venues.hashkey.subscribe import (
    ROUTES,
    V1,
    V2,
    channel_of,
    channel_of_stream,
    dump_scale,
    ping,
    pong,
    topics,
    v1_request,
    v2_request,
)


def test_v1_asks_for_many_symbols_in_one_frame() -> None:
    assert json.loads(v1_request("sub", "trade", ["BTCUSDT", "ETHUSDT"], "MENA")) == {
        "symbol": "BTCUSDT,ETHUSDT",
        "topic": "trade",
        "event": "sub",
        "site": "MENA",
        "params": {"binary": False},
    }


def test_v1_asks_for_the_delta_book_with_its_scale() -> None:
    frame = json.loads(v1_request("sub", "diffMergedDepth", ["ETHUSD"], scale=2))
    assert frame == {
        "symbol": "ETHUSD",
        "topic": "diffMergedDepth",
        "event": "sub",
        "params": {"binary": False, "dumpScale": 2},
    }


def test_v2_asks_for_one_symbol_a_frame() -> None:
    assert json.loads(v2_request("sub", "kline_1m", "ETHUSDT")) == {
        "topic": "kline",
        "event": "sub",
        "params": {"symbol": "ETHUSDT", "klineType": "1m"},
    }
    assert json.loads(v2_request("cancel", "bbo", "ETHUSDT", "MENA")) == {
        "topic": "bbo",
        "event": "cancel",
        "site": "MENA",
        "params": {"symbol": "ETHUSDT"},
    }


def test_a_ping_is_a_number_and_a_pong_says_what_was_asked() -> None:
    assert ping(1748503859938) == b'{"ping":1748503859938}'
    assert pong(1748504490208) == b'{"pong":1748504490208}'


def test_trades_come_by_both_lines_and_everything_else_by_one() -> None:
    lines: dict[str, list[int]] = {}
    for route in ROUTES:
        lines.setdefault(route.stream, []).append(route.line)
    assert lines == {
        "trade": [V2, V1],
        "depth": [V2],
        "bbo": [V2],
        "kline": [V1],
        "ticker": [V1],
        "depth_delta": [V1],
        "index": [V1],
        "mark_price": [V1],
    }
    assert set(lines) == set(STREAMS)


def test_each_interval_is_a_topic_and_all_are_one_channel() -> None:
    found = [topic for _, topic in topics(["kline"], ["1m", "1M"])]
    assert found == ["kline_1m", "kline_1M"]
    assert {channel_of(topic) for topic in found} == {"kline"}


def test_channels_are_named_as_tables() -> None:
    assert [channel_of(topic) for topic in ("realtimes", "diffMergedDepth", "index", "markPrice")] == [
        "ticker",
        "depth_delta",
        "index_price",
        "mark_price",
    ]
    assert (channel_of("topN"), channel_of_stream("index")) == ("", "index_price")


@pytest.mark.parametrize(
    ("tick", "scale"),
    [("0.01", 2), ("0.10", 1), ("0.00001000", 5), ("1", -1), ("10", -2), ("0.5", 1), ("0", None), ("x", None)],
)
def test_the_scale_that_merges_nothing_follows_the_tick(tick: str, scale: int | None) -> None:
    assert dump_scale(tick) == scale
