"""`recorder verify`: is the lake what it claims to be? Every check, one finding for each thing that is wrong.

Safe while the recorder runs: the files are listed once, and one that is merged away meanwhile is not a finding.
Memory is that of a row group here and of a bounded DuckDB in `lake.checks`.
"""

import importlib.util
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from recorder.errors import LakeError
from recorder.lake.checks import Checks, coverage_faults
from recorder.lake.copies import copy_faults
from recorder.lake.layout import check_format
from recorder.lake.names import PartName
from recorder.lake.schema import tables
from recorder.lake.times import Moment, moment
from recorder.quality.finding import Finding
from recorder.quality.verify_coverage import check_coverage
from recorder.quality.verify_journal import check_journal
from recorder.quality.verify_rows import check_rows
from recorder.quality.verify_tree import Listing, decay, list_lake, overlaps

ENOUGH_TRADES = 100  # before a share of them means anything
FEWEST_AGREE = 0.5

__all__ = ["Finding", "verify"]


def verify(root: Path, start: Moment = None, end: Moment = None) -> list[Finding]:
    """What is wrong, and notes; contents only of files whose date of arrival touches [start, end).

    Raises LakeError if there is no lake at `root`.
    """
    check_format(root)
    root = root.absolute()
    return list(_verify(root, moment(start), moment(end)))


def _verify(root: Path, start: datetime | None, end: datetime | None) -> Iterator[Finding]:
    checks = Checks()
    listing = list_lake(root)
    wanted = {table: _chosen(listing.live(table), start, end) for table in tables()}
    yield from listing.findings
    yield from overlaps(listing)
    yield from decay(listing, {path for paths in wanted.values() for path in paths})
    for fault in copy_faults(root):
        yield Finding("copy", f"journal/{fault.rec}", fault.what, fault.remedy, fault.is_problem)
    if not has_polars():
        yield Finding("other reader", "polars", "is not installed; files were read by DuckDB only", "", False)
    for name, paths in wanted.items():
        for path in paths:
            try:
                found = list(check_rows(path, listing.relative(path), tables()[name]))
                yield from found or _read_by_others(checks, path, listing.relative(path))
                pa.default_memory_pool().release_unused()
            except FileNotFoundError:
                if _still_counts(listing, name, path):
                    yield Finding("lost file", listing.relative(path), "has gone while we looked", "restore it")
    yield from _check_trades(checks, listing, wanted)
    try:
        for stream, what in coverage_faults(root):
            yield Finding("coverage", stream, what, "keep the data as it is and report it")
        yield from check_coverage(root, start, end)
    except LakeError as error:
        yield Finding("coverage", str(root), str(error), "mend the files above first")
    yield from check_journal(list_lake(root), checks)


def _chosen(paths: list[Path], start: datetime | None, end: datetime | None) -> list[Path]:
    first = f"date={start:%Y-%m-%d}" if start else ""
    last = f"date={end:%Y-%m-%d}" if end else "date=9999"
    return [path for path in paths if first <= path.parent.name <= last]


def _still_counts(listing: Listing, table: str, path: Path) -> bool:
    return path in list_lake(listing.root).live(table)


def _read_by_others(checks: Checks, path: Path, where: str) -> Iterator[Finding]:
    """DuckDB and Polars read every value and come to the same rows."""
    name = PartName.parse(path.name)
    assert name is not None, path
    try:
        rows, total = checks.read_all(path)
    except LakeError as error:
        if path.exists():
            yield Finding("other reader", where, f"DuckDB cannot read it: {error}", "keep it and report it")
        return
    if rows != name.rows:
        yield Finding("other reader", where, f"DuckDB reads {rows} rows of {name.rows}", "keep it and report it")
    if not has_polars():
        return
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # looked at when it is first imported; each takes memory
    import polars

    try:
        lazy = polars.scan_parquet(path, hive_partitioning=False)
        rows_read = lazy.select(polars.len(), polars.col("seq").sum().alias("total"), nulls=_nulls())
        found = rows_read.collect(engine="streaming")  # books of many levels need much memory otherwise
    except Exception as error:  # whatever another reader says is a finding, not our end
        if path.exists():
            detail = f"Polars cannot read it: {str(error).splitlines()[0]}"
            yield Finding("other reader", where, detail, "keep it and report it")
        return
    if found.row(0)[:2] != (rows, total):
        detail = f"Polars reads {found.row(0)[:2]}, DuckDB {(rows, total)} (rows, sum of seq)"
        yield Finding("other reader", where, detail, "keep it and report it")


def _nulls() -> "polars.Expr":  # type: ignore[name-defined]  # noqa: F821
    import polars

    return polars.sum_horizontal(polars.all().is_null().sum())


def has_polars() -> bool:
    return importlib.util.find_spec("polars") is not None


def _check_trades(checks: Checks, listing: Listing, wanted: dict[str, list[Path]]) -> Iterator[Finding]:
    """Each (venue, symbol, trade_id) once per recorder, and whether the taker's side is read the right way."""
    by_recorder: dict[str, list[Path]] = {}
    for path in wanted["trade"]:
        by_recorder.setdefault(path.name.split("~")[0], []).append(path)
    try:
        for rec, paths in by_recorder.items():
            for venue, symbol, trade_id, times in checks.repeated_trades(paths):
                detail = f"trade_id {trade_id} is there {times} times"
                yield Finding("repeated trade", f"trade {rec} {venue} {symbol}", detail, "keep it and report it")
        if wanted["trade"] and wanted["bbo"]:
            decided, agreed = checks.taker_agreement(wanted["trade"], wanted["bbo"])
            if decided:
                share = agreed / decided
                detail = f"{share:.1%} of {decided} trades at the quote before them agree with buyer_is_maker"
                wrong = decided >= ENOUGH_TRADES and share < FEWEST_AGREE
                remedy = "do not trust taker_side until this is understood" if wrong else ""
                yield Finding("taker side", "trade", detail, remedy, is_problem=wrong)
    except checks.Error as error:
        yield Finding("other reader", "trade", str(error).splitlines()[0], "mend the files above first")
