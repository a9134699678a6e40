"""One process at a time: a lock that the kernel gives back when its holder dies, however it dies."""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from recorder.errors import BusyError, LakeError

LOOKS, PAUSE_SECONDS = 20, 0.01  # who looks whether a lock is held (`recorder status`) has it for an instant


class Lock:
    """Holds `path` for this process from construction until `release`, or until the process ends.

    Raises BusyError, with the holder's pid, if another process keeps it.
    """

    def __init__(self, path: Path, owner: str = "recorder") -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LakeError(
                f"{path}: cannot be opened: {error.strerror}; make the folder writable, or choose another --data"
            ) from error
        try:
            _take(self._fd)
        except BlockingIOError as error:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            who = f"process {holder}" if holder else "another process"
            raise BusyError(
                f"{path.parent}: {who} is the {owner} here; stop it first, or set [data] dir or recorder"
            ) from error
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            pass  # a full disk must not keep us from holding the lock; the pid is only for people

    def release(self) -> None:
        """Give the lock back; the file stays, so that no one locks a removed one."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _take(fd: int) -> None:
    """Raises BlockingIOError if somebody else has it for longer than a look takes."""
    for look in range(1, LOOKS + 1):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if look == LOOKS:
                raise
            time.sleep(PAUSE_SECONDS)
