"""Is a copy of a lake whole that was taken while the lake grew?

Rows move from journal to hot to sealed, each time published before they are removed. Who copies in that direction
sees every row at least once; who copies hot before the journal can miss what moved in between. So the writer notes,
before a segment goes, which parts took its rows (`<lake>/manifest/<rec>.parts`, a line a segment): a copy that has
the note but neither the part nor the segment lacks rows, and can say which.
"""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from recorder.journal.reader import first_seq, scan_segment, segments
from recorder.lake import manifest
from recorder.lake.disk import make_folder, publish_text, sync_folder
from recorder.lake.names import PART, PartName, table_files
from recorder.lake.retention import read_removed

log = structlog.get_logger()

SUFFIX = ".parts"
MOST_BYTES = 4 << 20  # of the notes: about a day; then the older half goes
SEAL_FIRST = "run `recorder seal` before anything else"
ORDER = "copy journal, closed, hot, sealed in this order, or the whole lake twice"


@dataclass(frozen=True, slots=True)
class Fault:
    """What a copy lacks. A note, not a problem, if only its last moments are not whole."""

    rec: str
    what: str
    remedy: str
    is_problem: bool = True

    def __str__(self) -> str:
        return f"{self.rec}: {self.what}" + (f"; {self.remedy}" if self.remedy else "")


class Notes:
    """Written by the holder of WRITER.LOCK only. Who goes on in a copy first writes down what that copy lacks."""

    def __init__(self, root: Path, rec: str) -> None:
        self.path = notes_path(root, rec)
        through, noted = _read(root, rec)
        missing = set(_missing(root, rec, noted))
        before = set(_told_before(root, rec))
        faults = [fault for fault in _faults(root, rec) if fault.remedy != SEAL_FIRST]
        for fault in set(faults) - before:
            log.log(logging.ERROR if fault.is_problem else logging.WARNING, "this lake is a copy", lacks=str(fault))
        if not missing and set(faults) == before:
            return
        kept = [f"{part.table}/{part.name}" for part in noted if part not in missing]
        told = [(fault.what, fault.remedy, fault.is_problem) for fault in faults]
        line = json.dumps({"through": through, "parts": kept, "copied": told})
        publish_text(self.path, line, role="writer")

    def add(self, through: int, parts: Sequence[str]) -> None:
        """All rows up to seq `through` are in files now; `parts`, as table/name, are the newest of them. Durable."""
        is_new = not self.path.exists()
        if is_new:
            make_folder(self.path.parent)
        with self.path.open("ab") as file:
            start = b"\n" if file.tell() else b""  # first: a line that was cut short ends here
            file.write(start + json.dumps({"through": through, "parts": list(parts)}).encode())
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        if is_new:
            sync_folder(self.path.parent)
        if size > MOST_BYTES:
            lines = self.path.read_text().splitlines()
            half = len(lines) // 2
            publish_text(self.path, "\n".join([*(x for x in lines[:half] if '"copied"' in x), *lines[half:]]), "writer")


def notes_path(root: Path, rec: str) -> Path:
    return root / "manifest" / f"{rec}{SUFFIX}"


def copy_faults(root: Path) -> list[Fault]:
    """What is missing because the lake was copied while it grew; none for a lake in its own place."""
    found: list[Fault] = []
    for folder in sorted((root / "journal").glob("*")):
        if folder.is_dir():
            found += _faults(root, folder.name)
    return found


@dataclass(frozen=True, slots=True)
class _Noted:
    table: str
    name: PartName


