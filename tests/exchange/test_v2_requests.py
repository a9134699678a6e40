from typing import Any

import pytest

from tests.exchange.bench import Bench, market


@pytest.fixture
def bench() -> Bench:
    return Bench(market("BTCUSD", "ETHUSD", "BTCUSDT-PERPETUAL", "BBTCUSD-PERPETUAL"))


def sub(topic: str = "depth", event: str = "sub", **params: Any) -> dict[str, Any]:
    return {"topic": topic, "event": event, "params": params}


@pytest.mark.parametrize(
    "request_",
    [
        sub(symbol="BTCUSD"),
        sub("kline", symbol="BTCUSD", klineType="1M"),
        sub("markPrice", symbol="BTCUSDT-PERPETUAL"),
        sub("depth", symbol="BBTCUSD-PERPETUAL"),  # will never send anything
        sub(event="cancel", symbol="BTCUSD"),  # never subscribed
        sub(symbol="BTCUSD") | {"site": "HK"},
    ],
)
def test_a_request_that_is_understood_is_acknowledged(bench: Bench, request_: dict[str, Any]) -> None:
    asked = {key: request_[key] for key in ("topic", "event", "params")}
    assert bench.client("v2").say(request_) == [{**asked, "code": "0", "msg": "Success", "site": "hk"}]


@pytest.mark.parametrize(
    "request_",
    [
        sub(symbol="NOPE"),
        sub(symbol="BTCUSD,ETHUSD"),
        sub(),
        sub("kline", symbol="BTCUSD", klineType="122m"),
        sub("kline", symbol="BTCUSD"),
        sub("markPrice", symbol="BTCUSD"),
    ],
)
def test_wrong_parameters_are_refused_with_the_request_repeated(bench: Bench, request_: dict[str, Any]) -> None:
    answer = {**request_, "code": "-100011", "msg": "Parameter error!", "site": "hk"}
    assert bench.client("v2").say(request_) == [answer]


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("nope", {"code": "-10001", "desc": "Invalid JSON!"}),
        (sub("index", symbol="BTCUSDT"), {"code": "-10004", "desc": "Invalid topic!"}),
        (sub("fundingRate", symbol="BTCUSDT-PERPETUAL"), {"code": "-10004", "desc": "Invalid topic!"}),
        (sub(topic=["depth"], symbol="BTCUSD"), {"code": "-10004", "desc": "Invalid topic!"}),  # type: ignore[arg-type]
        (sub(event="jump", symbol="BTCUSD"), {"code": "-10002", "desc": "Invalid event!"}),
    ],
)
def test_what_cannot_be_tied_to_a_stream_is_refused_as_on_v1(bench: Bench, request_: Any, answer: object) -> None:
    assert bench.client("v2").say(request_) == [answer]


def test_a_ping_is_answered_with_the_clock_of_the_exchange(bench: Bench) -> None:
    assert bench.client("v2").say({"ping": "abc"}) == [{"pong": bench.clock.now_ms()}]


async def test_after_cancel_nothing_more_comes(bench: Bench) -> None:
    client = bench.client("v2")
    client.sub("depth", "BTCUSD")
    client.sub("bbo", "BTCUSD")
    client.say(sub(event="cancel", symbol="BTCUSD"))
    await bench.run(5000)
    assert {frame["topic"] for frame in client.heard()} == {"bbo"}
    (answer,) = client.say({"event": "cancel_all"})
    assert answer["msg"] == "Success"
    await bench.run(5000)
    assert client.heard() == []
