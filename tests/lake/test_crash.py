"""Every step of the protocol may be the last one: 0 rows lost of what was acknowledged, 0 doubled, 0 invented.

Capture, writer and sealer are apart and frames arrive while a part is being made. At each fault point the lake is
copied as a power cut would leave it; on the copy the dead role starts again, and the lake's own SQL view is held
against what capture had acknowledged. To die again is to copy again during that restart.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import recorder.lake.parts as parts
from recorder.journal.format import HOUR_NS, Line, pack
from recorder.journal.reader import read_segment
from recorder.lake import faults, views
from recorder.lake.names import Covered
from recorder.lake.seal_all import seal_all
from tests.lake.seal_support import (
    DAY_START,
    MINUTE,
    REC,
    Capture,
    bbo_frame,
    check,
    journal_rows,
    lake_rows,
    make_lake,
    run_sealer,
    soon,
    write,
)

OPEN_HOUR = 50 * HOUR_NS + DAY_START
STEPS = ("before", "written", "synced", "renamed", "published")  # of a file
STRIDE = 17  # of the fast suite, in the tests that die three times


@dataclass
class Moment:
    """The lake as it was at a fault point, and the capture that goes on."""

    root: Path
    capture: Capture
    step: str
    role: str


class Recording:
    """Copies the lake at each fault point; before that, capture appends a frame, as it does at any time."""

    def __init__(self, capture: Capture, folder: Path, wanted: Callable[[int], bool] = lambda _: True) -> None:
        self.capture = capture
        self.folder = folder
        self.wanted = wanted
        self.moments: list[Moment] = []
        self.steps: list[str] = []
        self.role = ""

    def point(self, step: str) -> None:
        number = len(self.steps)
        self.steps.append(step)
        if self.role == "writer" and number % 5 == 0:
            self.capture.append(symbols=("BTCUSD",))
        if self.wanted(number):
            root = self.folder / f"{number:04}"
            shutil.copytree(self.capture.root, root, copy_function=_copy)
            self.moments.append(Moment(root, self.capture.moved_to(root), f"{number} {step}", self.role))

    def run(self, role: str, work: Callable[[], object]) -> None:
        self.role = role
        faults.hook = self.point
        try:
            work()
        finally:
            faults.hook = None


def _copy(source: str, target: str) -> None:
    """Parquet files never change, so that a link will do; the journal goes on."""
    if source.endswith(".parquet"):
        Path(target).hardlink_to(source)
    else:
        shutil.copy2(source, target)


def story(recording: Recording) -> None:
    """Two hours of one day and the first of the next: parts, hours, days, cleaning."""
    capture = recording.capture
    for hour in (22, 23, 24, 25):
        capture.now = max(capture.now, DAY_START + hour * HOUR_NS)
        capture.append(1, step=MINUTE)
        capture.rotate()
        recording.run("writer", lambda: write(capture.root))
        capture.append(1, symbols=("BTCUSD",), step=MINUTE)
        recording.run("writer", lambda: write(capture.root))
        grace = 3600 if hour == 23 else 0
        recording.run("sealer", partial(run_sealer, capture.root, grace))


def restart(moment: Moment, after: Recording | None = None) -> None:
    """The dead role starts again and works until nothing is left; capture goes on in the meantime."""
    capture, root = moment.capture, moment.root
    recording = after or Recording(capture, root / "unused", lambda _: False)
    capture.append(symbols=("ETHUSD",))
    recording.run("writer", lambda: write(root))
    capture.now = max(capture.now, OPEN_HOUR)
    capture.append()
    capture.rotate()
    recording.run("writer", lambda: write(root))
    recording.run("sealer", lambda: run_sealer(root))
    recording.run("sealer", lambda: run_sealer(root))


def hold(moment: Moment) -> None:
    """At this instant: nothing doubled or invented in the lake, and with the journal everything is there."""
    seen = lake_rows(moment.root)
    check(moment.capture.truth, moment.capture.truth | seen, moment.step)
    check(moment.capture.truth, seen + journal_rows(moment.root), moment.step)


def settle(moment: Moment) -> None:
    """After everything was made: the lake alone has everything, and no step left anything behind."""
    check(moment.capture.truth, lake_rows(moment.root) + journal_rows(moment.root), f"after {moment.step}")
    left = [path.name for path in moment.root.rglob("*.tmp")]
    assert not left, f"after {moment.step}: {left}"
    hot = {path.name.split("~")[2] for path in moment.root.glob("hot/*/*/*.parquet")}
    last_hour = max(hot)
    assert hot == {last_hour}, f"after {moment.step}: {sorted(hot)} is still hot"


def moments_of(tmp_path: Path, wanted: Callable[[int], bool] = lambda _: True) -> Recording:
    recording = Recording(Capture(make_lake(tmp_path / "lake")), tmp_path / "moments", wanted)
    story(recording)
    return recording


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What fsync does is the kernel's; here it would only take time."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    yield
    faults.hook = None


def test_the_story_has_every_kind_of_step(tmp_path: Path) -> None:
    recording = moments_of(tmp_path, lambda _: False)
    kinds = {
        *(f"{role} {step}" for role in ("writer", "sealer") for step in STEPS),
        *("writer remove", "writer removed", "writer mark", "writer marked"),
        *("S1 group", "S2 published", "S2 noted", "S3 before", "S3 after", "S4 before", "S4 after"),
    }
    assert kinds <= set(recording.steps)
    assert len(recording.steps) > 200


def test_a_death_at_any_step_loses_doubles_and_invents_nothing(tmp_path: Path) -> None:
    recording = moments_of(tmp_path, lambda number: number % 11 == 0)
    for moment in recording.moments:
        hold(moment)
        restart(moment)
        settle(moment)
        shutil.rmtree(moment.root)


def test_three_deaths_in_a_row(tmp_path: Path) -> None:
    three_deaths(tmp_path, 3 * STRIDE, 4 * STRIDE)


@pytest.mark.slow
def test_a_death_at_every_single_step(tmp_path: Path) -> None:
    for moment in moments_of(tmp_path).moments:
        hold(moment)
        restart(moment)
        settle(moment)
        shutil.rmtree(moment.root)


@pytest.mark.slow
def test_three_deaths_in_a_row_at_many_steps(tmp_path: Path) -> None:
    three_deaths(tmp_path, 11, 31)


def three_deaths(tmp_path: Path, first: int, further: int) -> None:
    """Die at every `first`th step, then twice more at every `further`th step of each restart."""
    recording = moments_of(tmp_path, lambda number: number % first == 0)
    for begin, moment in enumerate(recording.moments):
        for second in again(moment, tmp_path / "second", further, begin):
            for third in again(second, tmp_path / "third", further, begin):
                hold(third)
                restart(third)
                settle(third)
            shutil.rmtree(tmp_path / "third", ignore_errors=True)
        shutil.rmtree(tmp_path / "second", ignore_errors=True)


def again(moment: Moment, folder: Path, stride: int, begin: int) -> list[Moment]:
    """Deaths during the restart from `moment`."""
    recording = Recording(moment.capture, folder, lambda number: number % stride == begin % stride)
    restart(moment, recording)
    return recording.moments


@pytest.mark.parametrize("torn", ["nothing", "some of the header", "header only", "half the payload", "a wrong crc"])
def test_capture_dying_in_the_middle_of_a_record(tmp_path: Path, torn: str) -> None:
    root = make_lake(tmp_path / "lake")
    capture = Capture(root)
    capture.append(2)
    capture.rotate()
    capture.append(2)
    payload = bbo_frame("BTCUSD", capture.now, "666.5")
    record = pack(capture.seq, capture.now, 1, capture.hour, 1, 0, Line.WS_V2, payload)
    stale = record[:40] + payload.replace(b"666.5", b"667.5")
    capture.die_and_start_again(
        {
            "nothing": b"",
            "some of the header": record[:17],
            "header only": record[:40],
            "half the payload": record[:-20],
            "a wrong crc": stale,
        }[torn]
    )
    capture.append(2)
    capture.rotate()
    hold(Moment(root, capture, torn, "capture"))
    restart(Moment(root, capture, torn, "capture"))
    check(capture.truth, lake_rows(root) + journal_rows(root), torn)


def test_recorder_seal_may_die_at_every_step_too(tmp_path: Path) -> None:
    root = make_lake(tmp_path / "lake")
    capture = Capture(root)
    for hour in (22, 23, 24):
        capture.now = DAY_START + hour * HOUR_NS
        capture.append(1)
    recording = Recording(capture, tmp_path / "moments", lambda number: number % 13 == 0)
    recording.run("sealer", lambda: seal_all(root, REC, gc_grace_seconds=0, now_ns=soon()))
    assert "seal linked" in recording.steps
    for moment in recording.moments:
        hold(moment)
        for _ in range(2):
            report = seal_all(moment.root, REC, gc_grace_seconds=0, now_ns=soon())
            assert not report.failed
        check(capture.truth, lake_rows(moment.root), f"after {moment.step}")
        assert not list(moment.root.glob("hot/*/*/*.parquet")), moment.step
        assert not list(moment.root.rglob("*.tmp")), moment.step


# Faults that are planted: a checker that does not see them proves nothing.


def test_the_checker_sees_covered_rows_that_are_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Covered, "covers", lambda _, seqs: np.zeros(len(seqs), bool))
    with pytest.raises(AssertionError, match="doubled"):
        die_everywhere(tmp_path)


def test_the_checker_sees_a_journal_that_is_removed_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def early(paths: list[Path]) -> Iterator[parts.Batch]:
        for path in paths:
            records = read_segment(path)
            path.unlink()
            yield parts.Batch(records[0].hour, records)

    monkeypatch.setattr(parts, "batches", early)
    with pytest.raises(AssertionError, match="lost"):
        die_everywhere(tmp_path)


def test_the_checker_sees_a_journal_without_crc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recorder.journal.format.crc32", lambda *_: 0)
    with pytest.raises(AssertionError, match="invented"):
        test_capture_dying_in_the_middle_of_a_record(tmp_path, "a wrong crc")


def test_the_checker_sees_files_that_are_not_superseded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def everything(table: str) -> str:
        places = ", ".join(f"getvariable('lake') || '/{place}/{table}/*/*.parquet'" for place in ("hot", "sealed"))
        empty = f"getvariable('lake') || '/schema/{table}/date=1970-01-01/empty.parquet'"
        return f"SET VARIABLE {table}_files = (SELECT [{empty}] || coalesce(list(file), []) FROM glob([{places}]))"

    monkeypatch.setattr(views, "files_sql", everything)
    with pytest.raises(AssertionError, match="doubled"):
        die_everywhere(tmp_path)


def die_everywhere(tmp_path: Path) -> None:
    for moment in moments_of(tmp_path, lambda number: number % 9 == 4).moments:
        hold(moment)
        restart(moment)
        settle(moment)
