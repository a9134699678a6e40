"""A copy taken while the lake grew: whole if taken in the right order, and never silently not."""

import shutil
from pathlib import Path

import pytest

from recorder.journal.format import HOUR_NS
from recorder.journal.reader import segments
from recorder.lake import copies
from recorder.lake.copies import Notes, copy_faults, notes_path
from recorder.lake.retention import retain
from recorder.lake.seal_all import seal_all
from recorder.quality.verify import verify
from tests.lake.seal_support import (
    DAY_START,
    REC,
    Capture,
    check,
    journal_rows,
    lake_rows,
    make_lake,
    run_sealer,
    write,
)

RIGHT = ("journal", "closed", "hot", "sealed", "manifest")


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    capture = Capture(make_lake(tmp_path / "lake"))
    capture.append(2)
    capture.rotate()
    write(capture.root)
    capture.append(2)
    capture.rotate()
    return capture


def copy(capture: Capture, target: Path, order: tuple[str, ...], after: int) -> Path:
    """Copy folder by folder in `order`; after the first `after` of them the recorder goes on."""
    target.mkdir()
    for number, folder in enumerate(order):
        if number == after:
            move_on(capture)
        if (capture.root / folder).is_dir():
            shutil.copytree(capture.root / folder, target / folder)
    for rest in ("LAKE.json", "lake.sql"):
        shutil.copy(capture.root / rest, target)
    shutil.copytree(capture.root / "schema", target / "schema")
    return target


def move_on(capture: Capture) -> None:
    write(capture.root)
    capture.append(2)
    capture.rotate()
    write(capture.root)


def problems(root: Path) -> list[str]:
    return [str(fault) for fault in copy_faults(root) if fault.is_problem]


def test_a_lake_in_its_own_place_lacks_nothing(capture: Capture) -> None:
    assert copy_faults(capture.root) == []
    for hour in (23, 24, 48):
        capture.now = DAY_START + hour * HOUR_NS
        move_on(capture)
        assert copy_faults(capture.root) == []
    run_sealer(capture.root)
    assert copy_faults(capture.root) == []
    assert retain(capture.root, {"trade": 1, "bbo": 1, "depth": 1}, now_ns=2**62)
    assert copy_faults(capture.root) == []
    capture.die_and_start_again(b"torn")
    move_on(capture)
    seal_all(capture.root, REC)
    assert copy_faults(capture.root) == []


@pytest.mark.parametrize("after", range(len(RIGHT)))
def test_a_copy_in_the_direction_of_the_rows_is_whole_up_to_its_journal(
    capture: Capture, tmp_path: Path, after: int
) -> None:
    known = capture.truth.copy()  # when the copy began
    target = copy(capture, tmp_path / "copy", RIGHT, after)
    assert problems(target) == []
    found = lake_rows(target) + journal_rows(target)
    check(known, found & known, "copy")
    check(capture.truth, capture.truth | found, "nothing invented or doubled")
    seal_all(target, REC)
    check(found, lake_rows(target), "sealed")
    assert problems(target) == []


def test_tables_that_go_further_than_others_are_noted(capture: Capture, tmp_path: Path) -> None:
    """The journal first, then a table, then the next one, with rows on their way in between."""
    target = copy(capture, tmp_path / "copy", ("journal", "closed"), after=9)
    move_on(capture)
    shutil.copytree(capture.root / "hot" / "bbo", target / "hot" / "bbo")
    move_on(capture)
    for folder in ("hot/depth", "hot/trade", "manifest"):
        shutil.copytree(capture.root / folder, target / folder)
    (fault,) = copy_faults(target)
    assert not fault.is_problem
    assert "some tables go further than others: bbo seq" in str(fault)


def test_hot_before_the_journal_is_told(capture: Capture, tmp_path: Path) -> None:
    target = copy(capture, tmp_path / "copy", ("closed", "hot", "journal", "manifest", "sealed"), after=2)
    (told,) = problems(target)
    assert "rows are missing: bbo seq" in told
    assert "copy journal, closed, hot, sealed" in told
    lost = capture.truth - (lake_rows(target) + journal_rows(target))
    assert lost, "they are indeed"


def test_a_journal_that_went_on_after_the_notes_is_told(capture: Capture, tmp_path: Path) -> None:
    target = copy(capture, tmp_path / "copy", ("hot", "manifest", "journal", "sealed"), after=2)
    (told,) = problems(target)
    assert "left the journal while it was copied" in told


def test_a_window_that_counts_as_closed_with_rows_in_the_journal_is_told(capture: Capture, tmp_path: Path) -> None:
    order = ("journal", "hot", "closed", "manifest", "sealed")
    capture.now = DAY_START + 23 * HOUR_NS
    target = copy(capture, tmp_path / "copy", order, after=2)
    (told,) = problems(target)
    assert "counts as closed" in told and "recorder seal" in told
    known = lake_rows(target) + journal_rows(target)
    seal_all(target, REC)
    assert problems(target) == []
    check(known, lake_rows(target), "sealed")


def test_verify_and_seal_say_what_a_copy_lacks(capture: Capture, tmp_path: Path) -> None:
    target = copy(capture, tmp_path / "copy", ("closed", "hot", "journal", "manifest", "sealed"), after=2)
    found = [finding for finding in verify(target) if finding.check == "copy"]
    assert [(finding.is_problem, finding.where) for finding in found] == [(True, f"journal/{REC}")]
    assert "rows are missing: bbo seq" in found[0].detail and "copy journal, closed, hot, sealed" in found[0].remedy
    assert seal_all(target, REC).copied == problems(target) != []
    assert [finding.check for finding in verify(target) if finding.is_problem] == ["copy"], "it stays known"


def test_the_whole_copied_twice_is_whole_in_any_order(capture: Capture, tmp_path: Path) -> None:
    order = ("closed", "hot", "journal", "manifest", "sealed")
    target = copy(capture, tmp_path / "copy", order, after=2)
    assert problems(target)
    known = capture.truth.copy()
    for folder in order:
        if (capture.root / folder).is_dir():
            shutil.copytree(capture.root / folder, target / folder, dirs_exist_ok=True)
    assert problems(target) == []
    check(known, lake_rows(target) + journal_rows(target), "twice")


def test_notes_stay_small_and_outlive_a_line_that_was_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "MOST_BYTES", 500)
    root = make_lake(tmp_path / "lake")
    (root / "manifest" / f"{REC}.parts").write_text('{"through": 1, "pa')
    notes = Notes(root, REC)
    for number in range(50):
        notes.add(number, [f"bbo/{REC}~p~2026021622~{number}~{number}~1.parquet"])
    assert notes_path(root, REC).stat().st_size < 600
    assert len(segments(root / "journal" / REC)) == 0
    (fault,) = copy_faults(root)  # none of these parts is there
    assert "bbo seq" in str(fault) and "to 49" in str(fault)
