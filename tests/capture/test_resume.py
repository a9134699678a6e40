"""What a run takes over from the one before: gaps that are open, and streams that were alive when it died."""

from typing import Any

from recorder.capture.resume import MARGIN_NS, resume
from recorder.capture.streams import Event, Streams
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
    assert [event["event"] for event in events] == ["journal_recovered", "journal_recovered", "gap"]
    gap = events[2]
    assert (gap["from_ns"], gap["to_ns"], gap["reason"]) == (1000, 2000, "journal damaged")
    assert (gap["seq_before"], gap["seq_after"]) == (19, 30)
