"""as_of and pin: research that gives the same rows tomorrow."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import recorder
from recorder.errors import LakeError
from recorder.journal.format import HOUR_NS
from recorder.journal.lock import Lock
from recorder.lake.names import EPOCH
from recorder.lake.pins import unpin
from recorder.lake.reader import Lake, open_lake
from recorder.lake.retention import retain
from recorder.lake.schema import tables
from recorder.lake.settled import SKEW_NS, settled_ns
from tests.lake import seal_support
from tests.lake.helpers import at, bbo, book, candle, clock, empty_lake, event, gap, trade, write
from tests.lake.seal_support import Capture, make_lake, run_sealer, soon

VIEWS = [*(table.view for table in tables().values()), "kline", "coverage", "instrument_now", "last_moment"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = empty_lake(tmp_path / "data")
    write(root, "session", [event(1, 0, "start"), event(2, 0, "live", "trade"), event(3, 600, "note")])
    write(root, "trade", [trade(n, n, f"{n}") for n in range(10, 20)])
    write(root, "bbo", [bbo(30, 1, "1", "2"), bbo(31, 15, "1", "2")])
    write(root, "depth", [book(40, 1, ["1"], ["2"]), book(41, 15, ["1"], ["3"])])
    write(root, "kline", [candle(50, 1, 0, "100"), candle(51, 15, 0, "101")])
    write(root, "clock", [clock(60, 1), clock(61, 20)])
    return root


def everything(lake: Lake) -> dict[str, list[str]]:
    return {view: sorted(map(repr, lake.sql(f"FROM {view}").fetchall())) for view in VIEWS}


def test_only_what_had_arrived_is_in_any_view_or_macro(root: Path) -> None:
    then = open_lake(root).as_of(at(14))
    assert then.sql("SELECT max(trade_id), count(*) FROM trade").fetchall() == [(14, 5)]
    assert then.sql("SELECT close FROM kline").fetchall()[0][0] == 100
    assert then.book_at("BTCUSD", at(600)).df()["ask_price"].tolist() == [2]
    assert then.coverage().df()["to_time"].max() == at(1)  # the last sign of life by then
    for view in VIEWS:
        if "receive_ns" in then.sql(f"FROM {view} LIMIT 0").columns:
            late = f"SELECT count(*) FROM {view} WHERE receive_time > TIMESTAMP '{at(14)}'"
            assert then.sql(late).fetchall() == [(0,)], view
    assert [row[0] for row in then.ohlcv("BTCUSD", "1m").project("trade_count").fetchall()] == [None]


def test_what_comes_later_changes_nothing_that_was_known_by_then(root: Path) -> None:
    then = open_lake(root).as_of(at(14))
    before = everything(then)
    write(root, "trade", [trade(70, 12, "9", receive_ns=int(2e18))])  # a backfill of a time before
    write(root, "gap", [gap(71, 700, "trade", 2, 3, "late")])
    write(root, "kline", [candle(72, 700, 0, "102", source="rest")])
    assert everything(then) == before
    assert everything(open_lake(root).as_of(at(14))) == before
    assert everything(open_lake(root)) != before


def test_merging_changes_nothing_and_the_rows_of_the_journal_count_as_unsettled(tmp_path: Path) -> None:
    root = make_lake(tmp_path / "lake")
    capture = Capture(root)
    for hour in (22, 23, 24):
        capture.now = seal_support.DAY_START + hour * HOUR_NS
        capture.append(2)
    seal_support.write(root)  # the last hour is in the open segment
    begun = seal_support.DAY_START + 24 * HOUR_NS
    with Lock(root / "journal" / seal_support.REC / "LOCK"):
        settled = settled_ns(root, soon())
        assert begun - SKEW_NS <= settled <= begun + 60 * SKEW_NS
        lake = open_lake(root)
        with pytest.raises(LakeError, match="may still be added"):
            lake.as_of(datetime(2100, 1, 1))
        then = lake.as_of(lake.settled())
        before = everything(then)
        assert then.sql("SELECT count(*) FROM bbo").fetchall() == [(8,)]
        run_sealer(root)
        assert list(root.glob("sealed/*/*/*"))
        capture.append(1)
        capture.rotate()
        seal_support.write(root)
        assert everything(then) == before
        assert lake.sql("SELECT count(*) FROM bbo").fetchall()[0][0] > 8
    assert settled_ns(root, soon()) > settled  # nobody writes, and the one segment has no rows


def test_a_copy_is_settled_as_far_as_its_journal_goes(tmp_path: Path) -> None:
    root = make_lake(tmp_path / "lake")
    capture = Capture(root)
    capture.append(2)
    assert capture.open_path is not None
    copied = capture.open_path.read_bytes()
    last = capture.now
    capture.append(2)
    capture.rotate()
    seal_support.write(root)
    open_path = capture.open_path
    open_path.unlink()
    (root / "journal" / seal_support.REC / f"{1:020d}.jrn").write_bytes(copied)
    assert last - SKEW_NS <= settled_ns(root, soon()) < last + SKEW_NS


def test_a_pin_is_read_as_it_was_whatever_is_merged_added_or_removed(tmp_path: Path) -> None:
    root = make_lake(tmp_path / "lake")
    capture = Capture(root)
    for hour in (22, 23, 24):
        capture.now = seal_support.DAY_START + hour * HOUR_NS
        capture.append(2)
    seal_support.write(root)
    lake = open_lake(root)
    made = lake.pin("study")
    pinned = recorder.open_lake(root, pin="study")
    before = everything(pinned)
    run_sealer(root)
    capture.append(1)
    capture.rotate()
    seal_support.write(root)
    assert retain(root, {"depth": 1, "trade": 1}, now_ns=2**62) == []  # else the pinned parts would count again
    assert lake.sql("SELECT count(*) FROM depth").fetchall() == [(14,)]
    assert everything(pinned) == everything(open_lake(root, pin="study")) == before
    assert sum(each.rows for each in made.files if each.table == "depth") == 8
    then = pinned.as_of(EPOCH + timedelta(microseconds=(seal_support.DAY_START + 23 * HOUR_NS) // 1000))
    assert then.sql("SELECT count(*) FROM depth").fetchall() == [(4,)]
    assert {Path(file).name for file in pinned.files("depth")} == {
        "empty.parquet",
        *(Path(each.file).name for each in made.files if each.table == "depth"),
    }
    unpin(root, "study")
    with pytest.raises(LakeError, match="no pin 'study'"):
        open_lake(root, pin="study")


def test_a_pinned_file_that_is_not_as_it_was_is_named(root: Path) -> None:
    made = open_lake(root).pin("study")
    (root / made.files[0].file).write_bytes(b"")
    with pytest.raises(LakeError, match="restore it from a copy"):
        open_lake(root, pin="study")


def test_live_and_a_fixed_moment_exclude_each_other(root: Path) -> None:
    with pytest.raises(LakeError, match="leave it out"):
        open_lake(root, live=True, pin="study")
    assert open_lake(root, live=True).as_of(at(14)).sql("SELECT count(*) FROM trade").fetchall() == [(5,)]


def test_a_time_is_needed_and_it_may_not_lie_ahead(root: Path) -> None:
    lake = open_lake(root)
    with pytest.raises(LakeError, match="needs a time"):
        lake.as_of(None)
    with pytest.raises(LakeError, match="or ask again"):
        lake.as_of("2100-01-01")
    assert abs((lake.settled() - EPOCH).total_seconds() - soon() / 1e9) < 120


def test_a_lake_that_is_open_notices_what_retention_removed(root: Path) -> None:
    for day in range(3, 9):
        write(root, "bbo", [bbo(100 + day, day * 86_400, "1", "2")], level="d", place="sealed", rec="beta")
        write(root, "bbo", [bbo(200 + day, day * 86_400, "1", "2")], level="d", place="sealed", rec="alpha")
    lake = open_lake(root)
    assert lake.sql("SELECT count(*) FROM bbo").fetchall() == [(14,)]
    (root / "removed.ndjson").write_text('{"earlier": 1}\n')
    os.utime(root / "removed.ndjson", (1, 1))
    lake.refresh()
    gone = next(root.glob("sealed/bbo/date=2026-03-04/beta~*"))  # its folder stays
    with (root / "removed.ndjson").open("a") as file:
        file.write('{"now": 1}\n')
    gone.unlink()
    assert lake.sql("SELECT count(*) FROM bbo").fetchall() == [(13,)]
