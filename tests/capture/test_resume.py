"""What a run takes over from the one before: gaps that are open, and streams that were alive when it died."""

import json
from typing import Any

import pytest

from recorder.capture.resume import MARGIN_NS, learn_trades, resume, why_down
from recorder.capture.streams import Event, Streams
from recorder.capture.trades import Trades
from recorder.journal.format import Kind, Line, Record
from recorder.journal.recover import Cut, Damage, Recovery

NOW = 10_000_000_000


def died(events: list[Event] | None = None, **head: Any) -> Recovery:
    return Recovery(
        next_seq=50,
        last_ns=NOW,
        last_of_line={1: NOW - 7, 2: NOW - 5},
        head={"event": "segment", "live": [], "open": [], **head},
        events=[(NOW, event) for event in events or []],
    )


def opened(found: Recovery, **options: Any) -> dict[tuple[str, str], tuple[int, str]]:
    streams = Streams()
    resume(streams, found, **options)
    return {key: (gap.since_ns, gap.reason) for key, gap in streams.open_gaps().items()}


def test_what_was_live_is_lost_since_its_line_last_spoke() -> None:
    found = died(live=[["depth", ["BTC"]], ["kline", ["BTC"]], ["trade", ["BTC"]]])
    assert opened(found) == {
        ("depth", "BTC"): (NOW - 5 - MARGIN_NS, "process down"),
        ("kline", "BTC"): (NOW - 7 - MARGIN_NS, "process down"),
        ("trade", "BTC"): (NOW - 5 - MARGIN_NS, "process down"),
    }


def test_each_gap_is_told_at_once_since_its_stream_may_not_come_back() -> None:
    events = resume(Streams(), died(live=[["kline", ["BTC"]]], open=[["bbo", "BTC", 123, "stopped"]]))
    assert [(event["event"], event["channel"], event["since_ns"], event["reason"]) for event in events] == [
        ("lost", "bbo", 123, "stopped"),
        ("lost", "kline", NOW - 7 - MARGIN_NS, "process down"),
    ]


def test_a_gap_that_was_open_stays_open_from_where_it_began() -> None:
    assert opened(died(open=[["bbo", "BTC", 123, "stopped"]])) == {("bbo", "BTC"): (123, "stopped")}


def test_events_after_the_head_carry_the_state_on() -> None:
    found = died(
        [
            {"event": "live", "channel": "bbo", "symbol": "BTC"},
            {"event": "gap", "channel": "bbo", "symbol": "BTC"},
            {"event": "lost", "channel": "depth", "symbol": "BTC", "since_ns": 77, "reason": "silent"},
            {"event": "unsubscribe", "channel": "ticker", "symbol": "OLD"},
        ],
        live=[["depth", ["BTC"]], ["ticker", ["OLD"]]],
        open=[["bbo", "BTC", 5, "disconnect"]],
    )
    assert opened(found) == {
        ("bbo", "BTC"): (NOW - 5 - MARGIN_NS, "process down"),
        ("depth", "BTC"): (77, "silent"),
    }


def test_a_line_that_said_nothing_in_the_newest_segment_counts_as_the_head_tells() -> None:
    found = died(live=[["depth", ["BTC"]]], seen=[[2, 4_000_000_000]])
    found.last_of_line = {}
    assert opened(found) == {("depth", "BTC"): (4_000_000_000 - MARGIN_NS, "process down")}


def test_the_first_run_ever_has_no_gaps() -> None:
    assert opened(Recovery(), wanted=[("depth", "BTC")]) == {}


def test_without_a_readable_state_all_that_is_configured_is_lost() -> None:
    found = died()
    found.head = None
    assert opened(found, wanted=[("depth", "BTC")]) == {("depth", "BTC"): (NOW - 5 - MARGIN_NS, "process down")}


def test_damage_becomes_a_gap_of_each_stream_and_is_told() -> None:
    found = died(live=[["depth", ["BTC"]]])
    found.cuts = [Cut("1.jrn", 12)]
    found.damages = [Damage("0.jrn", 900, 20, 29, 1000, 2000)]
    events = resume(Streams(), found)
    assert [event["event"] for event in events] == ["journal_recovered", "journal_recovered", "gap", "lost"]
    gap = events[2]
    assert (gap["from_ns"], gap["to_ns"], gap["reason"]) == (1000, 2000, "journal damaged")
    assert (gap["seq_before"], gap["seq_after"]) == (19, 30)


@pytest.mark.parametrize(
    ("boot_then", "boot_now", "monotonic_now", "reason"),
    [
        ("a", "a", 1, "process down"),
        ("a", "b", 10**12, "machine down"),
        ("", "b", 10**12, "process down"),
        ("", "", 1, "machine down"),  # the monotonic clock went back: it counts from the boot
    ],
)
def test_whether_the_machine_was_down_is_told_by_its_boot(
    boot_then: str, boot_now: str, monotonic_now: int, reason: str
) -> None:
    found = died(boot=boot_then)
    found.last_monotonic_ns = 5_000
    assert why_down(found, boot_now, monotonic_now) == reason


def test_the_reason_is_that_of_what_was_live_and_an_open_gap_keeps_its_own() -> None:
    streams = Streams()
    resume(streams, died(live=[["depth", ["BTC"]]], open=[["bbo", "BTC", 1, "silent"]]), reason="machine down")
    assert [gap.reason for gap in streams.open_gaps().values()] == ["silent", "machine down"]


def record(kind: Kind, payload: bytes, receive_ns: int = 5) -> Record:
    return Record(1, receive_ns, 1, 0, 1, kind, Line.WS_V1, payload)


def test_the_trades_that_the_journal_holds_are_known_to_the_next_run() -> None:
    trades = Trades()
    head = {"event": "segment", "trades": [["BTC", [1, 2]]]}
    v1 = {"symbol": "BTC", "topic": "trade", "data": [{"v": "3"}, {"v": "4"}], "f": False}
    v2 = {"topic": "trade", "params": {"symbol": "ETH"}, "data": {"v": "9", "p": "1"}}
    learn_trades(trades, record(Kind.EVENT, json.dumps(head, separators=(",", ":")).encode()))
    learn_trades(trades, record(Kind.TEXT, json.dumps(v1).encode()))
    learn_trades(trades, record(Kind.TEXT, json.dumps([v2]).encode()))
    for other in (b"", b"[", b'{"event":"start"}', b'{"topic":"trade"', b'{"event":"segment"'):
        for kind in (Kind.TEXT, Kind.BINARY, Kind.EVENT, Kind.REST):
            learn_trades(trades, record(kind, other))
    assert trades.head() == [["BTC", [1, 2, 3, 4]], ["ETH", [9]]]
