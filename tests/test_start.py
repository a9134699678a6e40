"""A signal at any moment of a start ends it well: status 0, no traceback, and a lake that is whole or not there yet.

The one moment that is nobody's to answer for is before our first line runs, while the interpreter itself starts.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


def start_and_signal(data: Path, after_seconds: float, number: signal.Signals) -> None:
    """So long after the first line of our code."""
    process = subprocess.Popen(
        [*RECORDER, "run", "--data", str(data)], env=os.environ | NOWHERE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: process.poll() is not None or listens(process), "it listens")
        time.sleep(after_seconds)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert "Traceback" not in said


def test_a_signal_while_it_still_loads_leaves_nothing_behind(tmp_path: Path) -> None:
    start_and_signal(tmp_path / "data", 0, signal.SIGTERM)
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_a_signal_at_any_moment_of_a_start_ends_it_well(tmp_path: Path) -> None:
    """Start after start on the same lake, each cut a little later than the one before."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    for count, after_seconds in enumerate([0.05, 0.15, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5]):
        start_and_signal(tmp_path / "data", after_seconds, numbers[count % 2])
    assert [finding for finding in verify(tmp_path / "data") if finding.is_problem] == []
