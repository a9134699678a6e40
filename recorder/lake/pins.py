"""Pins: lists of files that are kept whatever else is cleaned, so that research can be repeated.

A pin is the live list of a moment with sizes and row counts, in `pins/<name>.json`. Sealing and retention
leave every file that any pin names where it is.
"""

import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from recorder.errors import LakeError
from recorder.lake.disk import make_folder, publish_text
from recorder.lake.layout import check_format
from recorder.lake.names import PartName, live, table_files
from recorder.lake.schema import tables

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """One file of a pin; `file` is relative to the lake."""

    table: str
    file: str
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Pin:
    """What was live at `made_ns` (Unix ns)."""

    name: str
    made_ns: int
    files: tuple[PinnedFile, ...]

    def paths(self, root: Path, table: str) -> list[Path]:
        return [root / pinned.file for pinned in self.files if pinned.table == table]


def pin(root: Path, name: str, now_ns: int | None = None) -> Pin:
    """Keep the files that are live now under `name`.

    Raises LakeError if the name is taken, not fit for a file name, or `root` is not a lake.
    """
    check_format(root)
    path = _path(root, name)
    if path.exists():
        raise LakeError(f"{path}: this pin exists; choose another name, or remove it with unpin first")
    files = [
        PinnedFile(table, str(file.relative_to(root)), file.stat().st_size, parsed.rows)
        for table in tables()
        for file in live(table_files(root, table))
        if (parsed := PartName.parse(file.name)) is not None
    ]
    made = Pin(name, time.time_ns() if now_ns is None else now_ns, tuple(files))
    make_folder(path.parent)
    publish_text(path, json.dumps(asdict(made), indent=1) + "\n", role="pin")
    return made


def read_pin(root: Path, name: str) -> Pin:
    """Raises LakeError if there is no such pin, or it cannot be read."""
    return _read(_path(root, name))


def pins(root: Path) -> list[Pin]:
    """All pins, by name. Raises LakeError if one cannot be read: what it names must not be guessed."""
    return [_read(path) for path in sorted((root / "pins").glob("*.json"))]


def pinned_files(root: Path) -> frozenset[str]:
    """Every file that some pin names, relative to the lake."""
    return frozenset(pinned.file for found in pins(root) for pinned in found.files)


def unpin(root: Path, name: str) -> None:
    """Forget a pin; its files may be cleaned again. Raises LakeError if there is none of that name."""
    path = _path(root, name)
    try:
        path.unlink()
    except FileNotFoundError as error:
        raise _absent(root, name) from error


def _read(path: Path) -> Pin:
    try:
        raw = json.loads(path.read_text())
        files = tuple(PinnedFile(**each) for each in raw["files"])
        return Pin(raw["name"], raw["made_ns"], files)
    except FileNotFoundError as error:
        raise _absent(path.parent.parent, path.stem) from error
    except (ValueError, TypeError, KeyError) as error:
        raise LakeError(f"{path}: not a pin that can be read; restore it, or remove it if nobody needs it") from error


def _path(root: Path, name: str) -> Path:
    if not NAME.fullmatch(name):
        raise LakeError(f"pin {name!r}: use letters, digits, '.', '_' and '-', as in 'study-2026'")
    return root / "pins" / f"{name}.json"


def _absent(root: Path, name: str) -> LakeError:
    known = ", ".join(path.stem for path in sorted((root / "pins").glob("*.json"))) or "none"
    return LakeError(f"{root}: no pin {name!r}; pins: {known}")
