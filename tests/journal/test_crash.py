"""The process may end before and after every call that changes the journal's folder: write, rotate, sync, recover.

At each such call the folder is copied, writes also when half of their bytes are there. On each copy the recorder
starts again and goes on; that start is copied in the same way, so that it dies up to three times in a row.
"""

import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from recorder.journal.format import Kind, Line, Record
from recorder.journal.reader import read_segment, segments
from recorder.journal.recover import recover
from recorder.journal.writer import Journal

HEAD = b'{"event":"segment"}'
CALLS = ("open", "pwritev", "rename", "unlink", "ftruncate", "fdatasync", "fsync", "close")
SECOND, THIRD = 7, 11  # every so manieth step of a restart


@dataclass
class Moment:
    folder: Path
    step: str
    acknowledged: dict[int, bytes]  # what must be there
    appended: dict[int, bytes]  # what may be there, and nothing else


@dataclass
class Life:
    """One run of the recorder on `folder`, watched call by call."""

    folder: Path
    images: Path
    wanted: Callable[[int], bool]
    acknowledged: dict[int, bytes] = field(default_factory=dict)
    appended: dict[int, bytes] = field(default_factory=dict)
    own: dict[int, bytes] = field(default_factory=dict)  # what this life appended
    moments: list[Moment] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    lock: Any = field(default_factory=threading.RLock)  # one call at a time: a copy is of one instant

    def look(self, step: str) -> None:
        number = len(self.steps)
        self.steps.append(step)
        if self.wanted(number):
            image = self.images / f"{number:04}"
            shutil.copytree(self.folder, image)
            told = Moment(image, f"{number} {step}", self.acknowledged.copy(), self.appended.copy())
            self.moments.append(told)

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                with self.lock:
                    if not self._is_ours(arguments):
                        return real(*arguments, **named)
                    self.look(f"before {name}")
                    if name == "pwritev":
                        fd, parts, at = arguments
                        whole = b"".join(parts)
                        os.pwrite(fd, whole[: len(whole) // 2], at)
                        self.look("half of pwritev")
                    found = real(*arguments, **named)
                    self.look(f"after {name}")
                    return found

            return call

        for name in CALLS:
            patch.setattr(os, name, watched(name, getattr(os, name)))

    def _is_ours(self, arguments: tuple[Any, ...]) -> bool:
        first = arguments[0]
        path = Path(f"/proc/self/fd/{first}").readlink() if isinstance(first, int) else Path(first)
        return path.is_relative_to(self.folder)

    async def live(self, rounds: int) -> None:
        """Recover, append, rotate, sync, close."""
        start = recover(self.folder).next_seq
        journal = Journal(self.folder, start, lambda: HEAD, sync_ms=10_000, segment_seconds=3600)
        for number in range(rounds):
            self.append(journal)
            self.append(journal)
            if number % 2:
                journal.rotate()
                self.append(journal)
            await journal.sync()
            with self.lock:
                self.acknowledged |= self.own
        self.append(journal)
        await journal.close()
        self.acknowledged |= self.own

    def append(self, journal: Journal) -> None:
        with self.lock:
            payload = b"frame %d" % journal.next_seq
            self.own[journal.append(Kind.TEXT, Line.WS_V2, 1, payload)] = payload
            self.appended |= self.own


def lived(folder: Path, images: Path, wanted: Callable[[int], bool], rounds: int, before: Moment | None = None) -> Life:
    life = Life(folder.resolve(), images.resolve(), wanted)
    if before is not None:
        life.acknowledged, life.appended = before.acknowledged.copy(), before.appended.copy()
    with pytest.MonkeyPatch.context() as patch:
        life.watch(patch)
        asyncio.run(life.live(rounds))
    return life


def hold(moment: Moment) -> None:
    """After recovery: all that was acknowledged, nothing twice, nothing that never was, and whole segments."""
    found = recover(moment.folder)
    assert found.damages == [], moment.step
    records: list[Record] = [record for path in segments(moment.folder) for record in read_segment(path)]
    seqs = [record.seq for record in records]
    assert seqs == sorted(set(seqs)), f"{moment.step}: doubled"
    assert all(seq < found.next_seq for seq in seqs), moment.step
    frames = {record.seq: record.payload for record in records if record.kind == Kind.TEXT}
    assert moment.acknowledged.items() <= frames.items(), f"{moment.step}: lost"
    assert frames.items() <= moment.appended.items(), f"{moment.step}: invented"
    assert not list(moment.folder.glob("*.tmp")), moment.step


def first_life(tmp_path: Path) -> Life:
    (tmp_path / "journal").mkdir()
    return lived(tmp_path / "journal", tmp_path / "first", lambda _: True, rounds=4)


def test_a_death_at_every_call_loses_doubles_and_invents_nothing(tmp_path: Path) -> None:
    life = first_life(tmp_path)
    kinds = {step.split()[-1] for step in life.steps}
    assert kinds >= {"open", "pwritev", "rename", "fdatasync", "fsync", "close"}
    assert len(life.moments) == len(life.steps) > 100
    assert any(moment.appended.keys() > moment.acknowledged.keys() for moment in life.moments)
    for moment in life.moments:
        hold(moment)


def test_three_deaths_in_a_row(tmp_path: Path) -> None:
    died = 0
    for begin, moment in enumerate(first_life(tmp_path).moments[::3]):
        for second in again(moment, tmp_path / f"{begin}", SECOND, begin):
            for third in again(second, tmp_path / f"{begin}-{second.folder.name}", THIRD, begin):
                hold(third)
                died += 1
    assert died > 50


def again(moment: Moment, place: Path, stride: int, begin: int) -> list[Moment]:
    return lived(moment.folder, place, lambda number: number % stride == begin % stride, 1, moment).moments


def test_the_check_sees_a_journal_that_says_durable_too_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(_: Journal) -> None:
        return None

    monkeypatch.setattr(Journal, "sync", at_once)
    moments = first_life(tmp_path).moments
    with pytest.raises(AssertionError, match="lost"):
        for moment in moments:
            hold(moment)
