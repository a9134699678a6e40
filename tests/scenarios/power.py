"""A disk that forgets: what a power cut may leave of a folder, for tests.

It follows every fsync and fdatasync of this process, in any thread. Content of a file lasts from its last sync; a name
lasts from the last sync of its folder. Two images are drawn of any moment: one where nothing else reached the disk,
and one where every name and every size did, yet of the content only what was synced, and zeros after it: a disk may
write either first.
"""

import os
import stat
import threading
from pathlib import Path

import pytest

Identity = tuple[int, int]  # device, inode


class Disk:
    """What of `root` would survive; start it before the first file is made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.syncs = 0
        self._contents: dict[Identity, bytes] = {}
        self._names: dict[str, dict[str, Identity]] = {}  # of each synced folder
        self._held: dict[Identity, int] = {}  # open, so that no inode is used twice
        self._lock = threading.RLock()
        self._real = os.fsync, os.fdatasync

    def watch(self, patch: pytest.MonkeyPatch) -> "Disk":
        patch.setattr(os, "fsync", self._sync)
        patch.setattr(os, "fdatasync", self._sync)
        return self

    def release(self) -> None:
        for fd in self._held.values():
            os.close(fd)
        self._held.clear()

    def image(self, target: Path, names_first: bool) -> Path:
        """What is on the disk if the power fails now."""
        with self._lock:
            self._draw(self.root, target, names_first)
        return target

    def _sync(self, fd: int) -> None:
        """The kernel's part takes time and changes nothing here: what counts is that it was asked for."""
        found = os.fstat(fd)
        identity = found.st_dev, found.st_ino
        with self._lock:
            self.syncs += 1
            if stat.S_ISDIR(found.st_mode):
                folder = str(Path(f"/proc/self/fd/{fd}").readlink())
                with os.scandir(folder) as entries:
                    self._names[folder] = {e.name: (found.st_dev, e.inode()) for e in entries}
                return
            own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
            if identity in self._held:
                os.close(self._held[identity])
            self._held[identity] = own
            self._contents[identity] = _read(own)

    def _draw(self, folder: Path, target: Path, names_first: bool) -> None:
        target.mkdir()
        device = self.root.stat().st_dev
        if names_first:
            with os.scandir(folder) as entries:
                names = {entry.name: (device, entry.inode()) for entry in entries}
        else:
            names = self._names.get(str(folder), {})
        for name, identity in names.items():
            below = folder / name
            if str(below) in self._names or below.is_dir():
                self._draw(below, target / name, names_first)
                continue
            content = self._contents.get(identity, b"")
            if names_first:
                content = content.ljust(_size(below, identity), b"\0")
            (target / name).write_bytes(content)


def _size(path: Path, identity: Identity) -> int:
    """0 if it is another file by now, or gone."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0
    return found.st_size if (found.st_dev, found.st_ino) == identity else 0


def _read(fd: int) -> bytes:
    pieces, at = [], 0
    while piece := os.pread(fd, 1 << 20, at):
        pieces.append(piece)
        at += len(piece)
    return b"".join(pieces)
