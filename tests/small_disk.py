"""A small file system of its own, for what happens when a disk is full."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(place: Path, size_mb: int) -> Iterator[Path]:
    """A tmpfs of so many MB at `place`; the test is skipped where nobody may mount one."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(place)]
    try:
        is_there = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        is_there = False
    if not is_there:
        pytest.skip("a file system can be mounted here only by root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
