"""Raw archives: every record of every finished segment, once, whatever dies when; and a new lake decoded from them."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from recorder.errors import LakeError
from recorder.journal.format import HOUR_NS, Kind, Record
from recorder.journal.reader import closed_segments, read_segment, segments
from recorder.lake import faults, raw
from recorder.lake.parts import PartMaker
from recorder.lake.raw import Archive, RawName, raw_files, raw_folder, read_raw, sources
from recorder.lake.raw_seal import MARK, MISSING, seal_from_raw
from recorder.lake.reader import open_lake
from recorder.lake.seal_all import seal_all
from tests.frames.arrivals import arrived, depth_push, event, head, packed, trade_push, write_segment
from tests.lake import seal_support
from tests.lake.journals import REC, contents, expected, new_lake, story, write_story
from tests.lake.seal_support import Capture, lake_rows, make_lake
from tests.lake.test_crash import Recording


def make(root: Path, keep_raw: bool | None = True) -> int:
    return PartMaker(root, REC, keep_raw).make(closed_segments(root / "journal" / REC))


def archived(root: Path) -> list[Record]:
    (paths,) = sources(root / "raw").values()
    return [record for path in paths for record in read_raw(path)]


def recorded(root: Path) -> Path:
    """A lake of the story, archived."""
    write_story(new_lake(root))
    make(root)
    return root


def test_a_segment_is_archived_byte_for_byte_under_the_name_of_its_seqs(tmp_path: Path) -> None:
    root = tmp_path / "data"
    paths = write_story(new_lake(root))
    before = [path.read_bytes() for path in paths[:-1]]
    first, last = story()[0][0].seq, story()[0][-1].seq
    make(root)
    found = [path for _, _, path in raw_files(root)]
    assert found[0].relative_to(root) == Path(f"raw/{REC}/date=2026-09-23/{first:020d}~{last:020d}.jrn.zst")
    assert [read_raw(path).buffer for path in found] == before
    assert not list(root.rglob("*.tmp"))
    assert segments(root / "journal" / REC) == paths[-1:]


def test_any_zstd_reads_an_archive(tmp_path: Path) -> None:
    if shutil.which("zstd") is None:
        pytest.skip("no zstd on this machine")
    root = recorded(tmp_path / "data")
    path = sources(root / "raw")[REC][0]
    plain = subprocess.run(["zstd", "-dcq", path], capture_output=True, check=True).stdout
    assert plain == b"".join(map(packed, story()[0]))


def test_nothing_is_archived_unless_asked(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_story(new_lake(root))
    make(root, keep_raw=None)
    assert not (root / "raw").exists()


def test_who_mends_a_lake_goes_on_archiving_where_it_was_done_before(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_story(new_lake(root))
    raw_folder(root, REC).mkdir(parents=True)
    seal_all(root, REC)
    assert [record.seq for record in archived(root)] == [r.seq for segment in story() for r in segment]


def test_names() -> None:
    name = RawName(7, 12)
    assert RawName.parse(str(name)) == name
    for other in ("7.jrn.zst", "a~7.jrn.zst", "7~8.jrn", "7~.jrn.zst"):
        assert RawName.parse(other) is None


def test_the_good_part_of_a_damaged_segment_is_archived(tmp_path: Path) -> None:
    root = tmp_path / "data"
    paths = write_story(new_lake(root))
    content = bytearray(paths[1].read_bytes())
    content[-5] ^= 1
    paths[1].write_bytes(content)
    make(root)
    assert [r.seq for r in read_raw(sources(root / "raw")[REC][1])] == [r.seq for r in story()[1][:-1]]


def test_below_the_reserve_the_archive_stops_and_recording_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "data"
    paths = write_story(new_lake(root))
    PartMaker(root, REC, True, reserve=2**62).make(paths[:2])
    assert not list(raw_files(root))
    PartMaker(root, REC, True, reserve=1).make(paths[2:4])
    assert len(list(raw_files(root))) == 2
    assert segments(root / "journal" / REC) == paths[-1:]


def test_the_archive_goes_on_once_there_is_clearly_more_than_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    paths = write_story(new_lake(root))
    free = iter([100, 99, 109, 111])
    monkeypatch.setattr(Archive, "_free", lambda _: next(free))
    maker = PartMaker(root, REC, True, reserve=100)
    kept = []
    for path in paths[:4]:
        maker.make([path])
        kept.append(len(list(raw_files(root))))
    assert kept == [1, 1, 1, 2]


@pytest.mark.parametrize(("number", "kept"), [(28, False), (5, True)])
def test_a_full_disk_lets_the_segment_go_and_a_broken_one_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kept: bool
) -> None:
    root = tmp_path / "data"
    paths = write_story(new_lake(root))

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(raw, "_compress", fail)
    if kept:
        with pytest.raises(OSError, match=os.strerror(number)):
            make(root)
    else:
        make(root)
    assert (paths[0] in segments(root / "journal" / REC)) is kept
    assert not list(root.rglob("*.tmp"))


# Deaths


@dataclass
class Story:
    """Two segments that become parts with an archive, while capture goes on."""

    capture: Capture

    def tell(self, run: Callable[[Callable[[], object]], None]) -> None:
        for _ in range(2):
            self.capture.append(2)
            self.capture.rotate()
            run(lambda: archiving(self.capture.root))


def archiving(root: Path) -> None:
    PartMaker(root, seal_support.REC, True).make(closed_segments(root / "journal" / seal_support.REC))


def every_record_once(root: Path, capture: Capture) -> None:
    """Archive and journal have every seq; what both have is the same; no file overlaps another."""
    kept = {record.seq: record for record in (archived(root) if list(raw_files(root)) else [])}
    waiting = {r.seq: r for path in segments(root / "journal" / seal_support.REC) for r in read_segment(path)}
    assert sorted(kept | waiting) == list(range(1, capture.seq))
    assert all(kept[seq] == waiting[seq] for seq in kept.keys() & waiting.keys())
    names = [name for _, name, _ in raw_files(root)]
    assert all(before.last < after.first for before, after in pairwise(names))


def test_a_death_at_every_step_loses_no_record_and_archives_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    capture = Capture(make_lake(tmp_path / "lake"))
    recording = Recording(capture, tmp_path / "moments")
    Story(capture).tell(lambda work: recording.run("writer", work))
    steps = {step for step in recording.steps if step.startswith("raw")}
    assert steps == {f"raw {step}" for step in ("before", "written", "synced", "renamed", "published")}
    for moment in recording.moments:
        every_record_once(moment.root, moment.capture)
        moment.capture.rotate()
        archiving(moment.root)
        every_record_once(moment.root, moment.capture)
        assert not list(moment.root.rglob("*.tmp")), moment.step
        assert len(segments(moment.root / "journal" / seal_support.REC)) == 1


def test_the_check_sees_a_segment_that_goes_before_its_archive_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Archive, "keep", lambda *_: None)
    with pytest.raises(AssertionError):
        test_a_death_at_every_step_loses_no_record_and_archives_none_twice(tmp_path, monkeypatch)


# A new lake


def test_a_lake_decoded_from_raw_has_the_same_rows_as_the_original(tmp_path: Path) -> None:
    root = recorded(tmp_path / "data")
    for number in (1, 2):
        report = seal_from_raw(root / "raw", tmp_path / f"new{number}", REC)
        assert report.is_whole, report
        assert (report.sources, report.records) == (4, sum(map(len, story()[:4])))
        assert contents(tmp_path / f"new{number}") == contents(root) == expected(tmp_path / "whole")
        assert report.rows == sum(map(len, contents(root).values()))
    assert not list((tmp_path / "new1" / "journal").rglob(MARK))


def test_the_order_within_files_is_the_same_after_sealing(tmp_path: Path) -> None:
    """Days that are over are sealed on the way; the views answer as those of the original do."""
    capture = Capture(make_lake(tmp_path / "lake"))
    for hour in (22, 23, 24, 25):
        capture.now = max(capture.now, seal_support.DAY_START + hour * HOUR_NS)
        capture.append(2)
        capture.rotate()
        archiving(capture.root)
    report = seal_from_raw(capture.root / "raw", tmp_path / "new", "other")
    assert report.is_whole
    assert {Path(file).name.split("~")[1] for file in report.sealed.merged} == {"h", "d"}
    assert not list((tmp_path / "new").glob("hot/*/*/*.parquet"))
    assert lake_rows(tmp_path / "new") == lake_rows(capture.root) == capture.truth


def test_plain_segments_and_their_archives_are_read_once(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_story(new_lake(root))
    shutil.copytree(root / "journal", tmp_path / "both" / "journal")
    make(root)
    shutil.copytree(root / "raw", tmp_path / "both" / "raw")
    report = seal_from_raw(tmp_path / "both", tmp_path / "new", REC)
    assert report.is_whole
    assert report.records == sum(map(len, story()))
    assert contents(tmp_path / "new") == contents(root)


def test_a_torn_tail_is_left_out_and_a_damaged_archive_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "journal" / REC
    told = [head(1), *(arrived(depth_push("A", [["1", "1"]], [["2", "1"]], f"{i}_18"), 1 + i) for i in range(1, 4))]
    path = write_segment(folder, told)
    path.write_bytes(path.read_bytes()[:-9])
    assert seal_from_raw(folder, tmp_path / "new", REC).is_whole
    assert len(contents(tmp_path / "new")["depth"]) == 2
    kept = raw.archive(tmp_path / "raw" / REC, path)
    assert kept is not None
    kept.write_bytes(kept.read_bytes()[:-20])
    report = seal_from_raw(tmp_path / "raw", tmp_path / "other", REC)
    assert [kept.name in line for line in report.damaged] == [True]


def test_what_the_raw_data_lack_becomes_a_gap(tmp_path: Path) -> None:
    def segment(seq: int) -> list[Record]:
        first = head(seq)
        payload = json.loads(first.payload) | {"live": [["trade", ["A", "B"]], ["depth", ["A"]]]}
        trade = (seq, 1, "1", "1", True)
        return [first._replace(payload=json.dumps(payload).encode()), arrived(trade_push("A", [trade]), seq + 1)]

    folder = tmp_path / "raw" / REC
    for seq in (1, 3, 9, 11):
        write_segment(folder, segment(seq))
    report = seal_from_raw(folder, tmp_path / "new", REC)
    assert [str(hole) for hole in report.holes] == ["seq 5 to 8 are in no archive; 3 streams get a gap"]
    assert not report.is_whole
    gaps = contents(tmp_path / "new")["gap"]
    told = sorted((row["channel"], row["symbol"], row["reason"]) for row in gaps)
    assert told == [("depth", "A", MISSING), ("trade", "A", MISSING), ("trade", "B", MISSING)]
    (before, after) = (segment(3)[-1].receive_ns, segment(9)[0].receive_ns)
    assert {(row["from_ns"], row["to_ns"], row["healed"]) for row in gaps} == {(before, after, False)}


def test_a_hole_that_the_recorder_has_told_of_is_not_told_again(tmp_path: Path) -> None:
    folder = tmp_path / "raw" / REC
    known = {"channel": "trade", "symbol": "A", "reason": "journal damaged", "from_ns": 1, "to_ns": 2, "healed": False}
    write_segment(folder, [head(1), arrived(b"[]", 2)])
    write_segment(folder, [head(9), event(10, event="gap", seq_before=2, seq_after=9, **known)])
    write_segment(folder, [head(12, session="s2"), arrived(b"[]", 13)])  # its predecessor died with its first record
    report = seal_from_raw(folder, tmp_path / "new", REC)
    assert report.is_whole
    assert [row["reason"] for row in contents(tmp_path / "new")["gap"]] == ["journal damaged"]


def test_a_run_that_was_cut_short_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cut(BaseException):
        pass

    root = recorded(tmp_path / "data")
    passed: list[str] = []

    def die(limit: int) -> None:
        passed.clear()

        def hook(name: str) -> None:
            passed.append(name)
            if len(passed) == limit:
                raise Cut

        monkeypatch.setattr(faults, "hook", hook)

    die(-1)
    seal_from_raw(root / "raw", tmp_path / "whole", REC)
    count = len(passed)
    for limit in range(1, count, 11):
        die(limit)
        new = tmp_path / f"new{limit}"
        with pytest.raises(Cut):
            seal_from_raw(root / "raw", new, REC)
        monkeypatch.setattr(faults, "hook", None)
        assert seal_from_raw(root / "raw", new, REC).is_whole
        assert contents(new) == contents(root)
        assert not list(new.rglob("*.tmp"))


def test_a_lake_that_holds_rows_is_refused_and_so_is_a_folder_without_raw_data(tmp_path: Path) -> None:
    root = recorded(tmp_path / "data")
    with pytest.raises(LakeError, match="name an empty directory"):
        seal_from_raw(root / "raw", root, REC)
    with pytest.raises(LakeError, match="no raw archives"):
        seal_from_raw(root / "hot", tmp_path / "new", REC)


def test_a_recorder_and_its_backfill_keep_their_names_and_two_recorders_are_refused(tmp_path: Path) -> None:
    root = recorded(tmp_path / "data")
    one = seal_from_raw(root / "raw", tmp_path / "one", REC)
    shutil.copytree(root / "raw" / REC, root / "raw" / f"{REC}-backfill")
    both = seal_from_raw(root / "raw", tmp_path / "new", REC)
    assert both.is_whole and (both.sources, both.records) == (2 * one.sources, 2 * one.records)
    for table in ("depth", "bbo"):
        names = [Path(path).name for path in open_lake(tmp_path / "new").files(table)]
        assert {name.partition("~")[0] for name in names if "~" in name} == {REC, f"{REC}-backfill"}
    with pytest.raises(LakeError, match="name an empty directory"):
        seal_from_raw(root / "raw", tmp_path / "new", REC)
    shutil.copytree(root / "raw" / REC, root / "raw" / "other")
    with pytest.raises(LakeError, match="several recorders"):
        seal_from_raw(root / "raw", tmp_path / "two", REC)
    assert not (tmp_path / "two").exists()


def test_own_events_of_damage_make_no_difference(tmp_path: Path) -> None:
    """A record that is no event object is kept in quarantine, as in the original."""
    folder = tmp_path / "raw" / REC
    write_segment(folder, [head(1), arrived(b"no json", 2, Kind.EVENT, 0, 0)])
    seal_from_raw(folder, tmp_path / "new", REC)
    assert len(contents(tmp_path / "new")["quarantine"]) == 1
