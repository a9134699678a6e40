"""hftbacktest reads what we write, and sees the lake's book at every moment."""

import json
import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import hftbacktest as hft
import numpy as np
import pytest
from hftbacktest.data import validate_event_order
from hftbacktest.data.utils.snapshot import create_last_snapshot

from recorder import Lake, open_lake
from recorder.exports import CoverageError, ExportError, export
from recorder.exports.hftbacktest import BUY, DEPTH_CLEAR, EXCH, LOCAL, ORDER_LATENCY, SELL, TRADE
from tests.exports.lakes import SECOND_NS, Made, market_lake, when

TICK, LOT = 0.01, 0.00001
TICK_EXACT = Decimal("0.01")
MOMENTS = 1_000
FEW = 150  # where the thousand have been asked before


def read(path: Path) -> Any:
    return np.load(path)["data"]


def books_seen(files: Sequence[Path], moments: Sequence[int], **asset: Any) -> list[tuple[float, ...]]:
    """Best bid and ask (in ticks, as hftbacktest keeps them) with sizes, as a strategy sees them at local times."""
    made = (
        hft.BacktestAsset()
        .data([str(file) for file in files])
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(asset.get("tick", TICK))
        .lot_size(asset.get("lot", LOT))
    )
    if "snapshot" in asset:
        made = made.initial_snapshot(str(asset["snapshot"]))
    backtest = hft.HashMapMarketDepthBacktest([made])
    seen: list[tuple[float, ...]] = []
    backtest.elapse(0)  # to the first event; before it there is no time
    for moment in moments:
        backtest.elapse(moment - backtest.current_timestamp)
        depth = backtest.depth(0)
        seen.append((depth.best_bid_tick, depth.best_bid_qty, depth.best_ask_tick, depth.best_ask_qty))
    backtest.close()
    return seen


def books_recorded(lake: Lake, made: Made, moments: Sequence[int], shift: int = 0) -> list[tuple[float, ...]]:
    """What `book_at` says of the newest book that had arrived at each local time."""
    arrived = sorted((row["receive_ns"] + shift, row["exchange_time"]) for row in made.books)
    answers: dict[Any, tuple[float, ...]] = {}
    seen: list[tuple[float, ...]] = []
    times = np.array([local for local, _ in arrived])
    for moment in moments:
        exchange_time = arrived[int(np.searchsorted(times, moment, side="right")) - 1][1]
        if exchange_time not in answers:
            columns = "bid_price, bid_size, ask_price, ask_size"
            book = lake.book_at(made.symbol, exchange_time).project(columns).fetchall()[0]
            assert all(price % TICK_EXACT == 0 for price in book[::2])
            answers[exchange_time] = tuple(
                float(value if place % 2 else value / TICK_EXACT) for place, value in enumerate(book)
            )
        seen.append(answers[exchange_time])
    return seen


def chosen(made: Made, first: int, last: int, number: int) -> list[int]:
    chooser = random.Random(made.symbol)
    return sorted(chooser.randrange(first, last) for _ in range(number))


@pytest.mark.slow
def test_a_strategy_sees_the_book_of_the_lake_at_a_thousand_random_times(whole_lake: Made, day: Path) -> None:
    events = read(day)
    validate_event_order(events)
    assert json.loads(day.with_name("day.npz.json").read_text())["files"][0]["rows"] == len(events)
    moments = chosen(whole_lake, whole_lake.books[0]["receive_ns"], whole_lake.end_ns, MOMENTS)
    seen = books_seen([day], moments)
    assert seen == books_recorded(open_lake(whole_lake.path), whole_lake, moments)


@pytest.mark.slow
def test_the_same_holds_for_a_real_market_once_the_clocks_are_joined(capture: Made, out: Path) -> None:
    shift = 1_270_000_000
    export("hftbacktest", capture.path, capture.symbol, out=out / "eth.npz", clock_offset=shift, progress=False)
    validate_event_order(read(out / "eth.npz"))
    moments = chosen(capture, capture.books[0]["receive_ns"] + shift, capture.end_ns, MOMENTS)
    seen = books_seen([out / "eth.npz"], moments, lot=1.0)
    assert seen == books_recorded(open_lake(capture.path), capture, moments, shift)


