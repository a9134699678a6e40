"""A signal at any moment of a start ends it well: status 0, no traceback, and a lake that is whole or not there yet.

The one moment that is nobody's to answer for is before our first line runs, while the interpreter itself starts.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from recorder.quality.verify import verify
from tests.scenarios.support import RECORDER, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which signals a process listens to")
NOWHERE = {
    "RECORDER__VENUE__REST_URL": "http://127.0.0.1:9",
    "RECORDER__VENUE__WS_V1_URL": "ws://127.0.0.1:9/v1",
    "RECORDER__VENUE__WS_V2_URL": "ws://127.0.0.1:9/v2",
    "RECORDER__RECORD__SYMBOLS": '["BTCUSD"]',
}


def listens(process: subprocess.Popen[str]) -> bool:
    """Whether it has a handler for SIGTERM."""
    caught = next(
        line.split()[1]
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
        if line.startswith("SigCgt:")
    )
    return bool(int(caught, 16) & 1 << (signal.SIGTERM - 1))


def started(data: Path) -> subprocess.Popen[str]:
    command = [*RECORDER, "run", "--data", str(data)]
    return subprocess.Popen(command, env=os.environ | NOWHERE, stderr=subprocess.PIPE, text=True)


def ended_well(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "Traceback" not in said


def start_and_signal(data: Path, after_seconds: float, number: signal.Signals) -> None:
    """So long after the first line of our code."""
    process = started(data)
    try:
        wait_until(lambda: process.poll() is not None or listens(process), "it listens")
        time.sleep(after_seconds)
        process.send_signal(number)
        ended_well(process)
    finally:
        process.kill()


def start_whole(data: Path) -> None:
    """Until it records, and then it finds nothing wrong with what starts before it left."""
    before = set((data / "journal").glob("*/*.jrn"))
    process = started(data)
    try:
        wait_until(lambda: bool(set((data / "journal").glob("*/*.jrn")) - before), "it begins a segment")
        process.terminate()
        ended_well(process)
    finally:
        process.kill()
    assert [finding for finding in verify(data) if finding.is_problem] == []


def test_a_signal_while_it_still_loads_leaves_nothing_behind(tmp_path: Path) -> None:
    start_and_signal(tmp_path / "data", 0, signal.SIGTERM)
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_a_service_manager_may_tell_all_processes_at_once(tmp_path: Path) -> None:
    """Also the one that makes the lake; the next start goes on from whatever it had done."""
    process = started(tmp_path / "data")
    own = psutil.Process(process.pid)
    try:
        wait_until(lambda: bool(own.children()), "the lake is being made")
        for one in [*own.children(), own]:
            one.terminate()
        ended_well(process)
    finally:
        process.kill()
    start_whole(tmp_path / "data")


@pytest.mark.slow
def test_a_signal_at_any_moment_of_a_start_ends_it_well(tmp_path: Path) -> None:
    """Start after start on the same lake, each cut a little later than the one before."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    for count, after_seconds in enumerate([0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0, 1.5]):
        start_and_signal(tmp_path / "data", after_seconds, numbers[count % 2])
    start_whole(tmp_path / "data")
