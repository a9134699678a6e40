"""Parts become hour files, hours become day files; what counts never changes, and nothing goes too early."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recorder.errors import BusyError
from recorder.journal.format import HOUR_NS
from recorder.journal.lock import Lock
from recorder.lake import manifest
from recorder.lake.names import PartName, hour_window
from recorder.lake.pins import pin
from recorder.lake.seal import Watch, seal
from recorder.lake.seal_all import seal_all
from tests.lake import helpers
from tests.lake.seal_support import (
    DAY_START,
    MINUTE,
    REC,
    START,
    Capture,
    check,
    files,
    lake_rows,
    make_lake,
    run_sealer,
    soon,
    write,
)

HOUR = hour_window(START // HOUR_NS)
NEXT_HOUR = hour_window(START // HOUR_NS + 1)
DAY = HOUR[:8]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_lake(tmp_path / "lake")


def record_hours(root: Path, hours: int) -> Capture:
    """Two parts an hour, then one round of the next."""
    capture = Capture(root)
    for _ in range(hours):
        capture.append(2)
        capture.rotate()
        write(root)
        capture.append(2)
        capture.now = (capture.now // HOUR_NS + 1) * HOUR_NS
    capture.append()
    capture.rotate()
    write(root)
    return capture


def sorted_keys(path: Path) -> bool:
    rows = pq.read_table(path, columns=["venue", "symbol", "seq", "idx"], partitioning=None).to_pylist()
    keys = [tuple(row.values()) for row in rows]
    return keys == sorted(set(keys))


def test_an_open_hour_is_left_alone(root: Path) -> None:
    capture = Capture(root)
    capture.append(3)
    capture.rotate()
    write(root)
    report = run_sealer(root)
    assert (report.merged, report.removed) == ([], [])
    check(capture.truth, lake_rows(root), "open hour")


def test_a_closed_hour_becomes_one_file_a_table_and_books_are_sealed_at_once(root: Path) -> None:
    capture = record_hours(root, 1)
    run_sealer(root, grace=3600)
    assert len(files(root, f"hot/*/*/{REC}~h~{HOUR}~*")) == 2, "bbo, trade"
    assert len(files(root, f"sealed/depth/*/{REC}~h~{HOUR}~*")) == 1
    check(capture.truth, lake_rows(root), "hour")
    for path in root.glob("*/*/*/*~h~*.parquet"):
        name = PartName.parse(path.name)
        assert name is not None
        assert pq.read_metadata(path).num_rows == name.rows
        assert sorted_keys(path)


def test_inputs_stay_for_the_grace_and_go_after_it(root: Path) -> None:
    capture = record_hours(root, 1)
    before = len(files(root, f"hot/*/*/*~p~{HOUR}~*"))
    assert before == 6
    run_sealer(root, grace=3600)
    assert len(files(root, f"hot/*/*/*~p~{HOUR}~*")) == before
    now = max(path.stat().st_mtime_ns for path in root.glob("*/*/*/*~h~*.parquet"))
    seal(root, REC, gc_grace_seconds=3600, now_ns=now + 3599 * 10**9)
    assert len(files(root, f"hot/*/*/*~p~{HOUR}~*")) == before
    seal(root, REC, gc_grace_seconds=3600, now_ns=now + 3600 * 10**9)
    assert files(root, f"hot/*/*/*~p~{HOUR}~*") == []
    check(capture.truth, lake_rows(root), "cleaned")


def test_a_closed_day_becomes_one_sealed_file_a_table_and_its_marks_go(root: Path) -> None:
    capture = record_hours(root, 3)  # two hours of one day, one of the next
    first = run_sealer(root, grace=3600)
    assert any("~d~" in file for file in first.merged)
    assert len(files(root, f"sealed/*/*/{REC}~d~{DAY}~*")) == 2, "bbo, trade"
    assert len(files(root, "sealed/depth/*/*~h~*")) == 3
    check(capture.truth, lake_rows(root), "day")
    run_sealer(root)
    assert files(root, f"hot/*/date={DAY[:4]}-{DAY[4:6]}-{DAY[6:]}/*.parquet") == []
    left = files(root, "closed/*")
    assert not any(DAY in mark for mark in left), left
    check(capture.truth, lake_rows(root), "day cleaned")


def test_hours_that_were_merged_before_are_merged_into_their_day(root: Path) -> None:
    capture = record_hours(root, 1)
    run_sealer(root)
    capture.append(2, step=30 * MINUTE)
    capture.now = DAY_START + 25 * HOUR_NS
    capture.append()
    capture.rotate()
    write(root)
    report = run_sealer(root)
    assert any(f"~d~{DAY}~" in file for file in report.merged)
    check(capture.truth, lake_rows(root), "hours to day")
    assert all(sorted_keys(path) for path in root.glob("sealed/*/*/*.parquet"))


def test_sealing_again_does_nothing(root: Path) -> None:
    record_hours(root, 3)
    run_sealer(root)
    again = run_sealer(root)
    assert (again.merged, again.removed, again.unmarked) == ([], [], [])


def test_a_pinned_part_is_never_removed(root: Path) -> None:
    capture = record_hours(root, 1)
    pinned = pin(root, "study")
    run_sealer(root)
    assert all((root / file.file).exists() for file in pinned.files)
    check(capture.truth, lake_rows(root), "pinned")


def test_an_unreadable_pin_stops_cleaning_but_not_merging(root: Path) -> None:
    record_hours(root, 1)
    (root / "pins" / "torn.json").write_text("{")
    report = seal(root, REC, gc_grace_seconds=0, now_ns=soon())
    assert len(report.merged) == 3
    assert report.removed == []
    assert "torn" in report.failed[0]


def test_a_damaged_part_leaves_its_window_and_the_others_go_on(root: Path) -> None:
    capture = record_hours(root, 2)
    victim = next(root.glob(f"hot/bbo/*/*~p~{HOUR}~*"))
    content = victim.read_bytes()
    victim.write_bytes(content[:-20])
    report = seal(root, REC, gc_grace_seconds=0, now_ns=soon())
    assert len(report.failed) == 1
    assert f"bbo {DAY}" in report.failed[0]
    assert len(report.merged) == 3
    assert victim.exists()
    victim.write_bytes(content)
    run_sealer(root)
    check(capture.truth, lake_rows(root), "mended")


def test_a_name_that_lies_about_its_rows_is_not_merged(root: Path) -> None:
    record_hours(root, 1)
    victim = next(root.glob(f"hot/bbo/*/*~p~{HOUR}~*"))
    victim.rename(victim.with_name(victim.name.replace("~4.parquet", "~5.parquet")))
    report = seal(root, REC, gc_grace_seconds=0, now_ns=soon())
    assert len(report.failed) == 1
    assert "names say" in report.failed[0]
    assert not list(root.glob("*/*/*/.*.tmp"))


def test_a_part_that_came_after_its_window_was_merged_is_kept_and_told_of(root: Path) -> None:
    capture = record_hours(root, 1)
    run_sealer(root)
    late = next(root.glob(f"hot/bbo/*/*~p~{NEXT_HOUR}~*"))
    name = PartName.parse(late.name)
    assert name is not None
    moved = late.parent / late.name.replace(f"~p~{NEXT_HOUR}~", f"~p~{HOUR}~")
    late.rename(moved)
    report = seal(root, REC, gc_grace_seconds=0, now_ns=soon())
    assert moved.exists()
    assert any("came after" in line for line in report.failed)
    assert capture.seq


def test_only_one_sealer_at_a_time(root: Path) -> None:
    with Lock(root / "journal" / REC / "SEALER.LOCK", "sealer"), pytest.raises(BusyError, match="sealer"):
        seal(root, REC)


def test_a_stopped_sealer_leaves_no_file_behind_and_the_next_one_finishes(root: Path) -> None:
    capture = record_hours(root, 2)
    answers: Iterator[bool] = iter([False, False, True])
    report = seal(root, REC, gc_grace_seconds=0, should_stop=lambda: next(answers, True))
    assert report.stopped
    assert not list(root.glob("*/*/*/.*.tmp"))
    run_sealer(root)
    check(capture.truth, lake_rows(root), "stopped")


def test_every_sealed_file_is_in_the_manifest_and_a_lost_line_is_made_again(root: Path) -> None:
    record_hours(root, 3)
    run_sealer(root)
    sealed = set(files(root, "sealed/*/*/*.parquet"))
    assert set(manifest.read(root, REC)) == sealed
    path = manifest.manifest_path(root, REC)
    lines = path.read_bytes()
    path.write_bytes(lines[:-30])
    assert len(manifest.missing(root, REC)) == 1
    run_sealer(root)
    assert set(manifest.read(root, REC)) == sealed
    for file, entry in manifest.read(root, REC).items():
        assert entry.sha256 == manifest.sha256(root / file)


def test_large_series_are_cut_at_the_most_rows_and_small_ones_share_a_group(root: Path, tmp_path: Path) -> None:
    symbols = [f"S{n:02}USD" for n in range(5)]
    for part in range(3):
        rows = [
            helpers.book(1 + part * 1000 + n, part, ["99", "98"], ["101"], symbol=symbol)
            for n, symbol in enumerate(s for s in symbols for _ in range(30 if s != "S03USD" else 70))
        ]
        for n, row in enumerate(rows):
            row["seq"] = 1 + part * 1000 + n
        helpers.write(root, "depth", rows)
    (root / "closed" / f"{helpers.REC}~2026030112").touch()
    report = seal(root, helpers.REC)
    assert not report.failed
    (path,) = root.glob("sealed/depth/*/*.parquet")
    groups = [pq.read_metadata(path).row_group(n).num_rows for n in range(pq.read_metadata(path).num_row_groups)]
    assert groups == [90, 90, 90, 210, 90]
    assert sorted_keys(path)


@pytest.mark.parametrize("budget", [0, 20_000, 1 << 30])
def test_rows_that_do_not_fit_into_memory_wait_in_a_file(
    root: Path, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recorder.lake.seal_merge.BUDGET", budget)
    capture = Capture(root)
    for _ in range(6):
        capture.append(3, symbols=("AUSD", "BUSD", "CUSD", "DUSD"))
        capture.rotate()
        write(root)
    capture.now += HOUR_NS
    capture.append()
    capture.rotate()
    write(root)
    run_sealer(root)
    check(capture.truth, lake_rows(root), f"budget {budget}")
    assert not list(root.rglob("*.tmp"))
    assert all(sorted_keys(path) for path in root.glob("*/*/*/*~h~*.parquet"))


def test_older_and_newer_files_of_a_table_merge_with_nulls(root: Path) -> None:
    rows = [helpers.trade(1, 0, "10"), helpers.trade(2, 1, "11")]
    old = helpers.write(root, "trade", rows[:1])
    table = pq.read_table(old, partitioning=None)
    pq.write_table(table.drop_columns(["trade_id"]), old)
    helpers.write(root, "trade", rows[1:])
    (root / "closed" / f"{helpers.REC}~2026030112").touch()
    assert not seal(root, helpers.REC).failed
    (path,) = root.glob("hot/trade/*/*~h~*.parquet")
    assert pq.read_table(path, partitioning=None).column("trade_id").to_pylist() == [None, 2]


def test_a_file_from_a_newer_program_is_not_stripped_of_its_columns(root: Path) -> None:
    path = helpers.write(root, "trade", [helpers.trade(1, 0, "10")])
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.append_column("liquidation", [[True]]), path)
    (root / "closed" / f"{helpers.REC}~2026030112").touch()
    report = seal(root, helpers.REC)
    assert "newer" in report.failed[0]
    assert path.exists()


def test_seal_all_takes_what_a_killed_recorder_left(root: Path) -> None:
    capture = record_hours(root, 2)
    capture.append(2)
    with capture.open_path.open("ab") as file:  # type: ignore[union-attr]
        file.write(b"torn")
    report = seal_all(root, REC, gc_grace_seconds=0, now_ns=capture.now + 30 * HOUR_NS)
    assert not report.failed
    assert "4 bytes" in report.cut[0]
    check(capture.truth, lake_rows(root), "seal_all")
    run_sealer(root)
    check(capture.truth, lake_rows(root), "cleaned")
    assert files(root, "hot/*/*/*.parquet") == []
    assert files(root, "closed/*") == []
    (left,) = root.glob(f"journal/{REC}/*.jrn")
    assert left == capture.open_path, "the newest segment tells the next run where to go on"
    again = seal_all(root, REC, gc_grace_seconds=0, now_ns=capture.now + 30 * HOUR_NS)
    assert (again.merged, again.rows) == ([], 0)


def test_seal_all_leaves_the_current_hour_open(root: Path) -> None:
    capture = record_hours(root, 1)
    capture.append(2)
    seal_all(root, REC, now_ns=capture.now)
    assert len(files(root, f"hot/*/*/*~p~{NEXT_HOUR}~*")) == 6
    assert files(root, f"*/*/*/*~h~{NEXT_HOUR}~*") == []
    check(capture.truth, lake_rows(root), "current hour")
    capture.die_and_start_again()
    capture.append(1)
    capture.rotate()
    write(root)
    check(capture.truth, lake_rows(root), "after the next start")


def test_seal_all_is_refused_while_the_recorder_runs(root: Path) -> None:
    with Lock(root / "journal" / REC / "LOCK"), pytest.raises(BusyError, match="recorder"):
        seal_all(root, REC)


def test_a_pass_is_due_at_the_start_at_a_new_mark_and_now_and_then() -> None:
    watch, none, one = Watch(), frozenset[str](), frozenset({"alpha~2026030112"})
    assert watch.is_due(none, 0)
    watch.done(none, 0)
    assert not watch.is_due(none, 5000)
    assert watch.is_due(one, 5000)
    watch.done(one, 5000)
    assert not watch.is_due(one, 5800)
    assert watch.is_due(one, 5900)
    watch.failed(one, 5900)
    assert not watch.is_due(one, 5959)
    assert watch.is_due(one, 5960)
    watch.failed(one, 5960)
    assert not watch.is_due(one, 6079)


def test_manifest_lines_are_plain_json(root: Path) -> None:
    record_hours(root, 1)
    run_sealer(root)
    (line,) = manifest.manifest_path(root, REC).read_text().splitlines()
    assert set(json.loads(line)) == {"file", "bytes", "rows", "sha256", "sealed_ns"}
