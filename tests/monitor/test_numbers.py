"""Numbers are capture's own, and what names and sizes say of the journal."""

import os
from pathlib import Path

from recorder.capture.state import CaptureState, LineState, TopicState
from recorder.journal.reader import segment_name
from recorder.journal.writer import Journal
from recorder.monitor.numbers import Writer, look_at_journal, read

SECOND = 10**9
IDLE = Writer(0, 0.0, 0)


def test_the_writer_is_behind_by_the_age_of_the_oldest_closed_segment(tmp_path: Path) -> None:
    for number, (closed_at, size) in enumerate([(100, 10), (115, 20), (130, 5)], start=1):
        path = tmp_path / segment_name(number)
        path.write_bytes(b"x" * size)
        os.utime(path, (closed_at, closed_at))
    assert look_at_journal(tmp_path, now=131) == Writer(segments_waiting=2, lag_seconds=31, journal_bytes=35)


def test_the_open_segment_waits_for_nobody_and_no_journal_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / segment_name(1)).write_bytes(b"x")
    assert look_at_journal(tmp_path, now=1e12) == Writer(0, 0.0, 1)
    assert look_at_journal(tmp_path / "none") == IDLE


async def test_ages_are_seconds_and_none_before_the_first_frame(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, lambda: b"{}")
    state = CaptureState("s", started_ns=50 * SECOND, journal=journal, symbols=("BTCUSD",), live=1, gaps=4)
    line = state.lines[2] = LineState("ws_v2", "ws://", connected=True, frames=7, last_ns=58 * SECOND)
    line.topics["depth", "BTCUSD"] = TopicState("depth", "depth", "BTCUSD", frames=5, last_ns=57 * SECOND)
    line.topics["trade", "BTCUSD"] = TopicState("trade", "trade", "BTCUSD")
    now = read(state, IDLE, True, 60 * SECOND)
    await journal.close()
    assert (now.running_seconds, now.gaps, now.symbols, now.live_streams) == (10, 4, 1, 1)
    assert [(x.name, x.frames, x.last_frame_seconds) for x in now.lines] == [("ws_v2", 7, 2)]
    assert [(x.topic, x.frames, x.last_frame_seconds) for x in now.streams] == [("depth", 5, 3), ("trade", 0, None)]


async def test_a_disk_that_refuses_says_more_than_one_that_is_nearly_full(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, lambda: b"{}")
    state = CaptureState("s", started_ns=0, journal=journal)
    assert read(state, IDLE, True, SECOND).disk == "ok"
    state.disk_low = True
    low = read(state, IDLE, True, SECOND)
    assert (low.disk, low.disk_detail) == ("low", "less space is free than [journal] reserve_mb")
    journal._disk.error = "No space left on device"
    failing = read(state, IDLE, True, SECOND)
    journal._disk.error = ""
    await journal.close()
    assert (failing.disk, failing.disk_detail) == ("failing", "No space left on device")
