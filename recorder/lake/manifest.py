"""The manifest: one line with size, rows and SHA-256 for each sealed file, so that decay on disk is noticed.

`<lake>/manifest/<rec>.ndjson`, appended to by the sealer only. A line that was cut short is passed over; what
it would have said is found missing and made again.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from recorder.lake.disk import make_folder, sync_folder
from recorder.lake.names import PartName

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A sealed file as it was written; `file` is relative to the lake."""

    file: str
    bytes: int
    rows: int
    sha256: str
    sealed_ns: int


def manifest_path(root: Path, rec: str) -> Path:
    return root / "manifest" / f"{rec}.ndjson"


def read(root: Path, rec: str) -> dict[str, Entry]:
    """All entries of a recorder by file; of several for one file the first counts, for files never change."""
    try:
        lines = manifest_path(root, rec).read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    found: dict[str, Entry] = {}
    for line in lines:
        try:
            entry = Entry(**json.loads(line))
        except (ValueError, TypeError):
            continue  # cut short by a crash
        found.setdefault(entry.file, entry)
    return found


def recorders(root: Path) -> list[str]:
    """Whose manifests there are."""
    return sorted(path.stem for path in (root / "manifest").glob("*.ndjson"))


def append(root: Path, rec: str, entries: Iterable[Entry]) -> None:
    """Add entries durably. Only the holder of SEALER.LOCK may."""
    text = "".join(json.dumps(asdict(entry)) + "\n" for entry in entries)
    if not text:
        return
    path = manifest_path(root, rec)
    make_folder(path.parent)
    is_new = not path.exists()
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                text = "\n" + text  # the end of a line that was cut short
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync_folder(path.parent)


def make_entry(root: Path, path: Path, now_ns: int, digest: str | None = None) -> Entry:
    """The entry of a sealed file as it is now. Raises OSError if it cannot be read."""
    name = PartName.parse(path.name)
    assert name is not None, path
    size = path.stat().st_size
    return Entry(str(path.relative_to(root)), size, name.rows, digest or sha256(path), now_ns)


def missing(root: Path, rec: str) -> list[Path]:
    """Sealed files of a recorder that have no entry: a crash came between publishing and noting."""
    known = read(root, rec)
    paths = sorted((root / "sealed").glob(f"*/date=*/{rec}~*.parquet"))
    return [path for path in paths if PartName.parse(path.name) and str(path.relative_to(root)) not in known]


def sha256(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()
