"""What V1's history proves about a gap of trades. Times are small numbers, ids too."""

from typing import Any

from recorder.capture.trades import BEYOND, IN_HEAD, KEPT, LATE, LATEST_NS, Trades


def gap(from_ns: int, to_ns: int, symbol: str = "BTC", channel: str = "trade") -> dict[str, Any]:
    about = {"reason": "disconnect", "from_ns": from_ns, "to_ns": to_ns, "seq_before": 1, "seq_after": 2}
    return {"event": "gap", "channel": channel, "symbol": symbol, **about, "healed": False}


def knowing(*ids: int, at: int = 100) -> Trades:
    trades = Trades()
    trades.arrived("BTC", ids, at)
    return trades


def test_a_history_that_holds_a_trade_from_before_the_gap_heals_it_as_it_closes() -> None:
    trades = knowing(1, 2, 3)
    assert trades.history("BTC", [2, 3, 4, 5], 300) == []
    (told,) = trades.judge([gap(110, 300)])
    assert told["healed"] is True


def test_a_history_that_comes_after_the_gap_was_told_heals_it_by_a_second_event_on_the_same_gap() -> None:
    trades = knowing(1, 2, 3)
    (told,) = trades.judge([gap(110, 300)])  # V2 acknowledged first
    assert told["healed"] is False
    trades.arrived("BTC", [9], 310)
    (second,) = trades.history("BTC", [3, 4, 5, 9], 320)
    assert second == {**gap(110, 300), "healed": True}
    assert trades.history("BTC", [3, 4, 5, 9], 330) == []


def test_a_gap_of_more_than_a_day_stays_since_readers_would_not_find_its_trades() -> None:
    for late_ns, healed in ((LATEST_NS, True), (LATEST_NS + 1, False)):
        trades = knowing(1, 2, 3)
        trades.history("BTC", [3, 4], 110 + late_ns)
        told, *why = trades.judge([gap(110, 110 + late_ns)])
        assert told["healed"] is healed
        assert [event["detail"] for event in why] == ([] if healed else [LATE])


def test_what_arrives_is_news_unless_all_of_it_is_known() -> None:
    trades = knowing(1, 2, 3)
    assert not trades.arrived("BTC", [2, 3], 200)
    assert trades.arrived("BTC", [3, 4], 200)
    assert trades.arrived("ETH", [3], 200)
    assert trades.arrived("BTC", range(1000, 1000 + KEPT), 300), "also where older ones are forgotten for them"


def test_a_history_of_which_all_is_newer_leaves_the_gap_and_says_why() -> None:
    trades = knowing(1, 2, 3)
    trades.history("BTC", [70, 71, 72], 300)
    told, why = trades.judge([gap(110, 300)])
    assert (told["healed"], told["reason"], told["detail"]) == (False, "disconnect", BEYOND)
    assert why == {
        "event": "not_healed",
        "channel": "trade",
        "symbol": "BTC",
        "from_ns": 110,
        "to_ns": 300,
        "detail": BEYOND,
    }
    later = knowing(1, 2, 3)
    later.judge([gap(110, 300)])
    assert [event["event"] for event in later.history("BTC", [70, 71], 320)] == ["not_healed"]


def test_trades_that_came_after_the_gap_prove_nothing_about_it() -> None:
    trades = knowing(1, 2, 3)
    trades.judge([gap(110, 300)])
    trades.arrived("BTC", [70, 71], 310)  # by V2, which was back
    (event,) = trades.history("BTC", [68, 69, 70, 71], 320)
    assert event["event"] == "not_healed"


def test_a_gap_found_late_is_judged_by_the_history_that_came_with_its_end() -> None:
    trades = knowing(1, 2, 3)
    trades.history("BTC", [3, 4], 400)  # V1 is back, V2 is thought to live
    trades.arrived("BTC", [3, 4], 400)
    trades.arrived("BTC", [5, 6], 450)
    (told,) = trades.judge([gap(300, 400)])  # V2 was dead since 300
    assert told["healed"] is True
    polluted = knowing(1, 2, 3)
    polluted.arrived("BTC", [70], 450)
    polluted.history("BTC", [69, 70, 71], 600)
    assert polluted.judge([gap(300, 400)])[0]["healed"] is False


def test_a_symbol_that_never_traded_is_whole_with_an_empty_history_and_only_then() -> None:
    trades = Trades()
    trades.judge([gap(110, 300)])
    (event,) = trades.history("BTC", [], 320)
    assert event["healed"] is True
    trades = knowing(1)
    trades.judge([gap(110, 300)])
    assert trades.history("BTC", [], 320) == [], "the venue has not filled it yet"
    assert trades.history("BTC", [1], 330)[0]["healed"] is True


def test_books_never_heal() -> None:
    trades = knowing(1)
    trades.history("BTC", [1], 300)
    assert trades.judge([gap(110, 300, channel="depth")]) == [gap(110, 300, channel="depth")]


def test_every_gap_that_waits_is_healed_by_one_history_if_its_own_past_is_in_it() -> None:
    trades = knowing(1, 2)
    trades.judge([gap(110, 200)])
    trades.arrived("BTC", [5], 250)
    trades.judge([gap(260, 300)])
    assert trades.waiting() == ["BTC"]
    first, second = trades.history("BTC", [4, 5, 6], 400)
    assert (first["event"], second["event"], second["healed"]) == ("not_healed", "gap", True)
    assert trades.waiting() == []


def test_the_newest_ids_are_kept_and_the_last_few_go_into_the_head() -> None:
    trades = knowing(*range(KEPT + 50))
    ((symbol, ids),) = trades.head()
    assert (symbol, ids) == ("BTC", list(range(KEPT + 50 - IN_HEAD, KEPT + 50)))
    taken = Trades()
    taken.restore(trades.head())
    taken.arrived("BTC", [500], 700)
    taken.restore([["BTC", [148, 149]], "nonsense", ["ETH", "no list"]])
    assert taken.head()[0][1][-2:] == [149, 500]
    (healed,) = taken.judge([gap(110, 600)]) and taken.history("BTC", [149, 150], 800)
    assert healed["healed"] is True


def test_a_symbol_that_is_not_recorded_any_more_is_forgotten() -> None:
    trades = knowing(1)
    trades.forget("BTC")
    assert trades.head() == []
