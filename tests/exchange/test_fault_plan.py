"""What becomes of a frame: decided without sockets, in times we choose."""

import json
from typing import Any

from recorder.exchange.fault_plan import Frame, Note, Plan, Put, PutList, Step, Withhold
from recorder.exchange.faults import SECOND, script_of

Seconds = float


def plan(*entries: dict[str, Any], lines: dict[int, str] | None = None) -> Plan:
    made = Plan(script_of(entries).faults, 0)
    for conn, api in (lines or {1: "v1", 2: "v2"}).items():
        made.opened(conn, api)
    return made


def at(made: Plan, seconds: Seconds) -> list[Step]:
    """Let the time be `seconds`; returns what was held and is said now."""
    steps = [step for turn in made.turn(round(seconds * SECOND)) for step in turn.steps]
    return steps + made.release(round(seconds * SECOND))


def frame(conn: int = 1, topic: str = "depth", symbol: str = "BTCUSD", role: str = "push", mark: int = 0) -> Frame:
    api = "v1" if conn == 1 else "v2"
    return Frame(conn, api, role, json.dumps({"data": mark}).encode(), topic, symbol)


def said(steps: list[Step]) -> list[Any]:
    """The marks of the frames that are put on the socket, in order."""
    found: list[Any] = []
    for step in steps:
        if isinstance(step, Put):
            found.append(json.loads(step.frame.payload).get("data"))
        elif isinstance(step, PutList):
            found.append([json.loads(one.payload)["data"] for one in step.frames])
    return found


def withheld(steps: list[Step]) -> list[Any]:
    return [json.loads(step.frame.payload)["data"] for step in steps if isinstance(step, Withhold)]


def route(made: Plan, seconds: Seconds, one: Frame) -> list[Step]:
    return made.route(round(seconds * SECOND), one)


def test_a_fault_is_on_from_its_time_for_as_long_as_it_says() -> None:
    made = plan({"at": 10, "kind": "mute", "for": 5})
    for seconds, silent in ((0, False), (9.99, False), (10, True), (14.99, True), (15, False)):
        at(made, seconds)
        assert bool(withheld(route(made, seconds, frame()))) is silent
    assert made.next_time() is None


def test_a_fault_that_begins_late_still_lasts_its_time() -> None:
    made = plan({"at": 10, "kind": "mute", "for": 5})
    at(made, 12)
    assert made.next_time() == 17 * SECOND


def test_filters_choose_the_stream() -> None:
    made = plan({"at": 0, "kind": "mute", "api": "v1", "topic": "depth", "symbol": "BTCUSD"})
    at(made, 0)
    assert withheld(route(made, 1, frame(1, "depth", "BTCUSD")))
    assert withheld(route(made, 1, frame(1, "depth", "BTCUSD", role="first")))
    for other in (frame(2), frame(topic="trade"), frame(symbol="ETHUSD"), frame(role="answer"), frame(role="pong")):
        assert not withheld(route(made, 1, other))


def test_the_oldest_and_the_newest_line_are_those_when_it_begins() -> None:
    made = plan({"at": 5, "kind": "mute", "conn": "newest"}, lines={1: "v1", 2: "v2"})
    at(made, 5)
    made.opened(3, "v2")
    frames = [Frame(conn, "v2", "push", b'{"data":1}', "depth", "X") for conn in (1, 2, 3)]
    silent = [bool(withheld(route(made, 5, one))) for one in frames]
    assert silent == [False, True, False]


def test_mute_until_resubscribe_ends_stream_by_stream() -> None:
    made = plan({"at": 0, "kind": "mute", "until": "resubscribe"})
    at(made, 0)
    made.subscribed(SECOND, 1, "v1", "depth", "BTCUSD", "")
    assert said(route(made, 1, frame())) == [0]
    assert withheld(route(made, 1, frame(symbol="ETHUSD"))) == [0]


