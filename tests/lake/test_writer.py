"""The writer process: drains when asked to end, survives its parent and every kill, never loses a segment."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recorder.journal.lock import Lock
from recorder.journal.reader import closed_segments, segments
from recorder.lake import parts, writer
from recorder.lake.names import table_files
from recorder.lake.parquet import write_file
from recorder.lake.raw import raw_files, read_raw
from recorder.lake.schema import tables
from tests.frames.arrivals import write_segment
from tests.lake.journals import REC, contents, expected, new_lake, story, write_story

PATIENCE = 60.0  # seconds before a test gives up; none waits that long when all is well
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start writer processes; none outlives the test."""
    started: list[subprocess.Popen[bytes]] = []

    def run(root: Path, *more: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "recorder.lake.writer", "--data", str(root), "--rec", REC, *more]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(0.01)


def made(root: Path) -> int:
    return sum(len(table_files(root, table)) for table in tables())


@pytest.mark.slow
def test_once_makes_parts_of_all_that_is_closed_and_ends(tmp_path: Path, start: Start) -> None:
    folder = new_lake(tmp_path / "data")
    paths = write_story(folder)
    process = start(tmp_path / "data", "--once")
    assert process.wait(PATIENCE) == 0
    assert segments(folder) == paths[-1:]
    assert contents(tmp_path / "data") == expected(tmp_path / "whole")


@pytest.mark.slow
def test_sigterm_ends_it_once_all_that_is_closed_is_in_parts(tmp_path: Path, start: Start) -> None:
    root = tmp_path / "data"
    folder = new_lake(root)
    told = story()
    write_story(folder, told[:2])
    process = start(root, "--parent", str(os.getpid()))
    until(lambda: not closed_segments(folder))
    for records in told[2:]:
        write_segment(folder, records)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    assert len(segments(folder)) == 1
    assert contents(root) == expected(tmp_path / "whole")


@pytest.mark.slow
def test_it_ends_after_its_work_when_the_parent_is_gone(tmp_path: Path, start: Start) -> None:
    root = tmp_path / "data"
    folder = new_lake(root)
    write_story(folder)
    process = start(root, "--parent", str(os.getpid() + 1))  # not its parent: as if that had died
    assert process.wait(PATIENCE) == 0
    assert not closed_segments(folder)


@pytest.mark.slow
def test_a_second_writer_waits_until_the_first_has_ended(tmp_path: Path, start: Start) -> None:
    root = tmp_path / "data"
    folder = new_lake(root)
    write_story(folder)
    lock = Lock(folder / "WRITER.LOCK", "writer")
    process = start(root, "--once")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    assert closed_segments(folder)
    lock.release()
    assert process.wait(PATIENCE) == 0
    assert not closed_segments(folder)


@pytest.mark.slow
def test_kill_9_at_any_moment_loses_and_doubles_nothing(tmp_path: Path, start: Start) -> None:
    """Killed when a number of files is there, later each time, with segments closing meanwhile."""
    root = tmp_path / "data"
    folder = new_lake(root)
    told = story()
    write_story(folder, told[:2])
    for number, records in enumerate(told[2:], 1):
        process = start(root)
        until(lambda reached=5 * number: made(root) >= reached or not closed_segments(folder))  # type: ignore[misc]
        process.kill()
        process.wait()
        write_segment(folder, records)
    assert start(root, "--once").wait(PATIENCE) == 0
    assert contents(root) == expected(tmp_path / "whole")
    assert not list(root.rglob("*.tmp"))


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs stay as the tests have them."""
    monkeypatch.setattr("recorder.logs.set_up_logs", lambda: None)


@pytest.mark.usefixtures("quiet")
def test_a_directory_that_is_no_lake_is_wrong_use(tmp_path: Path) -> None:
    assert run_here(tmp_path) == 2


def run_here(root: Path, *more: str) -> int:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return writer.main(["--data", str(root), "--rec", REC, "--once", *more])
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.mark.usefixtures("quiet")
def test_a_segment_that_fails_is_kept_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "data"
    folder = new_lake(root)
    write_story(folder)
    failures = iter([OSError(5, "Input/output error"), ValueError("something new")])

    def fail_twice(*arguments: object) -> None:
        for error in failures:
            raise error
        write_file(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(parts, "write_file", fail_twice)
    monkeypatch.setattr(writer, "FIRST_PAUSE", 0.0)
    assert run_here(root) == 0
    assert contents(root) == expected(tmp_path / "whole")


@pytest.mark.usefixtures("quiet")
def test_a_segment_that_always_fails_is_kept_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "data"
    folder = new_lake(root)
    paths = write_story(folder)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts, "write_file", fail)
    monkeypatch.setattr(writer, "FIRST_PAUSE", 0.0)
    assert run_here(root) == 1
    assert segments(folder) == paths


@pytest.mark.usefixtures("quiet")
def test_keep_raw_days_archives_what_becomes_parts(tmp_path: Path) -> None:
    root = tmp_path / "data"
    folder = new_lake(root)
    paths = write_story(folder)
    before = [path.read_bytes() for path in paths[:-1]]
    assert run_here(root, "--keep-raw-days", "7", "--keep", "depth=30") == 0
    assert [read_raw(path).buffer for _, _, path in raw_files(root)] == before
    assert contents(root) == expected(tmp_path / "whole")


@pytest.mark.usefixtures("quiet")
def test_a_wrong_table_to_keep_is_wrong_use(tmp_path: Path) -> None:
    new_lake(tmp_path)
    assert run_here(tmp_path, "--keep", "trades=30") == 2
