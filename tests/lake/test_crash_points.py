"""No fault point in the code that no test dies at; and those that `test_crash.py` does not reach.

`test_crash.py` tells the story of writer and sealer, `test_raw.py` that of archives and of a lake made from raw; here
are the beginning of a lake, pins, a damaged segment, retention, and the list of all.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from recorder import lake as room
from recorder.journal.reader import closed_segments, segments
from recorder.lake import faults
from recorder.lake.layout import init_lake
from recorder.lake.pins import pin, read_pin
from recorder.lake.raw_seal import seal_from_raw
from recorder.lake.retention import read_removed, retain
from recorder.lake.seal_all import seal_all
from recorder.lake.views import lake_sql
from tests.lake.seal_support import REC, Capture, check, journal_rows, lake_rows, make_lake, run_sealer, soon, write
from tests.lake.test_crash import STEPS, Recording, story
from tests.lake.test_raw import archiving

FAR = 2**62
ROLES = ("init", "writer", "sealer", "raw", "pin")


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("os.fsync", lambda _: None)
    yield
    faults.hook = None


def images(root: Path, folder: Path, work: Callable[[], object]) -> list[tuple[str, Path]]:
    """(step, copy of the lake) at each fault point of `work`."""
    found: list[tuple[str, Path]] = []

    def look(step: str) -> None:
        image = folder / f"{len(found):04}"
        shutil.copytree(root, image)
        found.append((step, image))

    faults.hook = look
    try:
        work()
    finally:
        faults.hook = None
    return found


def steps(work: Callable[[], object]) -> set[str]:
    found: set[str] = set()
    faults.hook = found.add
    try:
        work()
    finally:
        faults.hook = None
    return found


def points_in_code() -> set[str]:
    found: set[str] = set()
    for path in Path(room.__file__).parent.glob("*.py"):
        for name in re.findall(r'(?<!def )\bpoint\(f?"([^"]+)"\)', path.read_text()):
            found |= {name.replace("{role}", role) for role in ROLES} if "{role}" in name else {name}
    return found


def roles_in_code() -> set[str]:
    found: set[str] = set()
    for path in Path(room.__file__).parent.glob("*.py"):
        found |= set(re.findall(r'(?:\bROLE|\brole(?:: str)?) ?= ?"(\w+)"', path.read_text()))
    return found


def damaged_lake(root: Path) -> Capture:
    """Two closed segments, the first one damaged in its last record."""
    capture = Capture(make_lake(root))
    capture.append(2)
    capture.rotate()
    capture.append(2)
    capture.rotate()
    path = segments(capture.folder)[0]
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    return capture


def sealed_lake(root: Path) -> Capture:
    capture = Capture(make_lake(root))
    capture.append(2)
    seal_all(root, REC, gc_grace_seconds=0, now_ns=soon())
    seal_all(root, REC, gc_grace_seconds=0, now_ns=soon())
    assert list(root.glob("sealed/*/*/*.parquet")) and not list(root.glob("hot/*/*/*.parquet"))
    return capture


def test_a_test_dies_at_every_point_of_the_code(tmp_path: Path) -> None:
    died: set[str] = set()
    recording = Recording(Capture(make_lake(tmp_path / "story")), tmp_path / "unused", lambda _: False)
    story(recording)
    died |= set(recording.steps)
    died |= steps(lambda: make_lake(tmp_path / "made"))
    died |= steps(partial(sealed_lake, tmp_path / "sealed"))
    died |= steps(lambda: retain(tmp_path / "sealed", {"bbo": 1}, now_ns=FAR))
    died |= steps(lambda: pin(tmp_path / "sealed", "study"))
    damaged_lake(tmp_path / "damaged")
    died |= steps(lambda: archiving(tmp_path / "damaged"))
    died |= steps(lambda: seal_from_raw(tmp_path / "damaged" / "raw", tmp_path / "new", "other"))
    assert points_in_code() - died == set(), "tell a story that comes by there, and what must hold after a death"
    assert roles_in_code() == set(ROLES)


def test_a_lake_whose_making_was_cut_short_is_made_whole(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    root.mkdir()
    texts = {"lake.sql": lake_sql()}
    found = images(root, tmp_path / "images", lambda: init_lake(root, texts))
    assert {step for step, _ in found} == {f"init {step}" for step in STEPS}
    for step, image in found[:: max(1, len(found) // 20)] + found[-1:]:
        init_lake(image, texts)
        whole, made = ({p.relative_to(base) for p in base.rglob("*") if ".tmp" not in p.name} for base in (root, image))
        assert made == whole, step


def test_a_pin_is_there_whole_or_can_be_made(tmp_path: Path) -> None:
    root = sealed_lake(tmp_path / "lake").root
    for step, image in images(root, tmp_path / "images", lambda: pin(root, "study")):
        made = (image / "pins" / "study.json").exists()
        assert made is (step in ("pin renamed", "pin published")), step
        files = read_pin(image, "study").files if made else pin(image, "study").files
        assert {each.file for each in files} == {each.file for each in read_pin(root, "study").files}


def test_what_retention_removed_is_noted_before_it_goes(tmp_path: Path) -> None:
    root = sealed_lake(tmp_path / "lake").root
    every = {str(path.relative_to(root)) for path in root.glob("sealed/*/*/*.parquet")}
    keep = {"bbo": 1.0, "trade": 1.0}
    found = images(root, tmp_path / "images", lambda: retain(root, keep, now_ns=FAR))
    assert {step for step, _ in found} == {"retention noted", "retention removed"}
    going = {file for file in every if file.split("/")[1] in keep}
    assert len(going) == 2
    for step, image in found:
        left = {str(path.relative_to(image)) for path in image.glob("sealed/*/*/*.parquet")}
        assert every - left <= {done.file for done in read_removed(image)}, step
        retain(image, keep, now_ns=FAR)
        left = {str(path.relative_to(image)) for path in image.glob("sealed/*/*/*.parquet")}
        assert left == every - going, step
        assert {done.file for done in read_removed(image)} == going, step


def test_a_damaged_segment_gives_its_good_rows_once(tmp_path: Path) -> None:
    capture = damaged_lake(tmp_path / "lake")
    expected = lake_rows(capture.root) + journal_rows(capture.root)
    found = images(capture.root, tmp_path / "images", lambda: write(capture.root))
    assert "writer set aside" in {step for step, _ in found}
    for step, image in found:
        check(expected, lake_rows(image) + journal_rows(image), step)
        write(image)
        run_sealer(image)
        check(expected, lake_rows(image) + journal_rows(image), f"after {step}")
        assert len(list((image / "journal" / REC / "damaged").iterdir())) == 1, step
        assert closed_segments(image / "journal" / REC) == []
