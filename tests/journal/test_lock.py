"""The lock: one holder, named to the second; the kernel gives it back."""

import fcntl
import os
import threading
from pathlib import Path

import pytest

from recorder.errors import BusyError, LakeError
from recorder.journal.lock import Lock


def test_a_second_holder_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with (
        Lock(tmp_path / "LOCK"),
        pytest.raises(BusyError, match=f"process {os.getpid()} is the recorder here; stop it first"),
    ):
        Lock(tmp_path / "LOCK")


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    Lock(tmp_path / "LOCK").release()
    Lock(tmp_path / "LOCK").release()


def test_a_folder_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="cannot be opened"):
        Lock(tmp_path / "absent" / "LOCK")


def test_a_look_at_the_lock_keeps_nobody_from_taking_it(tmp_path: Path) -> None:
    """`recorder status` has it shared for an instant; a recorder that starts just then is not refused."""
    path = tmp_path / "LOCK"
    Lock(path).release()
    looking = os.open(path, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.05, os.close, [looking]).start()
    with Lock(path):
        assert path.read_text() == f"{os.getpid()}\n"