def _faults(root: Path, rec: str) -> Iterator[Fault]:
    paths = segments(root / "journal" / rec)  # before the notes, so that in a lake at work these say more
    begin = first_seq(paths[0]) if paths else 0
    end = _last_seq(paths)
    marks = {path.name.partition("~")[2] for path in (root / "closed").glob(f"{rec}~*")}
    through, noted = _read(root, rec)
    yield from _told_before(root, rec)
    if through is None:
        return
    if paths and begin > through + 1:
        yield Fault(rec, f"seq {through + 1} to {begin - 1} left the journal while it was copied", ORDER)
    missing = _missing(root, rec, noted)
    lost = [part for part in missing if part.name.first < begin or not paths]
    if lost:
        yield Fault(rec, f"rows are missing: {_told(lost)}", ORDER)
    waiting = [part for part in missing if part not in lost]
    early = [part for part in waiting if part.name.first <= end and {part.name.window, part.name.day} & marks]
    if early:
        yield Fault(rec, f"{_told(early)} counts as closed, and has rows in the journal only", SEAL_FIRST)
    ragged = [part for part in waiting if part.name.last > end]
    if ragged:
        detail = f"copied while it grew: after seq {end} some tables go further than others: {_told(ragged)}"
        yield Fault(rec, detail, "Lake.settled() says up to when it is whole", is_problem=False)


def _told_before(root: Path, rec: str) -> Iterator[Fault]:
    """What a writer that went on in this copy found missing."""
    for note in _lines(root, rec):
        for what, remedy, is_problem in note.get("copied", ()):
            yield Fault(rec, what, remedy, is_problem)


def _last_seq(paths: Sequence[Path]) -> int:
    """Of the records that the journal has."""
    for path in reversed(paths):
        try:
            seqs = [record.seq for record in scan_segment(path)]
        except FileNotFoundError:
            continue
        if seqs:
            return seqs[-1]
    return 0


def _read(root: Path, rec: str) -> tuple[int | None, list[_Noted]]:
    """The last `through` (None: there are no notes), and all parts that are noted."""
    through: int | None = None
    noted = []
    for note in _lines(root, rec):
        through = max(through or 0, note["through"])
        pairs = [part.split("/") for part in note["parts"]]
        noted += [_Noted(table, name) for table, text in pairs if (name := PartName.parse(text)) is not None]
    return through, noted


def _lines(root: Path, rec: str) -> Iterator[dict[str, Any]]:
    try:
        lines = notes_path(root, rec).read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue  # cut short


def _missing(root: Path, rec: str, noted: Sequence[_Noted]) -> list[_Noted]:
    """Noted parts whose rows are in no file, never were in a sealed one, and were not removed on purpose.

    A sealed file that has gone is in the manifest, and `verify` tells of it.
    """
    left: list[_Noted] = []
    by_table: dict[str, list[PartName]] = {}
    for part in noted:
        by_table.setdefault(part.table, []).append(part.name)
    gone: dict[str, list[PartName]] | None = None
    for table, names in by_table.items():
        held = _parsed(table_files(root, table, rec))
        for name in _not_within(names, held):
            if gone is None:
                gone = _sealed_or_removed(root, rec)
            if _not_within([name], gone.get(table, [])):
                left.append(_Noted(table, name))
    return left


def _not_within(names: Sequence[PartName], held: Sequence[PartName]) -> list[PartName]:
    """Those that are not held, nor merged into a file that is."""
    exact = set(held)
    merged: dict[str, list[PartName]] = {}
    for name in held:
        if name.level != PART:
            merged.setdefault(name.window, []).append(name)

    def is_merged(name: PartName) -> bool:
        above = merged.get(name.window, []) + merged.get(name.day, [])
        return any(other.first <= name.first and name.last <= other.last for other in above)

    return [name for name in names if name not in exact and not is_merged(name)]


def _parsed(paths: Sequence[Path]) -> list[PartName]:
    return [name for path in paths if (name := PartName.parse(path.name)) is not None]


def _sealed_or_removed(root: Path, rec: str) -> dict[str, list[PartName]]:
    found: dict[str, list[PartName]] = {}
    for file in (*manifest.read(root, rec), *(done.file for done in read_removed(root))):
        path = Path(file)
        name = PartName.parse(path.name)
        if name is not None:
            found.setdefault(path.parts[1], []).append(name)
    return found


def _told(parts: Sequence[_Noted]) -> str:
    """Tables with their range of seq."""
    ranges: dict[str, tuple[int, int]] = {}
    for part in parts:
        first, last = ranges.get(part.table, (part.name.first, part.name.last))
        ranges[part.table] = min(first, part.name.first), max(last, part.name.last)
    return ", ".join(f"{table} seq {first} to {last}" for table, (first, last) in sorted(ranges.items()))
