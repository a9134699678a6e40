"""Put files where readers look: whole or not at all, even if the power fails. Never changed afterwards.

Written beside under a name that no reader takes, synced, renamed, and the folder synced.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from recorder.lake.faults import point


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """Make a folder and what lies above it, and make them durable."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir(exist_ok=True)
        sync_folder(made.parent)


def temporary(path: Path, role: str) -> Path:
    """Where `role` writes what will be `path`."""
    return path.with_name(f".{role}-{os.getpid()}-{path.name}.tmp")


def publish(path: Path, write: Callable[[Path], None], role: str = "init") -> None:
    """Let `write` fill a temporary file, then make it `path`. The folder must exist.

    Fault points, each after the role's name: before, written (B2), synced, renamed, published (B3).
    """
    partial = temporary(path, role)
    try:
        point(f"{role} before")
        write(partial)
        point(f"{role} written")
        fd = os.open(partial, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        point(f"{role} synced")
        partial.replace(path)
    except Exception:
        partial.unlink(missing_ok=True)
        raise
    point(f"{role} renamed")
    sync_folder(path.parent)
    point(f"{role} published")


def publish_text(path: Path, content: str, role: str = "init") -> None:
    """Make `content` the file `path`, unless it is already."""
    if path.exists() and path.read_text() == content:
        return
    publish(path, lambda partial: _write_text(partial, content), role)


def _write_text(path: Path, content: str) -> None:
    path.write_text(content)


def leftovers(folder: Path, role: str, rec: str) -> Iterator[Path]:
    """Temporary files of an earlier process of the same role and recorder."""
    for path in folder.glob(f"*/*/.{role}-*.tmp"):
        _, _, name = path.name.removeprefix(f".{role}-").partition("-")
        if name.startswith(f"{rec}~"):
            yield path