def test_mute_until_reconnect_spares_new_lines() -> None:
    made = plan({"at": 0, "kind": "mute_all_but_pongs", "until": "reconnect"})
    at(made, 0)
    made.opened(3, "v2")
    assert withheld(route(made, 1, frame(2, role="answer")))
    assert said(route(made, 1, frame(2, role="pong"))) == [0]
    assert said(route(made, 1, frame(3))) == [0]
    assert made.is_silent(2) and not made.is_silent(3)


def test_after_subscribed_counts_from_the_first_subscription_that_fits() -> None:
    made = plan({"after": "subscribed", "at": 2, "kind": "mute", "symbol": "ETHUSD"})
    made.subscribed(3 * SECOND, 1, "v1", "depth", "BTCUSD", "")
    assert made.next_time() is None
    made.subscribed(4 * SECOND, 1, "v1", "depth", "ETHUSD", "")
    made.subscribed(5 * SECOND, 2, "v2", "depth", "ETHUSD", "")
    assert made.next_time() == 6 * SECOND


def test_delayed_frames_come_in_order_and_hold_back_those_after_the_end() -> None:
    made = plan({"at": 0, "kind": "delay", "for": 1, "seconds": 3})
    at(made, 0)
    assert route(made, 0.5, frame(mark=1)) == []
    assert route(made, 0.9, frame(mark=2)) == []
    assert said(at(made, 1)) == []
    assert route(made, 1.5, frame(mark=3)) == []  # the fault is over, but 1 and 2 are still on their way
    assert said(at(made, 3.5)) == [1]
    assert said(at(made, 4)) == [2, 3]
    assert said(route(made, 4.1, frame(mark=4))) == [4]
    assert made.next_time() is None


def test_a_delay_of_one_stream_leaves_the_others_alone_and_one_of_a_line_takes_its_pongs_too() -> None:
    made = plan({"at": 0, "kind": "delay", "seconds": 3, "topic": "depth"})
    at(made, 0)
    assert said(route(made, 1, frame(topic="trade"))) == [0]
    assert said(route(made, 1, frame(role="pong", topic="", symbol=""))) == [0]
    made = plan({"at": 0, "kind": "delay", "seconds": 3})
    at(made, 0)
    assert route(made, 1, frame(role="pong", topic="", symbol="")) == []


def test_duplicates_follow_at_once_and_as_often_as_counted() -> None:
    made = plan({"at": 0, "kind": "duplicate", "count": 2, "copies": 3})
    at(made, 0)
    assert [said(route(made, 1, frame(mark=mark))) for mark in (1, 2, 3)] == [[1] * 4, [2] * 4, [3]]


def test_the_end_of_a_count_is_told_once() -> None:
    made = plan({"at": 0, "kind": "duplicate"})
    at(made, 0)
    notes = [step for step in route(made, 1, frame()) if isinstance(step, Note)]
    assert [note.details["phase"] for note in notes] == ["hit", "end"]


def test_reorder_swaps_two_pushes_of_one_stream() -> None:
    made = plan({"at": 0, "kind": "reorder"})
    at(made, 0)
    assert said(route(made, 1, frame(mark=1))) == []
    assert said(route(made, 1, frame(symbol="ETHUSD", mark=9))) == [9]
    assert said(route(made, 1, frame(mark=2))) == [2, 1]
    assert said(route(made, 1, frame(mark=3))) == [3]


def test_a_push_that_waits_in_vain_for_the_next_one_comes_after_two_seconds() -> None:
    made = plan({"at": 0, "kind": "reorder"})
    at(made, 0)
    route(made, 1, frame(mark=1))
    assert said(at(made, 2.9)) == []
    assert said(at(made, 3)) == [1]
    assert made.next_time() is None


def test_skip_counter_withholds_one_change_and_never_a_snapshot() -> None:
    made = plan({"at": 0, "kind": "skip_counter"})
    at(made, 0)
    topic = "diffMergedDepth"
    assert said(route(made, 1, frame(topic=topic, role="first"))) == [0]
    assert said(route(made, 1, frame(topic="depth"))) == [0]
    assert withheld(route(made, 1, frame(topic=topic, mark=1))) == [1]
    assert said(route(made, 1, frame(topic=topic, mark=2))) == [2]