def test_the_rows_are_those_of_the_lake_times_sides_and_doubles(whole_lake: Made, day: Path) -> None:
    events = read(day)
    happened = events[events["ev"] & EXCH != 0]
    trades = happened[happened["ev"] & 0xFF == TRADE]
    first_book = whole_lake.books[0]["exchange_time"]
    expected = [
        (SELL if row["buyer_is_maker"] else BUY, row["receive_ns"], float(row["price"]), float(row["size"]))
        for row in whole_lake.trades
        if row["exchange_time"] > first_book
    ]
    side = trades["ev"] & (BUY | SELL)
    assert list(zip(side, trades["local_ts"], trades["px"], trades["qty"], strict=True)) == expected
    assert (events["local_ts"] >= events["exch_ts"]).all()


def test_trades_stand_before_depth_of_the_same_time(day: Path) -> None:
    events = read(day)
    for flag, stamp in ((EXCH, "exch_ts"), (LOCAL, "local_ts")):
        told = events[events["ev"] & flag != 0]
        is_trade = told["ev"] & 0xFF == TRADE
        same = told[stamp][1:] == told[stamp][:-1]
        assert not (same & is_trade[1:] & ~is_trade[:-1]).any()


def test_it_begins_with_an_infinite_clear_and_so_does_what_follows_a_gap(broken_lake: Made, out: Path) -> None:
    export("hftbacktest", broken_lake.path, broken_lake.symbol, out=out / "day.npz", on_gap="ignore", progress=False)
    events = read(out / "day.npz")
    validate_event_order(events)
    clears = events[(events["ev"] & 0xFF == DEPTH_CLEAR) & (events["ev"] & EXCH != 0)]
    assert np.isinf(clears["px"]).all()
    assert len(clears) == 2 * 3  # both sides, at the start and after each of two gaps
    happened = events[events["ev"] & EXCH != 0]
    assert (happened["ev"][:2] & 0xFF == DEPTH_CLEAR).all()
    moments = chosen(broken_lake, broken_lake.books[0]["receive_ns"], broken_lake.end_ns, FEW)
    seen = books_seen([out / "day.npz"], moments)
    assert seen == books_recorded(open_lake(broken_lake.path), broken_lake, moments)


def test_a_gap_is_refused_with_the_ways_on(broken_lake: Made, out: Path) -> None:
    with pytest.raises(CoverageError) as refused:
        export("hftbacktest", broken_lake.path, broken_lake.symbol, out=out / "day.npz", progress=False)
    assert {(gap.channel, gap.reason) for gap in refused.value.gaps} == {
        ("depth", "disconnect"),
        ("trade", "disconnect"),
    }
    for way in ("12:00:30", "--on-gap split", "--on-gap ignore", "--from", "recorder backfill"):
        assert way in str(refused.value)
    assert not list(out.glob("*")) if out.exists() else True


def test_split_makes_one_file_of_each_clean_stretch(broken_lake: Made, out: Path) -> None:
    report = export(
        "hftbacktest", broken_lake.path, broken_lake.symbol, out=out / "day.npz", on_gap="split", progress=False
    )
    files = sorted(out.glob("day-*.npz"))
    assert [file.name for file in files] == ["day-001.npz", "day-002.npz", "day-003.npz"]
    assert [gap["reason"] for gap in report.gaps] == ["disconnect"] * 4
    for file, (first, last) in zip(files, ((0, 30), (40.05, 80), (81, 120)), strict=True):
        events = read(file)
        validate_event_order(events)
        happened = events[events["ev"] & EXCH != 0]
        assert (happened["ev"][:2] & 0xFF == DEPTH_CLEAR).all()
        start = broken_lake.start_ns
        assert events["local_ts"].min() >= start + first * SECOND_NS
        assert events["local_ts"].max() <= start + last * SECOND_NS


def test_negative_latency_is_refused_and_the_measured_offset_is_offered(late_clock_lake: Made, out: Path) -> None:
    lake, symbol = late_clock_lake.path, late_clock_lake.symbol
    with pytest.raises(ExportError, match=r"before they happened.*1\.500 s ahead of ours.*--clock-offset measured"):
        export("hftbacktest", lake, symbol, out=out / "day.npz", progress=False)
    with pytest.raises(ExportError, match=r"after a shift of 1\.000 s"):
        export("hftbacktest", lake, symbol, out=out / "day.npz", clock_offset=SECOND_NS, progress=False)
    report = export("hftbacktest", lake, symbol, out=out / "day.npz", clock_offset="measured", progress=False)
    assert report.clock["applied_offset_ns"] == report.clock["measured_offset_ns"] == 1_500_000_000
    events = read(out / "day.npz")
    validate_event_order(events)
    assert (events["local_ts"] >= events["exch_ts"]).all()


