"""The sealer as a process: light while it waits, gone when it is told or when its parent is."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from recorder.journal.format import HOUR_NS
from tests.lake.seal_support import REC, Capture, check, files, lake_rows, make_lake, write
from tests.scenarios.support import wait_until

COMMAND = [sys.executable, "-m", "recorder.lake.seal", "--rec", REC, "--every", "0.05", "--data"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_lake(tmp_path / "lake")


def close_an_hour(root: Path, capture: Capture) -> None:
    capture.append(2)
    capture.now = (capture.now // HOUR_NS + 1) * HOUR_NS
    capture.append()
    capture.rotate()
    write(root)


def test_watching_carries_no_heavy_library() -> None:
    code = "import sys, recorder.lake.seal; print({'pyarrow', 'numpy', 'duckdb'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_it_seals_each_hour_that_closes_and_ends_on_sigterm(root: Path) -> None:
    capture = Capture(root)
    with subprocess.Popen([*COMMAND, str(root)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            for hours in (1, 2):
                close_an_hour(root, capture)
                wait_until(lambda n=hours: len(files(root, "sealed/depth/*/*~h~*")) == n, "the hour is sealed")  # type: ignore[misc]
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
    check(capture.truth, lake_rows(root), "sealed by the process")


def test_it_ends_when_its_parent_does(root: Path) -> None:
    code = (
        "import subprocess, sys, os\n"
        f"child = subprocess.Popen({[*COMMAND, str(root)]!r} + ['--parent', str(os.getpid())])\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    sealer = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    wait_until(lambda: not sealer.is_running() or sealer.status() == psutil.STATUS_ZOMBIE, "the sealer ends", 30)


def test_a_wrong_directory_is_wrong_use(tmp_path: Path) -> None:
    found = subprocess.run([*COMMAND, str(tmp_path), "--once"], capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "not a lake" in found.stderr
    assert os.listdir(tmp_path) == []  # noqa: PTH208 the plainest question
