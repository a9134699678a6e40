"""Trades by REST against trades of the lake: what is kept, and when a gap counts as healed."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.errors import VenueError
from recorder.lake.backfill_sql import Gap, Known
from recorder.quality.reconcile import DOUBTFUL, NONE_AFTER, TOO_MANY, TOO_OLD, Trade, match, read_trades

WAY_NS = 30_000_000  # from the venue to us
OFFSET_MS = 5_000_000  # our clock is so far ahead of the venue's


def trade(seconds: float, price: str = "1", size: str = "1") -> Trade:
    return Trade(round(seconds * 1000), Decimal(price), Decimal(size), False)


def known(one: Trade, received: float | None = None, socket: bool = True) -> Known:
    """By default received when it happened."""
    at_ms = one.time_ms if received is None else round(received * 1000)
    return Known(*one, (at_ms + OFFSET_MS) * 1_000_000 + WAY_NS, socket)


def gap(start: float, end: float) -> Gap:
    low, high = ((round(s * 1000) + OFFSET_MS) * 1_000_000 + WAY_NS for s in (start, end))
    return Gap("BTCUSD", "trade", low, high, "disconnect", None, None)


def all_of(*seconds: float) -> list[Trade]:
    return [trade(s) for s in seconds]


def test_what_is_missing_between_known_trades_is_kept_and_heals_the_gap() -> None:
    answer = all_of(1, 9, 12, 15, 21, 22)
    lake = [known(answer[place]) for place in (0, 1, 4, 5)]
    found = match(answer, lake, [gap(10, 20)])
    assert (found.keep, found.healed, found.left) == ([2, 3], [gap(10, 20)], [])


def test_doing_it_again_adds_nothing() -> None:
    answer = all_of(1, 9, 12, 15, 21, 22)
    lake = [known(answer[place]) for place in (0, 1, 4, 5)]
    filled = [known(answer[place], 60, socket=False) for place in (2, 3)]
    found = match(answer, [*lake, *filled], [gap(10, 20)])
    assert (found.keep, found.healed) == ([], [gap(10, 20)])


def test_history_that_brought_some_of_the_gap_is_not_kept_twice() -> None:
    answer = all_of(9, 12, 15, 21)
    lake = [known(answer[0]), known(answer[2], 20.5), known(answer[3])]
    found = match(answer, lake, [gap(10, 20)])
    assert (found.keep, found.healed) == ([1], [gap(10, 20)])


def test_equal_trades_are_counted() -> None:
    answer = all_of(9, 12, 12, 12, 21)
    lake = [known(answer[0]), known(answer[1], 20.5), known(answer[4])]
    found = match(answer, lake, [gap(10, 20)])
    assert (len(found.keep), found.healed) == (2, [gap(10, 20)])


def test_a_gap_from_before_the_answer_begins_is_filled_as_far_as_it_goes_and_left_open_for_good() -> None:
    answer = all_of(12, 15, 21, 22)
    lake = [known(trade(9)), known(answer[2]), known(answer[3])]
    found = match(answer, lake, [gap(10, 20)])
    assert found.keep == [0, 1]
    assert (found.healed, [(one.detail, one.is_final) for one in found.left]) == ([], [(TOO_MANY, True)])


def test_nothing_is_proved_before_a_trade_after_the_gap_is_known() -> None:
    answer = all_of(9, 12, 15)
    found = match(answer, [known(answer[0])], [gap(10, 20)])
    assert (found.keep, found.healed) == ([], [])
    assert [(one.detail, one.is_final) for one in found.left] == [(NONE_AFTER, False)]


def test_what_rest_filled_proves_nothing() -> None:
    answer = all_of(9, 12, 21)
    lake = [known(answer[0], socket=False), known(answer[1], 30, socket=False), known(answer[2])]
    found = match(answer, lake, [gap(10, 20)])
    assert [one.detail for one in found.left] == [TOO_MANY]


def test_a_trade_that_is_missing_outside_of_the_gap_makes_it_doubtful() -> None:
    answer = all_of(9, 12, 21, 30, 31)
    lake = [known(answer[place]) for place in (0, 2, 4)]
    found = match(answer, lake, [gap(10, 20)])
    assert (found.keep, [one.detail for one in found.left]) == ([], [DOUBTFUL])


def test_what_is_under_way_behind_the_last_known_trade_is_nobodys_business() -> None:
    answer = all_of(9, 12, 21, 40)
    lake = [known(answer[place]) for place in (0, 2)]
    found = match(answer, lake, [gap(10, 20)])
    assert (found.keep, found.healed) == ([1], [gap(10, 20)])


def test_trades_that_readers_would_not_find_are_not_kept_and_leave_the_gap_open() -> None:
    answer = all_of(9, 12, 15, 21)
    lake = [known(answer[place]) for place in (0, 3)]
    found = match(answer, lake, [gap(10, 20)], oldest_ms=13_000)
    assert (found.keep, [(one.detail, one.is_final) for one in found.left]) == ([], [(TOO_OLD, True)])
    assert match(answer, [known(one) for one in answer], [gap(10, 20)], oldest_ms=13_000).healed == [gap(10, 20)]


def test_two_gaps_are_judged_each_for_itself() -> None:
    answer = all_of(12, 21, 32, 41)
    lake = [known(trade(5)), known(answer[1]), known(answer[3])]
    found = match(answer, lake, [gap(30, 40), gap(10, 20)])
    assert found.keep == [0, 2]
    assert found.healed == [gap(30, 40)]
    assert [one.gap for one in found.left] == [gap(10, 20)]


@given(
    steps=st.lists(st.integers(0, 3000), min_size=6, max_size=60),
    begin=st.floats(0.1, 0.9),
    length=st.floats(0.05, 0.5),
    kept=st.integers(1, 60),
    data=st.data(),
)
def test_a_healed_gap_misses_nothing_and_nothing_is_stored_twice(
    steps: list[int], begin: float, length: float, kept: int, data: st.DataObject
) -> None:
    times, now = [], 0
    for step in steps:
        now += step
        times.append(now)
    market = [Trade(at, Decimal(data.draw(st.integers(1, 2))), Decimal(1), False) for at in times]
    start, end = begin * now / 1000, (begin + length) * now / 1000
    lost = gap(start, end)
    heard = [one for one in market if not start <= one.time_ms / 1000 < end]
    history = [one for one in market if one not in heard and data.draw(st.booleans())]
    lake = [known(one) for one in heard] + [known(one, end) for one in history]
    answer = market[-kept:]
    found = match(answer, [one for one in lake if one.time_ms >= answer[0].time_ms], [lost])
    stored = sorted([Trade(*one[:4]) for one in lake] + [answer[place] for place in found.keep])
    assert not set(stored) - set(market)
    assert all(stored.count(one) <= market.count(one) for one in stored)
    if found.healed:
        assert stored == sorted(market)


def test_an_answer_is_read_exactly() -> None:
    assert read_trades([{"t": 1764059593105, "p": "87371.47", "q": "0.16", "ibm": True}]) == [
        Trade(1764059593105, Decimal("87371.47"), Decimal("0.16"), True)
    ]


@pytest.mark.parametrize(
    "document", [None, {"code": 1}, [1], [{"t": 1, "p": "x", "q": "1", "ibm": True}], [{"t": 1, "p": "1", "q": "1"}]]
)
def test_an_answer_that_is_something_else_is_refused_whole(document: object) -> None:
    with pytest.raises(VenueError):
        read_trades(document)
