"""Appending: what is promised to be on disk, when segments end, and what a refusing disk does."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from recorder.errors import JournalError, LakeError
from recorder.journal import disk
from recorder.journal.format import HEADER_SIZE, HOUR_NS, Kind, Line, Record
from recorder.journal.reader import closed_segments, first_seq, read_segment, segments
from recorder.journal.recover import recover
from recorder.journal.writer import DROPPED, Journal

HEAD = b'{"event":"segment"}'
NOON = 497_000 * HOUR_NS


@asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncIterator[Journal]:
    journal = Journal(folder, options.pop("first_seq", 1), lambda: HEAD, **options)
    try:
        yield journal
    finally:
        await journal.close()


def frames(folder: Path) -> list[Record]:
    return [r for path in segments(folder) for r in read_segment(path) if r.kind != Kind.EVENT]


def add(journal: Journal, text: bytes, receive_ns: int = NOON) -> int:
    return journal.append(Kind.TEXT, Line.WS_V2, 1, text, receive_ns, 1)


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- another thread changes it
            await asyncio.sleep(0.002)


async def test_each_segment_starts_with_its_head_and_its_name_is_the_seq_of_the_head(tmp_path: Path) -> None:
    async with opened(tmp_path, first_seq=41) as journal:
        assert add(journal, b"a") == 42
        journal.rotate()
        assert add(journal, b"b") == 44
    paths = segments(tmp_path)
    assert [first_seq(path) for path in paths] == [41, 43, 45]
    assert all(read_segment(path)[0].payload == HEAD for path in paths)
    assert [r.seq for path in paths for r in read_segment(path)] == [41, 42, 43, 44, 45]


async def test_after_close_every_record_is_in_a_closed_segment(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        for number in range(1000):
            add(journal, b"%d" % number)
    kept = [r.payload for path in closed_segments(tmp_path) for r in read_segment(path) if r.kind == Kind.TEXT]
    assert kept == [b"%d" % number for number in range(1000)]
    assert [r.kind for r in read_segment(segments(tmp_path)[-1])] == [Kind.EVENT]


async def test_sync_returns_once_all_that_was_appended_is_on_disk(tmp_path: Path) -> None:
    async with opened(tmp_path, sync_ms=10_000) as journal:
        add(journal, b"x")
        await journal.sync()
        assert [r.payload for r in frames(tmp_path)] == [b"x"]


async def test_who_waits_for_a_sync_does_not_wait_for_more_to_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "NAP", 60)
    async with opened(tmp_path, sync_ms=60_000) as journal:
        for number in range(3):
            add(journal, b"%d" % number)
            async with asyncio.timeout(20):
                await journal.sync()
            assert len(frames(tmp_path)) == number + 1


async def test_a_record_reaches_the_kernel_within_ten_milliseconds_even_while_a_sync_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, hang = os.fdatasync, 0.0

    def slow(fd: int) -> None:
        time.sleep(hang)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", slow)
    async with opened(tmp_path, sync_ms=1) as journal:
        await journal.sync()
        hang = 0.3
        add(journal, b"starts the slow sync")
        await asyncio.sleep(0.05)
        began = time.monotonic()
        add(journal, b"meanwhile")
        await until(lambda: len(frames(tmp_path)) == 2)
        assert time.monotonic() - began < 0.1  # 10 ms on an idle machine; the slow sync alone takes 300
        hang = 0.0


async def test_a_segment_ends_on_time_but_never_holding_nothing_but_its_head(tmp_path: Path) -> None:
    async with opened(tmp_path, segment_seconds=0.05) as journal:
        await asyncio.sleep(0.2)
        assert len(segments(tmp_path)) == 1
        add(journal, b"x")
        await until(lambda: len(segments(tmp_path)) == 2)
        await asyncio.sleep(0.15)
        assert len(segments(tmp_path)) == 2


async def test_a_segment_ends_at_its_size(tmp_path: Path) -> None:
    async with opened(tmp_path, max_segment=10_000) as journal:
        for _ in range(25):
            add(journal, bytes(1000))
    assert all(path.stat().st_size <= 10_000 for path in segments(tmp_path))
    assert len(frames(tmp_path)) == 25


async def test_a_new_hour_starts_a_segment_and_a_clock_that_steps_back_reopens_none(tmp_path: Path) -> None:
    async with opened(tmp_path, hour=NOON // HOUR_NS - 1) as journal:
        journal._hour = NOON // HOUR_NS - 1  # the head was stamped by the real clock
        add(journal, b"before", NOON - 1)
        add(journal, b"after", NOON + 1)
        add(journal, b"stepped back", NOON - 5)
        journal.rotate()
    paths = [path for path in segments(tmp_path) if len(read_segment(path)) > 1]
    assert [[r.payload for r in read_segment(path)[1:]] for path in paths] == [
        [b"before"],
        [b"after", b"stepped back"],
    ]
    later = read_segment(paths[1])
    assert [r.hour for r in later] == [NOON // HOUR_NS] * 3  # also the head: a later segment of a greater hour
    assert later[2].receive_ns == NOON - 5  # the stamp itself is kept as it was


async def test_the_hour_goes_on_where_the_last_run_ended(tmp_path: Path) -> None:
    future = NOON // HOUR_NS + 1_000_000
    async with opened(tmp_path, hour=future) as journal:
        add(journal, b"x")
    assert {r.hour for path in segments(tmp_path) for r in read_segment(path)} == {future}


async def test_nothing_can_be_appended_after_close(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        pass
    with pytest.raises(JournalError, match="closed"):
        add(journal, b"x")


async def test_a_folder_that_cannot_be_written_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="cannot be written"):
        Journal(tmp_path / "absent", 1, lambda: HEAD)


class Refusal:
    """A disk that takes `room` more bytes and then refuses, as a full one does: in the middle of a write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: float = 1e18) -> None:
        self.room = room
        self.syncs_fail = 0
        self._pwrite, self._sync = os.pwrite, os.fdatasync
        monkeypatch.setattr(os, "pwrite", self.pwrite)
        monkeypatch.setattr(os, "pwritev", lambda fd, parts, at: self.pwrite(fd, b"".join(parts), at))
        monkeypatch.setattr(os, "fdatasync", self.fdatasync)
        monkeypatch.setattr(disk, "RETRY", 0.02)

    def pwrite(self, fd: int, data: memoryview | bytes, at: int) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._pwrite(fd, data[: int(min(self.room, len(data)))], at)
        self.room -= written
        return written

    def fdatasync(self, fd: int) -> None:
        if self.syncs_fail > 0:
            self.syncs_fail -= 1
            raise OSError(errno.EIO, "Input/output error")
        self._sync(fd)


