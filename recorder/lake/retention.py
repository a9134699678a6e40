"""Retention: remove final files that are older than somebody asked for. Off unless asked.

Only whole windows that are sealed go, never a hot file, never a file that a pin names. What was removed is
noted in `<lake>/removed.ndjson` before it goes, so that nobody takes it for a loss.
"""

import datetime as dt
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from recorder.errors import LakeError
from recorder.lake.disk import sync_folder
from recorder.lake.faults import point
from recorder.lake.layout import check_format
from recorder.lake.names import DAY, EPOCH, PartName, table_files
from recorder.lake.pins import pinned_files
from recorder.lake.schema import tables

LOG = "removed.ndjson"
DAY_NS = 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Removed:
    """A file that retention removed; `file` is relative to the lake."""

    file: str
    bytes: int
    rows: int | None  # None: a raw archive
    removed_ns: int
    rule: str  # as in "keep trade 30 days"


def retain(root: Path, keep_days: Mapping[str, float], *, now_ns: int) -> list[Removed]:
    """Remove what ended more than `keep_days[table]` days ago; tables that are not named are kept for ever.

    Raises LakeError for a table that does not exist, or a pin that cannot be read.
    """
    check_format(root)
    for table in keep_days:
        if table not in tables():
            raise LakeError(f"keep days of {table!r}: no such table; one of {', '.join(tables())}")
    going: list[tuple[Path, int | None, str]] = []
    for table, days in keep_days.items():
        limit = now_ns - round(days * DAY_NS)
        rule = f"keep {table} {days:g} days"
        for path in table_files(root, table, folders=("sealed",)):
            name = PartName.parse(path.name)
            if name is not None and end_ns(name) <= limit and not _has_hot_files(root, table, name):
                going.append((path, name.rows, rule))
    return remove(root, going, now_ns)


def end_ns(name: PartName) -> int:
    """When the window of a file ends, Unix ns."""
    if name.level != DAY:
        end = dt.datetime.strptime(name.window, "%Y%m%d%H") + dt.timedelta(hours=1)
    else:
        end = dt.datetime.strptime(name.day, "%Y%m%d") + dt.timedelta(days=1)
    return int((end - EPOCH).total_seconds()) * 1_000_000_000


def read_removed(root: Path) -> list[Removed]:
    """What retention removed so far; a line that was cut short is passed over."""
    try:
        lines = (root / LOG).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            found.append(Removed(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def _has_hot_files(root: Path, table: str, name: PartName) -> bool:
    """Without the merged file its inputs would count again."""
    for path in (root / "hot" / table / f"date={name.date}").glob(f"{name.rec}~*.parquet"):
        below = PartName.parse(path.name)
        if below is not None and (below.window == name.window or below.day == name.window):
            return True
    return False


def remove(root: Path, going: Iterable[tuple[Path, int | None, str]], now_ns: int) -> list[Removed]:
    """Note and remove files, each with its rows and the rule; those that a pin names stay.

    Raises LakeError for a pin that cannot be read: then nothing goes.
    """
    pinned = pinned_files(root)
    removed = []
    for path, rows, rule in going:
        file = str(path.relative_to(root))
        if file in pinned:
            continue
        done = Removed(file, path.stat().st_size, rows, now_ns, rule)
        _note(root, done)
        point("retention noted")
        path.unlink(missing_ok=True)
        point("retention removed")
        removed.append(done)
    for folder in {(root / done.file).parent for done in removed}:
        if folder.name.startswith("date=") and not any(folder.iterdir()):
            folder.rmdir()
        else:
            sync_folder(folder)
    return removed


def _note(root: Path, done: Removed) -> None:
    with (root / LOG).open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        start = b"\n" if size and file.read(1) != b"\n" else b""
        file.write(start + json.dumps(asdict(done)).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
