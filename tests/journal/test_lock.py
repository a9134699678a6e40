"""The lock: one holder, named to the second; the kernel gives it back."""

import os
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
