"""Coverage: what is whole, what is not, and why, from session and gap rows alone."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from recorder.lake.reader import open_lake
from tests.lake.helpers import Row, at, clock, empty_lake, event, gap, ns, write

Interval = tuple[float, float, str, str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return empty_lake(tmp_path / "data")


def covered(root: Path, session: list[Row], gaps: list[Row] | None = None, **where: Any) -> list[Interval]:
    """The trade stream's intervals, in seconds after START."""
    write(root, "session", session)
    if gaps:
        write(root, "gap", gaps)
    rows = open_lake(root).coverage(**({"symbol": "BTCUSD", "channel": "trade"} | where)).fetchall()
    return [((a - at(0)).total_seconds(), (b - at(0)).total_seconds(), *rest) for _, _, _, a, b, *rest in rows]


def started(seq: int, seconds: float) -> list[Row]:
    return [event(seq, seconds, "start"), event(seq + 1, seconds + 1, "live", "trade")]


def lost(seq: int, seconds: float, since: float, reason: str) -> Row:
    return event(seq, seconds, "lost", "trade", detail={"since_ns": ns(since), "reason": reason})


def test_a_stream_is_ok_from_its_first_proof_of_life_to_the_last_known_moment(root: Path) -> None:
    write(root, "clock", [clock(50, 100)])
    assert covered(root, started(1, 0)) == [(1, 100, "ok", "")]


def test_a_stream_that_was_only_asked_for_has_no_coverage(root: Path) -> None:
    assert covered(root, [event(1, 0, "start"), event(2, 1, "subscribe", "trade"), event(3, 9, "note")]) == []


def test_a_lost_line_is_a_gap_from_its_last_good_frame_until_the_stream_is_live_again(root: Path) -> None:
    session = [*started(1, 0), lost(5, 30, 20, "silent"), event(7, 50, "live", "trade"), event(9, 90, "note")]
    gaps = [gap(8, 50, "trade", 20, 50, "silent")]
    expected = [(1, 20, "ok", ""), (20, 50, "gap", "silent"), (50, 90, "ok", "")]
    assert covered(root, session) == expected
    assert covered(root, session, gaps) == expected


def test_an_open_gap_reaches_to_the_last_known_moment(root: Path) -> None:
    session = [*started(1, 0), lost(5, 30, 20, "disconnect"), event(9, 90, "note")]
    assert covered(root, session) == [(1, 20, "ok", ""), (20, 90, "gap", "disconnect")]


def test_a_later_row_on_the_same_gap_heals_it(root: Path) -> None:
    session = [*started(1, 0), event(99, 90, "note")]
    gaps = [gap(8, 50, "trade", 20, 50, "disconnect"), gap(20, 70, "trade", 20, 50, "disconnect", healed=True)]
    assert covered(root, session, gaps) == [
        (1, 20, "ok", ""),
        (20, 50, "healed", "disconnect"),
        (50, 90, "ok", ""),
    ]


def test_a_killed_process_is_a_gap_from_its_last_sign_of_life(root: Path) -> None:
    write(root, "clock", [clock(10, 40)])
    session = [*started(1, 0), *started(20, 100), event(30, 130, "note")]
    assert covered(root, session) == [
        (1, 40, "ok", ""),
        (40, 101, "gap", "process down"),
        (101, 130, "ok", ""),
    ]


def test_the_gap_row_of_a_killed_process_knows_better_where_the_gap_began(root: Path) -> None:
    write(root, "clock", [clock(10, 40)])
    session = [*started(1, 0), *started(20, 100), event(30, 130, "note")]
    gaps = [gap(22, 101, "trade", 44, 101, "process down")]
    assert covered(root, session, gaps) == [
        (1, 44, "ok", ""),
        (44, 101, "gap", "process down"),
        (101, 130, "ok", ""),
    ]


def test_a_restart_says_where_the_gap_began_though_the_stream_never_comes_back(root: Path) -> None:
    write(root, "clock", [clock(10, 40)])
    told = event(20, 100, "lost", "trade", detail={"since_ns": ns(48), "reason": "process down"})
    assert covered(root, [*started(1, 0), told, event(21, 100, "start"), event(30, 130, "note")]) == [
        (1, 48, "ok", ""),
        (48, 130, "gap", "process down"),
    ]


def test_after_a_restart_a_stream_is_not_ok_before_it_is_live_again(root: Path) -> None:
    write(root, "clock", [clock(10, 40)])
    session = [*started(1, 0), event(20, 100, "start"), event(30, 130, "note")]
    assert covered(root, session) == [(1, 40, "ok", ""), (40, 130, "gap", "process down")]


def test_an_ordered_stop_ends_the_story_until_the_next_start(root: Path) -> None:
    session = [*started(1, 0), lost(5, 60.25, 60, "stopped"), event(6, 60.5, "stop")]
    assert covered(root, session) == [(1, 60, "ok", "")]
    again = [*session, *started(20, 100), event(30, 130, "note")]
    assert covered(root, again) == [(1, 60, "ok", ""), (60, 101, "gap", "stopped"), (101, 130, "ok", "")]


