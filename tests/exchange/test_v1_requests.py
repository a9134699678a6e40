"""What V1 answers. The errors are the venue's, word for word."""

import json
from typing import Any

import pytest

from recorder.exchange.v1_requests import V1Requests
from tests.exchange.bench import Bench, market, unpack


@pytest.fixture
def bench() -> Bench:
    return Bench(market("BTCUSD", "ETHUSD", "BTCUSDT-PERPETUAL"))


def sub(symbol: str = "BTCUSD", topic: str = "depth", **more: Any) -> dict[str, Any]:
    return {"symbol": symbol, "topic": topic, "event": "sub", **more}


@pytest.mark.parametrize("value", [1748503859938, "abc", None, {}])
def test_a_ping_of_any_kind_is_answered_with_the_clock_of_the_exchange(bench: Bench, value: object) -> None:
    assert bench.client("v1").say({"ping": value}) == [{"pong": bench.clock.now_ms()}]


def test_a_pong_from_the_client_is_not_an_error(bench: Bench) -> None:
    assert bench.client("v1").say({"pong": 1}) == []


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("not json", {"code": "-10001", "desc": "Invalid JSON!"}),
        ("[1]", {"code": "-10001", "desc": "Invalid JSON!"}),
        (sub("NOPE"), {"code": "-100010", "desc": "Invalid Symbols!", "topic": "depth"}),
        ({"topic": "depth", "event": "sub"}, {"code": "-100010", "desc": "Invalid Symbols!", "topic": "depth"}),
        (sub(site="MENA"), {"code": "-100010", "desc": "Invalid Symbols!", "topic": "depth"}),
        (sub("BTCUSD", "index"), {"code": "-100010", "desc": "Invalid Symbols!", "topic": "index"}),
        (sub("BTCUSD", "markPrice"), {"code": "-100010", "desc": "Invalid Symbols!", "topic": "markPrice"}),
        (sub(topic="nope"), {"code": "-10004", "desc": "Invalid topic!", "topic": "nope"}),
        (sub(topic="bbo"), {"code": "-10004", "desc": "Invalid topic!", "topic": "bbo"}),
        (sub(topic="kline_7m"), {"code": "-10009", "desc": "Invalid period!", "topic": "kline_7m"}),
        (sub(topic="kline"), {"code": "-10008", "desc": "Period required!", "topic": "kline"}),
        (
            sub(topic="diffMergedDepth"),
            {"code": "-100013", "desc": "DumpScale required!", "topic": "diffMergedDepth"},
        ),
        (
            sub(topic="mergedDepth", params={"dumpScale": "x"}),
            {"code": "-100009", "desc": "DumpScale error!", "topic": "mergedDepth"},
        ),
        (
            sub(topic="mergedDepth", params={"dumpScale": -999}),
            {"code": "-100009", "desc": "DumpScale error!", "topic": "mergedDepth"},
        ),
        ({"symbol": "BTCUSD", "topic": "depth"}, {"code": "-10003", "desc": "Event required!", "topic": "depth"}),
        (
            {"symbol": "BTCUSD", "topic": "depth", "event": "jump"},
            {"code": "-10002", "desc": "Invalid event!", "topic": "depth"},
        ),
        ({"symbol": "BTCUSD", "event": "sub"}, {"code": "-10005", "desc": "Topic required!"}),
    ],
)
def test_a_wrong_request_gets_one_error_frame(bench: Bench, request_: Any, answer: dict[str, str]) -> None:
    assert bench.client("v1").say(request_) == [answer]


def test_a_list_of_symbols_is_handled_name_by_name(bench: Bench) -> None:
    answers = bench.client("v1").say(sub("BTCUSD,NOPE, ETHUSD"))
    assert [answer.get("symbol", answer.get("code")) for answer in answers] == ["BTCUSD", "-100010", "ETHUSD"]


def test_the_first_push_is_the_answer_and_echoes_parameters_as_strings_and_the_id_as_sent(bench: Bench) -> None:
    client = bench.client("v1")
    (plain,) = client.say(sub())
    (full,) = client.say(sub(topic="kline_1m", params={"binary": False, "limit": 3}, id=7, site="HK"))
    assert plain["f"] is True and "id" not in plain
    assert plain["params"] == {"realtimeInterval": "24h"}
    assert full["params"] == {"realtimeInterval": "24h", "klineType": "1m", "limit": "3", "binary": "false"}
    assert full["id"] == 7
    assert full["site"] == "hk"


def test_kline_limit_asks_for_past_candles_oldest_first(bench: Bench) -> None:
    (frame,) = bench.client("v1").sub("kline_1m", "BTCUSD", limit="5")
    opens = [row["t"] for row in frame["data"]]
    assert opens == [opens[-1] - 60_000 * back for back in (4, 3, 2, 1, 0)]


async def test_subscribing_again_gives_a_second_first_push_and_still_one_stream(bench: Bench) -> None:
    client = bench.client("v1")
    assert [frame["f"] for frame in client.sub("depth", "BTCUSD") + client.sub("depth", "BTCUSD")] == [True, True]
    await bench.run(300)
    assert [frame["f"] for frame in client.heard()] == [False]


async def test_cancel_is_silent_and_ends_the_stream(bench: Bench) -> None:
    client = bench.client("v1")
    client.sub("depth", "BTCUSD")
    client.sub("kline_1m", "BTCUSD")
    assert client.say(sub() | {"event": "cancel"}) == []
    await bench.run(3000)
    assert {frame["topic"] for frame in client.heard()} == {"kline"}


async def test_cancel_all_is_acknowledged_and_ends_everything(bench: Bench) -> None:
    client = bench.client("v1")
    client.sub("depth", "BTCUSD,ETHUSD")
    assert client.say({"event": "cancel_all"}) == [{"code": "0", "msg": "Success", "event": "cancel_all"}]
    await bench.run(3000)
    assert client.heard() == []


def test_binary_pushes_are_gzip_of_the_same_json(bench: Bench) -> None:
    client = bench.client("v1")
    (frame,) = client.sub("depth", "BTCUSD", binary=True)
    (text,) = client.sub("depth", "BTCUSD", binary=False)
    assert frame["params"]["binary"] == "true"
    assert frame["data"] == text["data"]


def test_a_binary_push_begins_as_the_venues_do(bench: Bench) -> None:
    client = bench.client("v1")
    V1Requests(bench.hub).handle(client.connection, json.dumps(sub(params={"binary": True})))
    kind, body = unpack(client.wire.written[0])
    assert (kind, body[:4]) == (0x82, b"\x1f\x8b\x08\x00")
