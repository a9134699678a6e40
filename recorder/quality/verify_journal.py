"""The journal against the files: what a file's name covers is in the lake, and what waits does not wait long."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recorder.journal.format import Record
from recorder.journal.reader import closed_segments, scan_segment
from recorder.lake.checks import Checks
from recorder.lake.names import Covered, PartName
from recorder.quality.finding import Finding
from recorder.quality.verify_tree import Listing
from recorder.venues.hashkey.decode import Context, decode

WRITER_SECONDS = 600.0  # a closed segment that is older waits for a writer that does not run
ONLY_CHANGES = {"instrument"}  # not every decoded row becomes a stored one


def check_journal(listing: Listing, checks: Checks) -> Iterator[Finding]:
    """Each closed segment that is still there, decoded again."""
    for folder in sorted(path for path in (listing.root / "journal").glob("*") if path.is_dir()):
        damaged = sorted((folder / "damaged").glob("*"))
        if damaged:
            detail = f"{len(damaged)} damaged segments are kept; coverage has the gaps"
            yield Finding("damaged", listing.relative(damaged[0].parent), detail, "", is_problem=False)
        for path in closed_segments(folder):
            try:
                age = time.time() - path.stat().st_mtime
                found = scan_segment(path)
                records = list(found)
            except FileNotFoundError:
                continue  # became parts in the meantime
            where = listing.relative(path)
            if not found.is_whole:
                detail = f"damaged after {found.good} of {len(found.buffer)} bytes"
                yield Finding("journal", where, detail, "the next start keeps it aside and records the gap")
            yield from _check_segment(listing, checks, folder.name, where, records, age)


def _check_segment(
    listing: Listing, checks: Checks, rec: str, where: str, records: list[Record], age: float
) -> Iterator[Finding]:
    waiting = 0
    for table, columns in decode(records, Context()).items():
        names = [name for name in listing.places.get(table, {}) if name.rec == rec]
        seqs = columns["seq"].to_numpy()
        covered = Covered(names).covers(seqs)
        waiting += int((~covered).sum())
        if table in ONLY_CHANGES or not covered.any():
            continue
        files = [path for path in listing.live(table) if _name(path).rec == rec]
        missing = _missing(checks, table, columns, covered, files)
        if missing is not None:
            detail = f"a row of {table}, seq {missing}, counts as stored and is in no file"
            yield Finding("lost row", where, detail, "keep the journal and report it")
    if waiting and age > WRITER_SECONDS:
        detail = f"up to {waiting} rows wait for the writer since {age / 60:.0f} minutes"
        yield Finding("journal", where, detail, "run `recorder run` or `recorder seal`", is_problem=False)


def _missing(checks: Checks, table: str, columns: dict[str, Any], covered: Any, files: list[Path]) -> int | None:
    """seq of a covered row that the files do not hold."""
    seqs = columns["seq"].to_numpy()[covered]
    places = seqs * 32768 + columns["idx"].to_numpy()[covered]
    within = [path for path in files if _name(path).last >= seqs.min() and _name(path).first <= seqs.max()]
    held = checks.rows_between(within, int(seqs.min()), int(seqs.max()))
    absent = ~np.isin(places, held)
    if table == "trade" and absent.any():
        absent = _unknown_trades(checks, columns, covered, absent, files)
    return int(seqs[absent][0]) if absent.any() else None


def _unknown_trades(checks: Checks, columns: dict[str, Any], covered: Any, absent: Any, files: list[Path]) -> Any:
    """A trade that is absent must be a repetition of one that is stored."""
    rows = pa.table({name: columns[name] for name in ("venue", "symbol", "trade_id")}).filter(pa.array(covered))
    unknown = absent.copy()
    asked: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for at in np.flatnonzero(absent).tolist():
        venue, symbol, trade_id = (rows.column(column)[at].as_py() for column in range(3))
        if trade_id is not None:
            asked.setdefault((venue, symbol), []).append((at, trade_id))
    for (venue, symbol), pairs in asked.items():
        held = checks.known_trades(files, venue, symbol, [trade_id for _, trade_id in pairs])
        for at, trade_id in pairs:
            unknown[at] = trade_id not in held
    return unknown


def _name(path: Path) -> PartName:
    name = PartName.parse(path.name)
    assert name is not None, path
    return name
