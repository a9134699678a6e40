"""The power fails at any moment: what was acknowledged, that is synced, is in the lake after recovery, once.

The real journal, writer (with its raw archive) and sealer run on a disk that forgets what was not synced. At many
moments its image is drawn, before, between and after their steps; on each image everything starts again.
"""

import asyncio
import json
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from recorder.journal.format import HOUR_NS, Kind, Line, pack
from recorder.journal.reader import closed_segments, read_segment, segment_name, segments
from recorder.journal.recover import recover
from recorder.journal.writer import Journal
from recorder.lake import disk as lake_disk
from recorder.lake import faults, parts
from recorder.lake.copies import copy_faults
from recorder.lake.disk import make_folder, temporary
from recorder.lake.layout import init_lake
from recorder.lake.parts import PartMaker
from recorder.lake.prepare import next_seq
from recorder.lake.raw import raw_files, read_raw
from recorder.lake.seal import seal
from recorder.lake.views import lake_sql
from tests.lake.seal_support import REC, VENUE, Rows, bbo_frame, check, depth_frame, lake_rows, soon, trade_frame
from tests.scenarios.power import Disk

DAY_NS = 24 * HOUR_NS
MINUTE_NS = 60 * 10**9
STRIDE = 19  # of the moments that the fast suite looks at
SLOW_STRIDE = int(os.environ.get("POWER_STRIDE", "6"))  # 1: every moment
HEAD = json.dumps({"event": "segment", "format": 1, "venue": VENUE, "session": "s", "open": [], "live": []}).encode()


@dataclass
class Told:
    """What was appended, by seq, and up to which seq it is acknowledged."""

    rows: dict[int, Rows] = field(default_factory=dict)
    acknowledged: int = 0

    def up_to(self, seq: int) -> Rows:
        return sum((rows for at, rows in self.rows.items() if at <= seq), Counter())


@dataclass
class Moment:
    """An image of the disk, and what must and what may be on it."""

    root: Path
    step: str
    acknowledged: int
    appended: int


