"""The rules of a line, row by row; time is a number."""

import math

import pytest

from recorder.capture.session import (
    NEXT_STATE,
    QUICK,
    Action,
    Backoff,
    Cancel,
    GiveUp,
    Happening,
    Ping,
    Session,
    Silent,
    State,
    Subscribe,
)

V1, V2 = 1, 2


def opened(line: int, *asks: tuple[str, str], now: float = 100.0) -> Session:
    session = Session(line, Backoff(jitter=lambda: 1.0))
    session.want(asks)
    session.connecting()
    session.opened(now)
    return session


def of(kind: type, actions: list[Action]) -> list[Action]:
    return [action for action in actions if isinstance(action, kind)]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("happening", Happening)
def test_a_line_waits_connects_is_open_and_waits_again(state: State, happening: Happening) -> None:
    expected = {
        (State.WAITING, Happening.DUE): State.CONNECTING,
        (State.CONNECTING, Happening.OPENED): State.OPEN,
        (State.CONNECTING, Happening.FAILED): State.WAITING,
        (State.OPEN, Happening.CLOSED): State.WAITING,
    }
    assert NEXT_STATE.get((state, happening)) is expected.get((state, happening))


def test_an_open_line_pings_at_once_and_each_ten_seconds() -> None:
    session = opened(V2)
    assert session.due(100.0) == [Ping()]
    session.last_heard = 109.0
    assert session.next_due() == 110.0
    assert session.due(109.9) == []
    assert session.due(110.0) == [Ping()]


def test_a_line_without_any_frame_for_25_seconds_is_given_up() -> None:
    session = opened(V2)
    session.due(100.0)
    assert not of(GiveUp, session.due(124.9))
    assert session.due(125.0) == [GiveUp("silent")]


def test_any_frame_keeps_a_line() -> None:
    session = opened(V2)
    session.last_heard = 120.0
    assert not of(GiveUp, session.due(144.0))


def test_v1_asks_for_all_symbols_of_a_topic_at_once_and_v2_for_one_each() -> None:
    asks = [("trade", "BTCUSD"), ("trade", "ETHUSD"), ("kline_1m", "BTCUSD")]
    assert of(Subscribe, opened(V1, *asks).due(100.0)) == [
        Subscribe("trade", ("BTCUSD", "ETHUSD")),
        Subscribe("kline_1m", ("BTCUSD",)),
    ]
    assert of(Subscribe, opened(V2, *asks).due(100.0)) == [
        Subscribe("trade", ("BTCUSD",)),
        Subscribe("trade", ("ETHUSD",)),
        Subscribe("kline_1m", ("BTCUSD",)),
    ]


def test_requests_go_in_a_burst_of_sixty_and_then_twenty_a_second() -> None:
    session = opened(V2, *(("bbo", f"S{n}") for n in range(140)))
    assert len(of(Subscribe, session.due(100.0))) == 60
    assert session.next_due() == pytest.approx(100.05)
    assert len(of(Subscribe, session.due(100.5))) == 10
    assert len(of(Subscribe, session.due(103.5))) == 60
    assert len(of(Subscribe, session.due(104.0))) == 10


def test_what_is_not_answered_within_ten_seconds_is_asked_once_more_alone_and_then_reported() -> None:
    session = opened(V1, ("trade", "BTCUSD"), ("trade", "QUIET"))
    session.due(100.0)
    session.answered("trade", "BTCUSD")
    session.last_heard = 140.0
    assert of(Subscribe, session.due(109.9)) == []
    assert of(Subscribe, session.due(110.0)) == [Subscribe("trade", ("QUIET",))]
    assert of(Silent, session.due(119.9)) == []
    assert of(Silent, session.due(120.0)) == [Silent("trade", "QUIET")]
    assert session.waits_for == []
    assert of(Subscribe, session.due(140.0)) == []


def test_what_was_refused_or_silent_is_asked_again_at_the_next_refresh_only() -> None:
    session = opened(V2, ("depth", "NOPE"), ("depth", "BTCUSD"))
    session.due(100.0)
    session.answered("depth", "BTCUSD")
    session.refused("depth", "NOPE")
    assert of(Subscribe, session.due(105.0)) == []
    session.retry_failed()
    assert of(Subscribe, session.due(106.0)) == [Subscribe("depth", ("NOPE",))]


def test_a_new_symbol_is_asked_for_and_one_that_is_gone_is_cancelled() -> None:
    session = opened(V2, ("bbo", "OLD"))
    session.due(100.0)
    session.answered("bbo", "OLD")
    session.want([("bbo", "NEW")])
    assert session.due(101.0) == [Subscribe("bbo", ("NEW",)), Cancel("bbo", "OLD")]


def test_after_a_reconnect_everything_is_asked_for_again() -> None:
    session = opened(V2, ("bbo", "BTCUSD"), ("bbo", "REFUSED"))
    session.due(100.0)
    session.answered("bbo", "BTCUSD")
    session.refused("bbo", "REFUSED")
    session.closed(200.0)
    session.connecting()
    session.opened(201.0)
    assert len(of(Subscribe, session.due(201.0))) == 2


def test_the_wait_is_a_second_for_the_first_minute_then_doubles_to_a_minute_and_never_ends() -> None:
    backoff = Backoff(jitter=lambda: 1.0)
    assert [backoff.next_delay() for _ in range(QUICK)] == [1] * QUICK
    assert [backoff.next_delay() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.failures = 10_000
    assert backoff.next_delay() == 60


def test_jitter_takes_away_up_to_half_of_the_wait() -> None:
    assert Backoff(jitter=lambda: 0.0).next_delay() == 0.5


def test_a_line_that_lived_for_a_while_starts_again_at_once_and_one_that_did_not_waits_longer() -> None:
    session = opened(V2)
    assert session.closed(101.0) == 1.0
    session.connecting()
    assert session.failed() == 1.0
    assert session.backoff.failures == 2
    session.connecting()
    session.opened(110.0)
    assert session.closed(140.0) == 0.2
    assert session.backoff.failures == 0


def test_to_renew_is_to_cancel_and_subscribe_and_to_repeat_only_to_subscribe() -> None:
    session = opened(V1, ("trade", "BTCUSD"), ("trade", "ETHUSD"))
    session.due(100.0)
    for symbol in ("BTCUSD", "ETHUSD"):
        session.answered("trade", symbol)
    session.renew(("trade", "BTCUSD"))
    session.renew(("trade", "NOT WANTED"))
    assert session.due(101.0) == [Cancel("trade", "BTCUSD"), Subscribe("trade", ("BTCUSD",))]
    assert session.is_waiting
    session.renew(("trade", "BTCUSD"))
    assert session.due(102.0) == [], "the first one is not answered yet"
    session.answered("trade", "BTCUSD")
    session.repeat([("trade", "BTCUSD"), ("trade", "ETHUSD")])
    assert session.due(103.0) == [Subscribe("trade", ("BTCUSD", "ETHUSD"))]


def test_without_a_line_there_is_nothing_to_do() -> None:
    session = Session(V1)
    session.want([("trade", "BTCUSD")])
    assert session.due(5.0) == []
    assert session.next_due() == math.inf
