"""Checks of coverage against rows: each finds what it is for, and nothing in a lake that is right."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from recorder.quality.verify_coverage import check_coverage
from tests.lake.helpers import Row, bbo, book, candle, empty_lake, event, gap, trade, write

CHANNELS = ("trade", "kline", "depth", "depth_delta", "bbo")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return empty_lake(tmp_path / "data")


def lived(root: Path, *more: Row, end: float = 900) -> None:
    """Every stream was live from -99 to `end`."""
    session = [event(1, -100, "start"), *(event(2 + k, -99, "live", c) for k, c in enumerate(CHANNELS))]
    write(root, "session", [*session, *more, event(9000, end, "note")])


def found(root: Path) -> list[tuple[str, str]]:
    return [(one.check, one.where) for one in check_coverage(root)]


def delta(seq: int, seconds: float, counter: int, version: int, bids: dict[str, str], **more: Any) -> Row:
    own = {
        "version": version,
        "counter": counter,
        "is_snapshot": counter == 0,
        "bid_prices": [Decimal(p) for p in bids],
        "bid_sizes": [Decimal(s) for s in bids.values()],
        "ask_prices": [Decimal("60")] if counter == 0 else [],
        "ask_sizes": [Decimal(1)] if counter == 0 else [],
    }
    common = {
        key: value for key, value in trade(seq, seconds, "1").items() if key in ("seq", "receive_ns", "exchange_time")
    }
    return common | own | more


def whole(seq: int, seconds: float, version: int, bids: list[str]) -> Row:
    return book(seq, seconds, bids, ["60"], version=version)


def test_a_lake_that_is_right_has_no_finding(root: Path) -> None:
    lived(root)
    write(root, "trade", [trade(10, 3, "5"), trade(11, 61, "6")])
    write(root, "bbo", [bbo(12, 4, "4", "5")])
    sums = {"trade_count": 1, "taker_buy_volume": Decimal(1), "taker_buy_quote_volume": Decimal(5)}
    write(root, "kline", [candle(20, 62, 0, "5", source="rest", quote_volume=Decimal(5), **sums)])
    write(root, "depth_delta", [delta(30, 1, 0, 7, {"50": "1", "49": "2"}), delta(31, 2, 8, 8, {"50": "0", "49": "1"})])
    write(root, "depth", [whole(40, 1, 7, ["50", "49"]), whole(41, 2, 8, ["49"])])
    assert found(root) == []


def test_rows_of_a_stream_that_was_never_live_are_found(root: Path) -> None:
    lived(root)
    write(root, "trade", [trade(10, 3, "5", symbol="ETHUSD")])
    assert found(root) == [("coverage", "hashkey ETHUSD trade")]


@pytest.mark.parametrize(("end", "is_stray"), [(60, False), (70, True)])
def test_a_stream_without_coverage_has_a_minute_to_be_proved(root: Path, end: float, is_stray: bool) -> None:
    """Until then the recorder may have died, or a copy may end."""
    lived(root, end=end)
    write(root, "trade", [trade(10, 3, "5", symbol="ETHUSD")])
    assert found(root) == ([("coverage", "hashkey ETHUSD trade")] if is_stray else [])


@pytest.mark.parametrize(("seconds", "is_stray"), [(-170, True), (-110, False), (930, False), (970, True)])
def test_rows_long_before_the_first_proof_or_after_the_last_sign_of_life_are_found(
    root: Path, seconds: float, is_stray: bool
) -> None:
    lived(root)
    write(root, "bbo", [bbo(10, seconds, "4", "5")])
    assert found(root) == ([("coverage", "hashkey BTCUSD bbo")] if is_stray else [])


def test_rows_while_nothing_was_recorded_are_found(root: Path) -> None:
    lived(root, event(500, 100, "unsubscribe", "trade"), event(600, 500, "live", "trade"))
    write(root, "trade", [trade(10, 130, "5")])
    assert found(root) == []
    write(root, "trade", [trade(11, 300, "5")])
    assert found(root) == [("coverage", "hashkey BTCUSD trade")]


def test_rest_may_fill_what_lies_outside(root: Path) -> None:
    lived(root)
    write(root, "trade", [trade(10, 5000, "5", source="rest", trade_id=None)])
    assert found(root) == []


def test_a_leap_of_the_counter_inside_ok_is_a_silent_hole(root: Path) -> None:
    lived(root)
    steps = [delta(30, 1, 0, 7, {"50": "1"}), delta(31, 2, 8, 8, {}), delta(32, 3, 10, 9, {}), delta(33, 4, 11, 9, {})]
    write(root, "depth_delta", steps)
    (one,) = check_coverage(root)
    assert (one.check, "counter 10 after 8" in one.detail, one.is_problem) == ("silent hole", True, True)


def test_a_leap_that_a_gap_tells_of_is_none(root: Path) -> None:
    lived(root)
    write(root, "depth_delta", [delta(30, 1, 0, 7, {}), delta(31, 2, 8, 8, {}), delta(32, 9, 12, 9, {})])
    write(root, "gap", [gap(50, 9, "depth_delta", 2, 9, "disconnect")])
    assert found(root) == []


def test_changes_that_two_connections_bring_out_of_order_are_no_hole(root: Path) -> None:
    lived(root)
    counters = [0, 8, 9, 11, 10, 12]
    write(root, "depth_delta", [delta(30 + k, k, counter, k, {}) for k, counter in enumerate(counters)])
    assert found(root) == []


def test_a_delta_book_that_is_not_the_whole_book_of_its_version_is_found(root: Path) -> None:
    lived(root)
    steps = [
        delta(30, 1, 0, 7, {"50": "1"}),
        delta(31, 2, 8, 8, {"51": "1"}),
        delta(32, 3, 9, 9, {"50": "0", "49": "1"}),
    ]
    write(root, "depth_delta", steps)
    write(root, "depth", [whole(40, 1, 7, ["50"]), whole(42, 3, 9, ["51", "48"])])
    (one,) = check_coverage(root)
    assert (one.check, one.detail) == ("delta book", "1 of 2 books differ from depth, the first at seq 32")


def test_books_are_not_compared_where_a_change_is_missing(root: Path) -> None:
    lived(root)
    write(root, "depth_delta", [delta(30, 1, 0, 7, {"50": "1"}), delta(31, 2, 8, 8, {}), delta(32, 9, 12, 9, {})])
    write(root, "gap", [gap(50, 9, "depth_delta", 2, 9, "disconnect")])
    write(root, "depth", [whole(42, 9, 9, ["77"])])
    assert found(root) == []


def test_candles_that_our_trades_do_not_make_are_found(root: Path) -> None:
    lived(root)
    write(root, "trade", [trade(10, 3, "5"), trade(11, 61, "6")])
    write(root, "kline", [candle(20, 62, 0, "5", volume=Decimal(3), source="rest")])
    (one,) = check_coverage(root)
    assert (one.check, one.where, one.is_problem) == ("candles", "hashkey BTCUSD 1m", True)
    assert "volume 1, by REST 3" in one.detail


@pytest.mark.parametrize(("begin", "end", "number"), [(-5, -3, 1), (-5, -1, 0), (61, 70, 0), (63, 70, 1)])
def test_a_candle_is_not_compared_with_trades_so_near_to_a_gap_that_one_may_be_lost_in_it(
    root: Path, begin: float, end: float, number: int
) -> None:
    """It covers 0 to 60 by the venue's clock; the gap is by ours."""
    lived(root)
    write(root, "gap", [gap(50, 71, "trade", begin, end, "disconnect")])
    write(root, "trade", [trade(10, 3, "5")])
    write(root, "kline", [candle(20, 75, 0, "5", volume=Decimal(3), source="rest")])
    assert [one.check for one in check_coverage(root)] == ["candles"] * number


def test_where_trades_have_a_gap_nothing_is_said(root: Path) -> None:
    lived(root)
    write(root, "trade", [trade(10, 3, "5")])
    write(root, "gap", [gap(50, 40, "trade", 20, 40, "disconnect")])
    write(root, "kline", [candle(20, 62, 0, "5", volume=Decimal(3), source="rest")])
    assert found(root) == []


def test_a_push_that_is_not_what_rest_says_is_a_note(root: Path) -> None:
    lived(root)
    write(root, "trade", [trade(10, 3, "5", "2")])
    write(root, "kline", [candle(20, 59, 0, "5"), candle(21, 62, 0, "5", volume=Decimal(2), source="rest")])
    (one,) = check_coverage(root)
    assert (one.check, one.is_problem) == ("candles", False)
    assert "volume 1, by REST 2" in one.detail
