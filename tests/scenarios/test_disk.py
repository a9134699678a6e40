"""The disk runs short, then full, then has room again under `recorder run`: told, a gap, no corruption, and it goes on.

The disk is a file system of its own in memory, small enough to be filled while recording.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.lake.raw import raw_files
from recorder.quality.verify import verify
from tests.scenarios.ledger import compare
from tests.scenarios.support import Recorder, exchange, recorder, run_cli, wait_until
from tests.scenarios.test_run import SYMBOLS, recording_is_under_way, rows
from tests.small_disk import mounted

pytestmark = pytest.mark.slow
MIB = 1 << 20
SIZE_MB = 40
RESERVE_MB = 12
CHANNELS = ("trade", "depth", "kline", "bbo", "ticker")
SETTINGS = {"RECORDER__JOURNAL__RESERVE_MB": str(RESERVE_MB), "RECORDER__JOURNAL__KEEP_RAW_DAYS": "7"}
# With its 64 MiB of memory for what the disk does not take, nothing would be lost for minutes.
LITTLE_MEMORY = """
import functools, sys
import recorder.service as service
from recorder.__main__ import main
from recorder.capture.tempo import Options
service.capture = functools.partial(service.capture, options=Options(max_queued=100_000))
main()
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", SIZE_MB) as place:
        yield place


class Forgetful(Recorder):
    """A recorder that can keep little of what the disk does not take."""

    def start(self) -> None:
        with (self.data.parent / "recorder.log").open("ab") as log:
            command = [sys.executable, "-c", LITTLE_MEMORY, "run", "--data", str(self.data)]
            self.process = subprocess.Popen(command, env=self.environment, stderr=log)


def fill(place: Path, leave: int) -> Path:
    """Take the room of a file system but for `leave` bytes."""
    ballast = place / f"ballast{leave}"
    with ballast.open("wb", buffering=0) as file:
        while (free := free_bytes(place) - leave) > 0:
            try:
                file.write(bytes(min(free, MIB)))
            except OSError:
                break
    return ballast


def free_bytes(place: Path) -> int:
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize


def books(data: Path) -> int:
    count = rows(data, "SELECT count(*) FROM depth")[0][0]
    assert isinstance(count, int)
    return count


def archives(data: Path) -> int:
    return len(list(raw_files(data)))


def test_a_disk_that_runs_short_and_full_and_has_room_again(small_disk: Path, tmp_path: Path) -> None:
    data = small_disk / "data"
    log = small_disk / "recorder.log"
    log.symlink_to(tmp_path / "recorder.log")  # the log is elsewhere, as a service manager keeps it
    with (
        exchange(tmp_path, *SYMBOLS, "--rate", "10") as market,
        recorder(small_disk, market, Forgetful, **SETTINGS) as run,
    ):
        recording_is_under_way(run)
        wait_until(lambda: archives(data) > 0, "frames are archived")

        short = fill(small_disk, (RESERVE_MB - 4) * MIB)
        wait_until(lambda: "raw archive stops" in run.log(), "the archive stops")
        wait_until(lambda: status(data)["disk"]["state"] == "low", "status says that the disk runs short")
        kept, before = archives(data), books(data)
        wait_until(lambda: books(data) > before + 20, "books are stored all the same")
        assert archives(data) == kept, "the archive gives way first, the tables go on"
        shown = run_cli("status", "--data", str(data)).stdout
        assert "disk runs short" in shown and "not archived until there is room" in shown

        full = fill(small_disk, 0)
        wait_until(lambda: "the journal cannot be written" in run.log(), "it says that the journal cannot be written")
        market.wait_for_frames(300)
        assert run.running.poll() is None

        short.unlink()
        full.unlink()
        wait_until(lambda: "the journal is written again" in run.log(), "the journal is written again")
        wait_until(lambda: rows(data, LOST) == [(len(CHANNELS),)], "what was lost is a gap of every channel")
        before = books(data)
        wait_until(lambda: books(data) > before + 20, "it goes on")
        wait_until(lambda: archives(data) > kept, "so does the archive")
        assert status(data)["disk"]["state"] == "ok"
        assert run.stop() == 0, run.log()
    assert [str(finding) for finding in verify(data) if finding.is_problem] == []
    assert "damaged" not in {path.name for path in (data / "journal" / "main").iterdir()}
    lost = rows(data, "SELECT channel, count(*) FROM coverage WHERE reason = 'disk' AND status = 'gap' GROUP BY 1")
    assert {channel for channel, _ in lost} >= {"depth", "bbo", "ticker"}, "trades and candles may be healed"
    verdicts = compare(data, market.ledger)
    assert all(verdict.holds for verdict in verdicts.values()), "\n".join(map(str, verdicts.values()))


LOST = "SELECT count(DISTINCT channel) FROM gap WHERE reason = 'disk'"


def test_what_a_full_disk_does_not_take_for_a_while_is_kept_in_memory_and_nothing_is_lost(
    small_disk: Path, tmp_path: Path
) -> None:
    data = small_disk / "data"
    (small_disk / "recorder.log").symlink_to(tmp_path / "recorder.log")
    with exchange(tmp_path, *SYMBOLS, "--rate", "5") as market, recorder(small_disk, market, **SETTINGS) as run:
        recording_is_under_way(run)
        ballast = fill(small_disk, 0)
        wait_until(lambda: "the journal cannot be written" in run.log(), "it says that the journal cannot be written")
        market.wait_for_frames(100)
        ballast.unlink()
        wait_until(lambda: "the journal is written again" in run.log(), "the journal is written again")
        assert run.stop() == 0, run.log()
    verdicts = compare(data, market.ledger)
    assert all(verdict.holds for verdict in verdicts.values()), "\n".join(map(str, verdicts.values()))
    assert rows(data, "SELECT count(*) FROM gap") == [(0,)]
    assert [str(finding) for finding in verify(data) if finding.is_problem] == []


def status(data: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(run_cli("status", "--data", str(data), "--json").stdout)
    return found