def test_the_snapshot_for_the_next_day_is_what_hftbacktest_makes_itself(day: Path) -> None:
    ours = read(day.with_name("day.snapshot.npz"))
    theirs = create_last_snapshot([str(day)], TICK, LOT)
    assert ours.dtype == theirs.dtype
    for name in ("ev", "exch_ts", "local_ts", "qty"):
        assert (ours[name] == theirs[name]).all()
    assert np.allclose(ours["px"], theirs["px"], rtol=1e-15)  # theirs is tick number times tick size


def test_a_range_begins_with_the_book_in_force_and_days_chain(whole_lake: Made, out: Path) -> None:
    lake, symbol, cut = whole_lake.path, whole_lake.symbol, whole_lake.at(60.05)
    export("hftbacktest", lake, symbol, end=cut, out=out / "one.npz", progress=False)
    export("hftbacktest", lake, symbol, start=cut, out=out / "two.npz", progress=False)
    moments = chosen(whole_lake, whole_lake.books[0]["receive_ns"], whole_lake.end_ns, FEW)
    recorded = books_recorded(open_lake(lake), whole_lake, moments)
    assert books_seen([out / "one.npz", out / "two.npz"], moments) == recorded
    later = [moment for moment in moments if moment > whole_lake.start_ns + 60.2 * SECOND_NS]
    seen = books_seen([out / "two.npz"], later, snapshot=out / "one.snapshot.npz")
    assert seen == recorded[-len(later) :]
    assert read(out / "two.npz")["exch_ts"][0] == whole_lake.start_ns + 60_050_000_000


def test_an_hour_of_windows_gives_what_one_window_gives(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = market_lake(tmp_path / "lake", seconds=40)
    export("hftbacktest", made.path, made.symbol, out=out / "one.npz", progress=False)
    monkeypatch.setattr("recorder.exports.source.HOUR_NS", SECOND_NS)
    monkeypatch.setattr("recorder.exports.source.BOOKS_A_BATCH", 3)
    export("hftbacktest", made.path, made.symbol, out=out / "many.npz", progress=False)
    assert read(out / "one.npz").tobytes() == read(out / "many.npz").tobytes()


def test_trades_that_a_backfill_brought_late_arrive_late_and_in_order(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = market_lake(tmp_path / "lake", seconds=40, late=(10, 15, 9.0))
    export("hftbacktest", made.path, made.symbol, out=out / "one.npz", progress=False)
    events = read(out / "one.npz")
    validate_event_order(events)
    late = [row for row in made.trades if (row["receive_ns"] - made.start_ns) > 19 * SECOND_NS and row["late"]]
    arrived = events[(events["ev"] & 0xFF == TRADE) & (events["ev"] & LOCAL != 0)]
    assert len(late) > 10
    assert set(arrived["local_ts"]) >= {row["receive_ns"] for row in late}
    monkeypatch.setattr("recorder.exports.source.HOUR_NS", SECOND_NS)
    export("hftbacktest", made.path, made.symbol, out=out / "many.npz", progress=False)
    assert read(out / "one.npz").tobytes() == read(out / "many.npz").tobytes()


def test_order_latencies_come_from_the_round_trips(day: Path) -> None:
    delays = read(day.with_name("day.latency.npz"))
    assert delays.dtype == ORDER_LATENCY
    assert (delays["resp_ts"] - delays["req_ts"] == 8_000_000).all()
    assert (delays["exch_ts"] - delays["req_ts"] == 4_000_000).all()
    asset = hft.BacktestAsset().intp_order_latency(str(day.with_name("day.latency.npz")))
    assert asset is not None


def test_another_name_than_npz_is_refused(whole_lake: Made, out: Path) -> None:
    with pytest.raises(ExportError, match=r"name it day\.npz"):
        export("hftbacktest", whole_lake.path, whole_lake.symbol, out=out / "day.csv", progress=False)


def test_a_time_is_read_as_everywhere(whole_lake: Made, out: Path) -> None:
    start = when(whole_lake.start_ns + 10 * SECOND_NS).isoformat() + "Z"
    report = export("hftbacktest", whole_lake.path, whole_lake.symbol, start, None, out / "a.npz", progress=False)
    assert report.range["from"] == start
