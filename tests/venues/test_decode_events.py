"""Own events become the rows that docs/architecture.md says."""

import datetime as dt
from typing import Any

import orjson

from tests.frames.arrivals import decoded, event, head, own

NOWHERE = {"venue": "hashkey", "symbol": "", "exchange_time": None}


def test_a_segment_event_is_context_and_no_row() -> None:
    assert decoded(head()) == {}


def test_an_event_without_a_session_belongs_to_that_of_its_segment() -> None:
    made = decoded(head(1, session="run7"), event(2, event="connect", conn=3, line=1, url="wss://x"))
    (row,) = made["session"]
    assert own(row) == NOWHERE | {
        "session": "run7",
        "event": "connect",
        "channel": "",
        "detail": '{"conn":3,"line":1,"url":"wss://x"}',
    }
    assert (row["source"], row["conn"], row["seq"]) == ("", 0, 2)


def test_a_subscribe_event_is_a_row_for_each_symbol() -> None:
    rows = decoded(event(event="subscribe", conn=1, channel="trade", symbols=["A", "B"]))["session"]
    assert [(row["symbol"], row["idx"], row["channel"]) for row in rows] == [("A", 0, "trade"), ("B", 1, "trade")]
    assert {row["detail"] for row in rows} == {'{"conn":1}'}


def test_an_event_with_nothing_more_to_say_has_an_empty_object_as_detail() -> None:
    (row,) = decoded(event(event="start", session="s2"))["session"]
    assert (row["session"], row["detail"]) == ("s2", "{}")


def test_a_gap_event_is_a_gap_row() -> None:
    fields: dict[str, Any] = {
        "reason": "disconnect",
        "from_ns": 5,
        "to_ns": 9,
        "seq_before": None,
        "seq_after": 8,
        "healed": False,
    }
    (row,) = decoded(event(event="gap", channel="trade", symbol="A", **fields))["gap"]
    assert own(row) == NOWHERE | {"symbol": "A", "channel": "trade"} | fields


def test_a_clock_event_is_a_clock_row() -> None:
    numbers = {"server_ms": 1_790_128_268_345, "round_trip_ns": 80_000_000, "offset_ns": -5}
    (row,) = decoded(event(event="clock", conn=1, **numbers))["clock"]
    assert {key: row[key] for key in numbers} == numbers
    assert row["exchange_time"] == dt.datetime(2026, 9, 23, 1, 51, 8, 345000)


def test_an_event_that_is_not_as_agreed_goes_to_quarantine() -> None:
    (row,) = decoded(event(event="gap", channel="trade", from_ns="soon"))["quarantine"]
    assert row["channel"] == "own event"
    assert row["reason"] == "from_ns is 'soon', not a whole number"
    assert orjson.loads(row["frame"])["event"] == "gap"
