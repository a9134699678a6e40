"""status: how fresh, how much, what is missing, and how long the disk lasts."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recorder.lake import status as module
from recorder.lake.retention import retain
from recorder.lake.settled import holder
from recorder.lake.status import iso, status
from tests.lake.helpers import REC, bbo, candle, clock, empty_lake, event, gap, ns, trade, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = empty_lake(tmp_path / "data")
    (root / "journal" / REC).mkdir(parents=True)
    return root


def streams(root: Path, now: float) -> dict[tuple[str, str], module.Document]:
    return {(s["symbol"], s["channel"]): s for s in status(root, REC, ns(now))["streams"]}


def test_an_empty_lake_has_a_status(root: Path) -> None:
    found = status(root, REC)
    assert found["running"] is False
    assert found["pid"] is None
    assert found["streams"] == []
    assert found["clock"] is None
    assert found["last_event"] is None
    assert found["disk"]["days_left"] is None
    assert found["writer"]["segments_waiting"] == 0
    json.dumps(found)


def test_each_stream_tells_its_rows_its_age_and_its_gaps(root: Path) -> None:
    live = [event(2, 0, "live", "trade"), event(3, 0, "live", "depth")]
    lost = event(4, 70, "lost", "depth", detail={"since_ns": ns(60), "reason": "silent"})
    write(root, "session", [event(1, 0, "start"), *live, lost, event(900, 100, "note")])
    write(root, "gap", [gap(50, 30, "trade", 20, 30.5, "disconnect")])
    write(root, "trade", [trade(60, 1, "1"), trade(61, 90, "1")])
    write(root, "bbo", [bbo(70, 80, "1", "2")])
    write(root, "kline", [candle(80, 5, 0, "1")])
    found = streams(root, 100)
    trades = found["BTCUSD", "trade"]
    assert (trades["rows"], trades["age_seconds"], trades["gaps"], trades["gap_seconds"]) == (2, 10.0, 1, 10.5)
    assert (trades["status"], trades["last_exchange_time"]) == ("ok", "2026-03-01T12:01:30Z")
    depth = found["BTCUSD", "depth"]
    assert (depth["rows"], depth["age_seconds"], depth["status"], depth["reason"]) == (0, None, "gap", "silent")
    assert depth["since"] == "2026-03-01T12:01:00.000000Z"
    assert found["BTCUSD", "bbo"]["status"] is None  # rows, but no word on it in the session
    assert found["BTCUSD", "kline"]["rows"] == 1


def test_of_a_large_table_only_the_newest_days_are_counted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "trade", [trade(1, 0, "1"), trade(2, 1, "1")])
    write(root, "trade", [trade(3, 86_400, "1"), trade(4, 86_401, "1")])
    monkeypatch.setattr(module, "COUNT_ALL", 3)
    found = streams(root, 90_000)["BTCUSD", "trade"]
    assert (found["rows"], found["rows_since"]) == (4, "2026-03-01")
    monkeypatch.setattr(module, "COUNT_ALL", 1)
    found = streams(root, 90_000)["BTCUSD", "trade"]
    assert (found["rows"], found["rows_since"]) == (2, "2026-03-02")


def test_the_locks_tell_who_runs(root: Path) -> None:
    lock = root / "journal" / REC / "LOCK"
    program = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX);"
        "f.write('4711\\n'); f.flush(); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        found = status(root, REC)
        assert (found["running"], found["pid"], found["writer_running"]) == (True, 4711, False)
        process.communicate("")
    assert holder(lock) is None
    with lock.open() as file:  # what we took to look is given back
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_closed_segments_wait_for_the_writer_and_the_open_one_does_not(root: Path) -> None:
    for seq, size in ((1, 10), (50, 20), (90, 5)):
        path = root / "journal" / REC / f"{seq:020d}.jrn"
        path.write_bytes(b"x" * size)
        os.utime(path, ns=(ns(seq), ns(seq)))
    found = status(root, REC, ns(100))["writer"]
    assert (found["segments_waiting"], found["bytes_waiting"], found["open_segment_bytes"]) == (2, 30, 5)
    assert found["oldest_age_seconds"] == 99.0


def test_the_disk_is_forecast_from_the_growth_of_the_last_day(root: Path) -> None:
    write(root, "session", [event(1, 0, "start"), event(2, 864, "note")])
    path = write(root, "trade", [trade(60, 1, "1")])
    found = status(root, REC, ns(900))["disk"]
    size = path.stat().st_size + sum(p.stat().st_size for p in root.glob("hot/session/*/*"))
    assert found["bytes_per_day"] == pytest.approx(size * 100, abs=1)
    assert found["days_left"] == pytest.approx(found["free_bytes"] / found["bytes_per_day"], rel=0.01)
    assert found["table_bytes"]["trade"] == path.stat().st_size
    assert found["lake_bytes"] == size


def test_the_latest_clock_sample_and_event_are_told(root: Path) -> None:
    write(root, "clock", [clock(60, 30), clock(61, 40)])
    write(root, "session", [event(1, 0, "start"), event(70, 50, "error", detail={"code": 7})])
    found = status(root, REC, ns(60))
    assert found["clock"] == {
        "venue": "hashkey",
        "offset_ns": -1_500_000,
        "round_trip_ns": 4_000_000,
        "age_seconds": 20.0,
    }
    assert (found["last_event"]["event"], found["last_event"]["detail"]) == ("error", '{"code": 7}')


def test_the_state_of_the_disk_is_what_capture_said_last(root: Path) -> None:
    def state(now: float) -> tuple[str, str | None]:
        disk = status(root, REC, ns(now))["disk"]
        return disk["state"], disk["state_detail"]

    write(root, "session", [event(1, 0, "start"), event(2, 1, "error", detail={"detail": "exchangeInfo: no"})])
    assert state(1) == ("ok", None)
    write(root, "session", [event(3, 2, "disk_low", detail={"detail": "9 MiB free", "free_bytes": 9})])
    assert state(2) == ("low", "9 MiB free")
    write(root, "session", [event(4, 3, "error", detail={"detail": "journal: No space left on device"})])
    assert state(3) == ("failing", "journal: No space left on device")
    write(root, "session", [event(5, 4, "journal_writes_again")])
    assert state(4) == ("low", "9 MiB free")
    write(root, "session", [event(6, 5, "disk_well")])
    assert state(5) == ("ok", None)
    write(root, "session", [event(7, 6, "disk_low"), event(8, 7, "start")])
    assert state(7) == ("ok", None)  # a new process says it again if it still is


def test_raw_archives_are_told_and_count_in_the_forecast(root: Path) -> None:
    write(root, "session", [event(1, 0, "start"), event(2, 864, "note")])
    for date, size in (("2026-02-20", 1000), ("2026-03-01", 500)):
        folder = root / "raw" / REC / f"date={date}"
        folder.mkdir(parents=True)
        (folder / f"{size:020d}~{size + 9:020d}.jrn.zst").write_bytes(b"x" * size)
    found = status(root, REC, ns(900))
    hot = sum(p.stat().st_size for p in root.glob("hot/session/*/*"))
    assert found["raw"] == {
        "bytes": 1500,
        "first_date": "2026-02-20",
        "last_date": "2026-03-01",
        "is_stopped": False,
    }
    write(root, "session", [event(3, 865, "disk_low", detail={"detail": "9 MiB free"})])
    assert status(root, REC, ns(900))["raw"]["is_stopped"]
    assert found["disk"]["lake_bytes"] == hot + 1500
    assert found["disk"]["bytes_per_day"] == pytest.approx((hot + 500) * 100, abs=1)


def test_what_retention_removed_is_told(root: Path) -> None:
    assert status(root, REC)["retention"] == {"files": 0, "bytes": 0, "last": []}
    path = write(root, "trade", [trade(1, 0, "1"), trade(2, 1, "1")], level="d", place="sealed")
    size = path.stat().st_size
    retain(root, {"trade": 1}, now_ns=ns(10 * 86_400))
    found = status(root, REC)["retention"]
    run = {"time": iso(ns(10 * 86_400)), "rule": "keep trade 1 days", "files": 1, "bytes": size, "rows": 2}
    assert found == {"files": 1, "bytes": size, "last": [run]}