async def test_a_full_disk_is_told_keeps_what_is_queued_and_loses_nothing_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    refusal = Refusal(monkeypatch)
    async with opened(tmp_path, on_state=told.append) as journal:
        add(journal, b"before")
        await journal.sync()
        refusal.room = 60  # the next record is cut short
        for number in range(50):
            add(journal, b"%050d" % number)
        await until(lambda: bool(told))
        assert (journal.state, told) == ("failing", ["No space left on device"])
        path = segments(tmp_path)[-1]
        await until(lambda: path.stat().st_size == 2 * HEADER_SIZE + len(HEAD) + len(b"before"))
        journal.rotate()
        add(journal, b"after the rotation")
        refusal.room = 1e18
        await journal.sync()
        await until(lambda: told[-1] == "")
        assert journal.state == "ok"
    assert [r.payload for r in frames(tmp_path)] == [
        b"before",
        *(b"%050d" % number for number in range(50)),
        b"after the rotation",
    ]
    seqs = [r.seq for path in segments(tmp_path) for r in read_segment(path)]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_what_does_not_fit_in_memory_any_more_is_dropped_counted_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses: list[tuple[int, int, int]] = []
    refusal = Refusal(monkeypatch)
    async with opened(
        tmp_path, max_queued=10_000, on_loss=lambda first, last, count: losses.append((first, last, count))
    ) as journal:
        refusal.room = 0
        results = [add(journal, bytes(1000), NOON + number) for number in range(20)]
        kept = [seq for seq in results if seq != DROPPED]
        assert results == [*kept, *[DROPPED] * (20 - len(kept))]
        assert journal.append(Kind.EVENT, Line.OWN, 0, b'{"event":"lost"}') == kept[-1] + 1
        assert (journal.state, journal.dropped, losses) == ("failing", 20 - len(kept), [])
        refusal.room = 1e18
        await until(lambda: bool(losses))
        assert losses == [(NOON + len(kept), NOON + 19, 20 - len(kept))]
        assert add(journal, b"again") == kept[-1] + 2
    assert [r.seq for r in frames(tmp_path)] == [*kept, kept[-1] + 2]


