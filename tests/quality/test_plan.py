"""What backfill asks for, and which gaps of candles count as healed."""

from itertools import pairwise
from typing import Literal

import pytest

from recorder.lake.backfill_sql import Candles, Gap, Range, Verdict
from recorder.quality.plan import (
    CLOSED_NS,
    DAY,
    SECOND,
    SETTLED_NS,
    Ask,
    Left,
    asks,
    candle_ranges,
    closed_ns,
    is_news,
    judge_candles,
    ripe,
    to_try,
    touching,
)

MINUTE_MS = 60_000
T = 1_790_128_800_000  # ms, a whole minute


def gap(from_ms: int = 0, to_ms: int = 60_000, symbol: str = "BTCUSD", channel: str = "kline") -> Gap:
    return Gap(symbol, channel, (T + from_ms) * 1_000_000, (T + to_ms) * 1_000_000, "disconnect", None, None)


def run(
    first: int,
    number: int,
    state: Literal["confirmed", "due", "later"] = "due",
    symbol: str = "BTCUSD",
    interval: str = "1m",
    width: int = MINUTE_MS,
) -> Candles:
    start = T + first * width
    return Candles(symbol, interval, start, start + number * width, number, state)


def test_only_what_is_closed_and_not_confirmed_is_asked_for() -> None:
    assert asks([run(0, 3, "confirmed"), run(3, 2), run(5, 1, "later")]) == [
        Ask("BTCUSD", "1m", T + 3 * MINUTE_MS, T + 5 * MINUTE_MS, 2)
    ]


def test_a_long_run_is_cut_into_answers_of_1000_candles_the_newest_first() -> None:
    found = asks([run(0, 2500)])
    assert [ask.number for ask in found] == [1000, 1000, 500]
    assert found[0].until_ms == T + 2500 * MINUTE_MS
    assert all(one.from_ms == two.until_ms for one, two in pairwise(found))
    assert found[-1].from_ms == T


def test_the_newest_candles_of_all_symbols_come_first() -> None:
    found = asks([run(0, 5), run(10, 1, symbol="ETHUSD"), run(10, 1)])
    assert [(ask.symbol, ask.number) for ask in found] == [("BTCUSD", 1), ("ETHUSD", 1), ("BTCUSD", 5)]


def test_both_ends_are_named_and_the_end_lies_inside_the_last_candle() -> None:
    params = Ask("BTCUSD", "1m", T, T + 2 * MINUTE_MS, 2).params("MENA")
    assert params == {
        "symbol": "BTCUSD",
        "interval": "1m",
        "startTime": T,
        "endTime": T + 2 * MINUTE_MS - 1,
        "limit": 1000,
        "site": "MENA",
    }


@pytest.mark.parametrize(("offset", "expected"), [(0, 0), (7 * SECOND, 0), (-7 * SECOND, -7 * SECOND)])
def test_a_candle_is_closed_when_both_clocks_say_so(offset: int, expected: int) -> None:
    assert closed_ns(100 * SECOND, offset) == 100 * SECOND - CLOSED_NS + expected


def test_ranges_that_touch_are_merged_by_symbol() -> None:
    recorded = [Range("A", 0, 10), Range("A", 10, 20), Range("B", 5, 10)]
    gaps = [Gap("A", "kline", 15, 30, "", None, None), Gap("B", "kline", 40, 50, "", None, None)]
    assert candle_ranges(recorded, gaps) == [Range("A", 0, 30), Range("B", 5, 10), Range("B", 40, 50)]


def test_a_gap_of_candles_is_healed_when_every_candle_it_touches_is_confirmed() -> None:
    one = gap(30_000, 90_000)
    assert judge_candles([one], [run(0, 2, "confirmed"), run(2, 5, "due")], one.to_ns) == ([one], [])


def test_a_gap_waits_for_the_candles_that_it_touches_to_close() -> None:
    one = gap(30_000, 90_000)
    found = [run(0, 1, "confirmed"), run(1, 1, "later")]
    assert judge_candles([one], found, one.to_ns) == ([], [])


def test_a_long_candle_that_runs_on_keeps_the_gap_open() -> None:
    one = gap(30_000, 90_000)
    found = [run(0, 2, "confirmed"), run(0, 1, "later", interval="1h", width=60 * MINUTE_MS)]
    assert judge_candles([one], found, one.to_ns) == ([], [])


def test_a_gap_whose_candles_did_not_come_is_left_open_and_after_a_day_for_good() -> None:
    one = gap(30_000, 90_000)
    found = [run(0, 1, "confirmed"), run(1, 1, "due")]
    healed, left = judge_candles([one], found, one.to_ns + SECOND)
    assert (healed, [(one.detail, one.is_final) for one in left]) == (
        [],
        [("the venue did not give every candle of 1m", False)],
    )
    _, left = judge_candles([one], found, one.to_ns + DAY + 1)
    assert left[0].is_final


def test_a_gap_of_which_no_candle_is_known_is_not_called_healed() -> None:
    assert judge_candles([gap()], [run(0, 5, "confirmed", symbol="ETHUSD")], 0) == ([], [])


def test_what_was_given_up_is_tried_again_only_if_a_person_asks() -> None:
    one = gap()
    told = {("BTCUSD", "kline", one.from_ns): Verdict("gone", True)}
    assert to_try([one], told) == []
    assert to_try([one], told, again=True) == [one]
    assert to_try([one], {("BTCUSD", "kline", one.from_ns): Verdict("later", False)}) == [one]


def test_a_verdict_is_told_once() -> None:
    one = Left(gap(), "gone", is_final=True)
    key = ("BTCUSD", "kline", one.gap.from_ns)
    assert is_news(one, {})
    assert not is_news(one, {key: Verdict("gone", True)})
    assert is_news(one, {key: Verdict("gone", False)})


def test_a_range_chooses_the_gaps_that_touch_it() -> None:
    one = gap()
    assert touching([one], None, None) == [one]
    assert touching([one], one.from_ns - 5, one.from_ns) == []
    assert touching([one], one.to_ns, None) == []
    assert touching([one], one.to_ns - 1, None) == [one]


def test_trades_are_compared_once_v1_has_sent_its_history_and_all_has_settled() -> None:
    one = gap(channel="trade")
    settled = one.to_ns + SETTLED_NS
    assert ripe([one], {"BTCUSD": one.to_ns}, settled) == [one]
    assert ripe([one], {"BTCUSD": one.to_ns}, settled - 1) == []
    assert ripe([one], {"BTCUSD": one.from_ns - 1}, settled) == []
    assert ripe([one], {"BTCUSD": one.to_ns + 1}, settled) == []
    assert ripe([one], {}, settled) == []