class Story:
    """Capture, writer and sealer over four hours of two days, with the disk watched."""

    def __init__(self, disk: Disk, images: Path, stride: int) -> None:
        self.disk, self.root, self.images, self.stride = disk, disk.root, images, stride
        self.told = Told()
        self.moments: list[Moment] = []
        self.passed = 0
        self.trades = 0
        self.now = (time.time_ns() // DAY_NS + 1) * DAY_NS + 22 * HOUR_NS  # ahead of the heads that carry real time

    async def tell(self) -> None:
        init_lake(self.root, {"lake.sql": lake_sql()})
        folder = self.root / "journal" / REC
        make_folder(folder)
        async with Journal(folder, 1, lambda: HEAD, sync_ms=10_000, segment_seconds=3600) as self.journal:
            await self.acknowledge()
            faults.hook = self.point
            for hour in range(4):
                self.now += HOUR_NS
                for _ in range(2):
                    self.append()
                    self.look("appended")
                    await self.acknowledge()
                    self.append()
                    self.journal.rotate()
                    await self.acknowledge()
                    self.append()
                    PartMaker(self.root, REC, keep_raw=True).make(closed_segments(folder))
                report = seal(self.root, REC, gc_grace_seconds=3600 if hour == 1 else 0, now_ns=soon())
                assert not report.failed
            faults.hook = None

    def append(self) -> None:
        """A quote, a book, and a trade that comes on both lines."""
        self.now += MINUTE_NS
        price = f"{1000 + self.journal.next_seq}.5"
        shown = f"{float(price):.2f}"
        self.trades += 1
        trade = trade_frame("BTCUSD", self.now, price, self.trades)
        quote, book = bbo_frame("BTCUSD", self.now, price), depth_frame("BTCUSD", self.now, price)
        for table, line, payload in (
            ("bbo", Line.WS_V2, quote),
            ("depth", Line.WS_V1, book),
            ("trade", Line.WS_V2, trade),
            ("", Line.WS_V1, trade),
        ):
            seq = self.journal.append(Kind.TEXT, line, 1, payload, self.now, self.now)
            number = self.trades if table == "trade" else seq
            self.told.rows[seq] = Counter({(table, "BTCUSD", number, shown): 1} if table else {})

    async def acknowledge(self) -> None:
        last = self.journal.next_seq - 1
        await self.journal.sync()
        self.told.acknowledged = last
        self.look("acknowledged")

    def point(self, step: str) -> None:
        if self.passed % 7 == 0:
            self.append()  # frames arrive at any time
        self.look(step)

    def look(self, step: str) -> None:
        self.passed += 1
        if self.passed % self.stride:
            return
        for names_first in (False, True):
            target = self.images / f"{self.passed:04}-{names_first:d}"
            known = self.told.acknowledged  # before the image, what may be on it after
            self.disk.image(target, names_first)
            self.moments.append(Moment(target, f"{target.name} {step}", known, self.journal.next_seq - 1))


def hold(story: Story, moment: Moment) -> None:
    """Everything starts again on the image: what was acknowledged is there, once, and nothing that never was."""
    folder = moment.root / "journal" / REC
    kept = {record.seq for _, _, path in raw_files(moment.root) for record in read_raw(path)}
    found = recover(folder, next_seq(moment.root, REC))
    kept |= {record.seq for path in segments(folder) for record in read_segment(path)}
    assert set(range(1, moment.acknowledged + 1)) <= kept, f"{moment.step}: raw data are lost"
    opened = pack(found.next_seq, story.now, 1, found.last_hour, 0, Kind.EVENT, Line.OWN, HEAD)
    (folder / segment_name(found.next_seq)).write_bytes(opened)
    PartMaker(moment.root, REC, keep_raw=True).make(closed_segments(folder))
    for _ in range(2):
        report = seal(moment.root, REC, gc_grace_seconds=0, now_ns=soon())
        assert not report.failed, (moment.step, report.failed)
    rows = lake_rows(moment.root)
    must, may = story.told.up_to(moment.acknowledged), story.told.up_to(moment.appended)
    check(must, rows & must, moment.step)
    check(may, rows | may, moment.step)
    assert [str(fault) for fault in copy_faults(moment.root) if fault.is_problem] == [], moment.step


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Story]]:
    """Tell the story on a watched disk, and draw every n-th moment of it."""
    disks: list[Disk] = []

    def tell(stride: int) -> Story:
        disk = Disk(tmp_path.resolve() / "lake")
        disks.append(disk)
        (tmp_path / "images").mkdir()
        story = Story(disk, tmp_path / "images", stride)
        with monkeypatch.context() as patch:
            disk.watch(patch)
            run(story.tell())
        # What follows is not watched, and what sync does is the kernel's.
        monkeypatch.setattr("os.fsync", lambda _: None)
        monkeypatch.setattr("os.fdatasync", lambda _: None)
        return story

    yield tell
    faults.hook = None
    for disk in disks:
        disk.release()


def run(story: Coroutine[None, None, None]) -> None:
    with asyncio.Runner() as runner:
        runner.run(story)


def test_what_was_acknowledged_is_there_after_a_power_cut(told: Callable[[int], Story]) -> None:
    story = told(STRIDE)
    assert story.passed > 200 and len(story.moments) > 20
    assert any(moment.appended > moment.acknowledged for moment in story.moments)
    for moment in story.moments:
        hold(story, moment)


@pytest.mark.slow
def test_the_power_may_fail_at_any_step(told: Callable[[int], Story]) -> None:
    story = told(SLOW_STRIDE)
    for moment in story.moments:
        hold(story, moment)


# Faults that are planted: a checker that does not see them proves nothing.


def test_the_check_sees_parts_that_are_not_synced(
    told: Callable[[int], Story], monkeypatch: pytest.MonkeyPatch
) -> None:
    def publish(path: Path, write: Callable[[Path], None], role: str = "init") -> None:
        partial = temporary(path, role)
        write(partial)
        partial.replace(path)
        lake_disk.sync_folder(path.parent)

    monkeypatch.setattr(parts, "publish", publish)
    story = told(STRIDE)
    with pytest.raises(Exception, match=r"lost|cannot be read|[Pp]arquet"):
        for moment in story.moments:
            hold(story, moment)


def test_the_check_sees_a_journal_that_says_durable_without_syncing(
    told: Callable[[int], Story], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Disk, "_sync", _only_folders(Disk._sync))
    story = told(STRIDE)
    with pytest.raises(AssertionError, match="lost"):
        for moment in story.moments:
            hold(story, moment)


def _only_folders(real: Callable[[Disk, int], None]) -> Callable[[Disk, int], None]:
    def sync(self: Disk, fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        if path.parent.parent.name != "journal" or stat.S_ISDIR(os.fstat(fd).st_mode):
            real(self, fd)

    return sync