def test_a_stop_without_lost_is_a_gap_too(root: Path) -> None:
    session = [*started(1, 0), event(6, 60, "stop"), *started(20, 100), event(30, 130, "note")]
    assert covered(root, session) == [(1, 60, "ok", ""), (60, 101, "gap", "stopped"), (101, 130, "ok", "")]


def test_after_unsubscribe_nothing_is_recorded_and_that_is_no_gap(root: Path) -> None:
    session = [
        *started(1, 0),
        event(5, 30, "unsubscribe", "trade", detail={"reason": "not wanted"}),
        event(6, 60, "start"),
        event(7, 90, "live", "trade"),
        event(9, 120, "note"),
    ]
    assert covered(root, session) == [
        (1, 30, "ok", ""),
        (30, 90, "not_recording", "not wanted"),
        (90, 120, "ok", ""),
    ]


def test_an_unsubscribe_ends_a_gap(root: Path) -> None:
    session = [*started(1, 0), lost(5, 30, 20, "silent"), event(6, 50, "unsubscribe", "trade"), event(9, 90, "note")]
    assert covered(root, session) == [
        (1, 20, "ok", ""),
        (20, 50, "gap", "silent"),
        (50, 90, "not_recording", "unsubscribe"),
    ]


def test_gaps_that_overlap_are_one_and_gaps_that_touch_are_two(root: Path) -> None:
    session = [*started(1, 0), event(99, 90, "note")]
    gaps = [
        gap(8, 50, "trade", 20, 40, "disconnect"),
        gap(9, 51, "trade", 30, 50, "silent"),
        gap(10, 61, "trade", 50, 60, "refused"),
        gap(11, 62, "trade", 55, 55, "nothing"),
    ]
    assert covered(root, session, gaps) == [
        (1, 20, "ok", ""),
        (20, 50, "gap", "disconnect"),
        (50, 60, "gap", "refused"),
        (60, 90, "ok", ""),
    ]


def test_where_a_healed_and_an_open_gap_overlap_the_gap_stays(root: Path) -> None:
    session = [*started(1, 0), event(99, 90, "note")]
    gaps = [gap(8, 50, "trade", 20, 50, "disconnect", healed=True), gap(9, 51, "trade", 30, 40, "silent")]
    assert covered(root, session, gaps) == [
        (1, 20, "ok", ""),
        (20, 30, "healed", "disconnect"),
        (30, 40, "gap", "silent"),
        (40, 50, "healed", "disconnect"),
        (50, 90, "ok", ""),
    ]


def test_a_gap_before_the_first_proof_of_life_or_after_the_end_is_cut(root: Path) -> None:
    session = [*started(1, 10), event(99, 90, "note")]
    gaps = [gap(3, 12, "trade", -100, 12, "process down"), gap(8, 80, "trade", 80, 900, "disk")]
    assert covered(root, session, gaps) == [
        (11, 12, "gap", "process down"),
        (12, 80, "ok", ""),
        (80, 90, "gap", "disk"),
    ]


def test_streams_are_told_apart(root: Path) -> None:
    session = [
        event(1, 0, "start"),
        event(2, 1, "live", "trade"),
        event(3, 2, "live", "depth"),
        event(4, 3, "live", "trade", symbol="ETHUSD"),
        lost(5, 30, 20, "silent"),
        event(9, 90, "note"),
    ]
    assert covered(root, session) == [(1, 20, "ok", ""), (20, 90, "gap", "silent")]
    assert covered(root, session, channel="depth") == [(2, 90, "ok", "")]
    assert covered(root, session, symbol="ETHUSD") == [(3, 90, "ok", "")]


def test_a_range_cuts_the_intervals(root: Path) -> None:
    session = [*started(1, 0), lost(5, 30, 20, "silent"), event(9, 90, "note")]
    assert covered(root, session, start=at(10), end=at(40)) == [(10, 20, "ok", ""), (20, 40, "gap", "silent")]


def test_intervals_are_adjacent_and_never_overlap_in_a_long_story(root: Path) -> None:
    session, gaps, seq = started(1, 0), [], 10
    for n in range(1, 60):
        begin, end = n * 10.0, n * 10.0 + (n % 7)
        session += [lost(seq, begin + 1, begin, "silent"), event(seq + 1, end + 2, "live", "trade")]
        if n % 3:
            gaps.append(gap(seq + 2, end + 2, "trade", begin, end + 2, f"why {n}", healed=n % 2 == 0))
        seq += 5
    found = covered(root, [*session, event(seq, 700, "note")], gaps)
    assert found[0][0] == 1
    assert found[-1][1] == 700
    assert all(one[1] == two[0] for one, two in pairwise(found))
    assert all(one[2:] != two[2:] for one, two in pairwise(found))
    assert all(begin < end for begin, end, *_ in found)
