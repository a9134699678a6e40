"""What names alone tell: strange files, wrong folders, overlaps, rows that nobody reads, decay of sealed files."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from recorder.lake import manifest
from recorder.lake.names import DAY, FOLDERS, HOUR, PART, PartName
from recorder.lake.retention import read_removed
from recorder.lake.schema import tables
from recorder.lake.seal_plan import contains, live_names, supersedes
from recorder.quality.finding import Finding

KNOWN = {"LAKE.json", "lake.sql", "removed.ndjson", "manifest", "schema", "journal", "raw", "closed", "pins", *FOLDERS}
YOUNG_SECONDS = 3600.0  # what a process is still at, or a copy has caught it at
REPORT = "keep the data as it is and report it"


@dataclass(slots=True)
class Listing:
    """Every file of the lake by its name, listed once."""

    root: Path
    places: dict[str, dict[PartName, Path]] = field(default_factory=dict)  # by table
    findings: list[Finding] = field(default_factory=list)

    def live(self, table: str) -> list[Path]:
        """The files that readers read."""
        found = self.places.get(table, {})
        return [found[name] for name in live_names(found)]

    def relative(self, path: Path) -> str:
        return str(path.relative_to(self.root))


def list_lake(root: Path) -> Listing:
    """Look at every file in hot and sealed, and at the top of the lake."""
    listing = Listing(root)
    for path in sorted(root.iterdir()):
        if path.name not in KNOWN and not _is_young_temporary(path):
            listing.findings.append(
                Finding("foreign file", path.name, "not part of a lake", "move it elsewhere", is_problem=False)
            )
    for folder in FOLDERS:
        for table in sorted((root / folder).glob("*")):
            if table.name not in tables():
                listing.findings.append(_foreign(listing, table, "no such table"))
                continue
            for path in sorted(table.rglob("*")):
                if path.is_file() and "_delta_log" not in path.parts:
                    _take(listing, folder, table.name, path)
    return listing


def _take(listing: Listing, folder: str, table: str, path: Path) -> None:
    name = PartName.parse(path.name)
    if name is None:
        if path.name.endswith(".tmp"):
            if not _is_young_temporary(path):
                remedy = "run `recorder seal`; remove it if it stays"
                listing.findings.append(
                    Finding("leftover", listing.relative(path), "a temporary file of a dead process", remedy)
                )
        else:
            listing.findings.append(_foreign(listing, path, "not a name of ours, yet readers may find it"))
        return
    final = DAY if tables()[table].final == "day" else HOUR
    if path.parent.name != f"date={name.date}" or path.parent.parent.name != table:
        listing.findings.append(
            Finding("wrong folder", listing.relative(path), f"belongs in date={name.date}", "move it there")
        )
    elif (name.level == final) != (folder == "sealed"):
        detail = f"level {name.level} does not belong in {folder}"
        listing.findings.append(Finding("wrong folder", listing.relative(path), detail, REPORT))
    listing.places.setdefault(table, {})[name] = path


def _foreign(listing: Listing, path: Path, why: str) -> Finding:
    return Finding("foreign file", listing.relative(path), why, "move it out of the lake")


def _is_young_temporary(path: Path) -> bool:
    try:
        return path.name.endswith(".tmp") and time.time() - path.stat().st_mtime < YOUNG_SECONDS
    except FileNotFoundError:
        return True


def overlaps(listing: Listing) -> Iterator[Finding]:
    """Files that count may not share a seq; files that do not count may hold nothing that is only there."""
    for places in listing.places.values():
        counted = live_names(places)
        for before, after in pairwise(counted):
            if before.rec == after.rec and after.first <= before.last:
                detail = f"shares seq {after.first} to {min(before.last, after.last)} with {before}"
                yield Finding("overlap", listing.relative(places[after]), detail, REPORT)
        merged = {(n.rec, n.level, n.window): n for n in places if n.level != PART}
        inputs: dict[PartName, list[PartName]] = {}
        for name in sorted(set(places) - set(counted)):
            above = [merged.get((name.rec, HOUR, name.window)), merged.get((name.rec, DAY, name.day))]
            holding = [n for n in above if n is not None and supersedes(n, name) and contains(n, name)]
            for other in holding:
                inputs.setdefault(other, []).append(name)
            if not holding:
                detail = "is not read because of a merged file of its window, which does not have its rows"
                yield Finding("hidden rows", listing.relative(places[name]), detail, REPORT)
        for name, below in inputs.items():
            rows = sum(n.rows for n in live_names(below))
            if rows > name.rows:
                detail = f"its inputs have {rows} rows, it has {name.rows}"
                yield Finding("row count", listing.relative(places[name]), detail, REPORT)


def decay(listing: Listing, wanted: set[Path]) -> Iterator[Finding]:
    """Sealed files against the manifest: size and hash; entries whose file is gone."""
    entries = {file: entry for rec in manifest.recorders(listing.root) for file, entry in _entries(listing, rec)}
    sealed = {
        listing.relative(path): path
        for places in listing.places.values()
        for path in places.values()
        if path.is_relative_to(listing.root / "sealed")
    }
    for file, path in sealed.items():
        if path not in wanted:
            continue
        try:
            yield from _compare(file, path, entries.get(file))
        except OSError as error:
            yield Finding("hash", file, f"cannot be read: {error.strerror}", "restore it from a copy")
    removed = {gone.file for gone in read_removed(listing.root)}
    for file in sorted(set(entries) - set(sealed) - removed):
        if not _is_still_hot(listing, file):
            yield Finding("lost file", file, "sealed once, now gone, and no retention removed it", "restore it")


def _entries(listing: Listing, rec: str) -> list[tuple[str, manifest.Entry]]:
    return list(manifest.read(listing.root, rec).items())


def _compare(file: str, path: Path, entry: manifest.Entry | None) -> Iterator[Finding]:
    if entry is None:
        if time.time() - path.stat().st_mtime >= YOUNG_SECONDS:
            yield Finding("manifest", file, "has no entry", "run `recorder seal`")
    elif path.stat().st_size != entry.bytes:
        detail = f"{path.stat().st_size} bytes, the manifest says {entry.bytes}"
        yield Finding("hash", file, detail, "restore it from a copy")
    elif manifest.sha256(path) != entry.sha256:
        yield Finding("hash", file, "is not what was sealed: its SHA-256 differs", "restore it from a copy")


def _is_still_hot(listing: Listing, file: str) -> bool:
    """A copy of a lake may have an entry without its file, if it still has all that the file was made of."""
    name = PartName.parse(Path(file).name)
    table = Path(file).parts[1]
    if name is None:
        return False
    inputs = live_names(n for n in listing.places.get(table, {}) if supersedes(name, n) and contains(name, n))
    return sum(n.rows for n in inputs) == name.rows