async def test_after_a_failed_sync_the_bytes_are_written_again_before_they_count_as_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = Refusal(monkeypatch)
    async with opened(tmp_path, sync_ms=10_000) as journal:
        await journal.sync()
        written: list[int] = []
        pwrite = refusal.pwrite

        def noted(fd: int, parts: list[bytes], at: int) -> int:
            written.append(at)
            return pwrite(fd, b"".join(parts), at)

        monkeypatch.setattr(os, "pwritev", noted)
        refusal.syncs_fail = 1
        add(journal, b"x")
        await journal.sync()
        assert len(written) == 2 and written[0] == written[1]
    assert [r.payload for r in frames(tmp_path)] == [b"x"]


async def test_closing_on_a_disk_that_refuses_ends_and_says_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = Refusal(monkeypatch)
    journal = Journal(tmp_path, 1, lambda: HEAD)
    add(journal, b"kept")
    await journal.sync()
    refusal.room = 0
    add(journal, b"lost")
    with pytest.raises(JournalError, match="1 records could not be written: No space left"):
        await journal.close()
    assert [r.payload for r in frames(tmp_path)] == [b"kept"]


APPENDER = """
import asyncio, resource, sys, time
from pathlib import Path
from recorder.journal.writer import Journal

async def main(folder, limit):
    journal = Journal(Path(folder), 1, lambda: b'{"event":"segment"}', segment_seconds=0.3)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    while True:
        for _ in range(20):
            seq = journal.append(0, 2, 1, bytes(9300))
            print(seq, time.monotonic_ns(), journal.state, flush=True)
        await asyncio.sleep(0.003)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def run_appender(folder: Path, limit: int, lines: int) -> tuple[list[tuple[int, int]], int, set[str]]:
    """Run it until it has printed so many lines, then kill -9: (seq, time) of each append, time of death, states."""
    process = subprocess.Popen(
        [sys.executable, "-c", APPENDER, str(folder), str(limit)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    appended, states = [], set()
    for line in process.stdout:
        seq, at, state = line.split()
        appended.append((int(seq), int(at)))
        states.add(state)
        if len(appended) == lines:
            break
    died = time.monotonic_ns()
    process.send_signal(signal.SIGKILL)
    for line in process.stdout:
        if line.endswith("\n") and len(line.split()) == 3:
            seq, at, _ = line.split()
            appended.append((int(seq), int(at)))
    process.wait()
    return appended, died, states


def test_kill_9_loses_nothing_that_was_appended_more_than_ten_milliseconds_before(tmp_path: Path) -> None:
    appended, died, _ = run_appender(tmp_path, 0, 4000)
    state = recover(tmp_path)
    kept = {r.seq for r in frames(tmp_path)}
    patience = 30_000_000  # 10 ms on an idle machine; others may be using this one
    promised = [seq for seq, at in appended if at < died - patience]
    assert len(promised) > 1000
    assert [seq for seq in promised if seq not in kept] == []
    assert state.next_seq == max(kept | {first_seq(segments(tmp_path)[-1])}) + 1


def test_a_limit_of_the_file_size_in_a_real_kernel_leaves_whole_records_only(tmp_path: Path) -> None:
    appended, _, states = run_appender(tmp_path, 1_000_000, 2000)
    for path in segments(tmp_path):
        assert path.stat().st_size <= 1_000_000
    assert recover(tmp_path).damages == []
    kept = [r.seq for r in frames(tmp_path)]
    assert kept == sorted(kept) and len(kept) > 50
    assert "failing" in states or len(segments(tmp_path)) > 1
    assert len(appended) >= 2000