def test_a_list_gathers_as_many_as_its_size_or_what_there_is() -> None:
    made = plan({"at": 0, "kind": "list_wrapped", "size": 3, "count": 2})
    at(made, 0)
    assert [said(route(made, 1, frame(mark=mark))) for mark in (1, 2, 3, 4)] == [[], [], [[1, 2, 3]], []]
    assert said(at(made, 3)) == [[4]]


def test_an_empty_push_comes_before_the_full_one_or_instead_of_it() -> None:
    made = plan({"at": 0, "kind": "empty_data", "shape": "all"}, {"at": 0, "kind": "empty_data", "replace": True})
    at(made, 0)
    assert said(route(made, 1, frame(mark=1))) == [[], None, None, 1]
    steps = route(made, 1, frame(mark=2))
    assert (said(steps), withheld(steps)) == ([[]], [2])


def test_nothing_is_said_on_a_half_open_line_not_even_what_was_held() -> None:
    made = plan({"at": 0, "kind": "delay", "seconds": 2}, {"at": 1, "kind": "half_open", "conn": 1})
    at(made, 0)
    route(made, 0, frame(1, mark=1))
    route(made, 0, frame(2, mark=2))
    at(made, 1)
    assert withheld(route(made, 1, frame(1, role="pong", mark=3))) == [3]
    steps = at(made, 2)
    assert (said(steps), withheld(steps)) == ([2], [1])


def test_what_is_held_when_its_line_ends_is_withheld() -> None:
    made = plan(
        {"at": 0, "kind": "delay", "seconds": 2, "topic": "depth"},
        {"at": 0, "kind": "reorder", "topic": "trade"},
        {"at": 0, "kind": "list_wrapped", "topic": "kline"},
    )
    at(made, 0)
    for mark, topic in enumerate(("depth", "trade", "kline")):
        assert said(route(made, 0, frame(topic=topic, mark=mark))) == []
    assert sorted(withheld(made.gone(1))) == [0, 1, 2]
    assert said(at(made, 9)) == []


def test_one_frame_meets_one_fault_and_a_delay_on_top() -> None:
    made = plan(
        {"at": 0, "kind": "duplicate", "for": 9},
        {"at": 0, "kind": "mute", "symbol": "ETHUSD"},
        {"at": 0, "kind": "delay", "seconds": 1, "for": 9},
    )
    at(made, 0)
    assert withheld(route(made, 0, frame(symbol="ETHUSD"))) == [0]
    assert route(made, 0, frame(mark=5)) == []
    assert said(at(made, 1)) == [5, 5]


def test_clocks_add_up_and_only_steps_stay() -> None:
    made = plan({"at": 0, "kind": "clock_step", "ms": -100}, {"at": 1, "kind": "clock_offset", "ms": 5000, "for": 1})
    told = []
    for seconds in (0, 1, 2):
        at(made, seconds)
        told.append(made.clock_ms)
    assert told == [-100, 4900, -100]


def test_requests_meet_slowness_first_and_one_answer() -> None:
    made = plan(
        {"at": 0, "kind": "http", "answer": 429, "path": "/quote/", "count": 2},
        {"at": 0, "kind": "slow_rest", "seconds": 1, "for": 9},
    )
    at(made, 0)
    met = [[one.fault.kind for one in made.request(path)] for path in ("/api/v1/time", *["/quote/v1/depth"] * 3)]
    assert met == [["slow_rest"], ["slow_rest", "http"], ["slow_rest", "http"], ["slow_rest"]]


def test_handshakes_are_refused_by_api_and_by_a_restart() -> None:
    made = plan({"at": 0, "kind": "refuse", "api": "v1", "for": 1}, {"at": 2, "kind": "restart", "for": 1})
    told = []
    for seconds in (0, 1, 2, 3):
        at(made, seconds)
        told.append([made.refusal(api) is not None for api in ("v1", "v2")])
    assert told == [[True, False], [False, False], [True, True], [False, False]]
