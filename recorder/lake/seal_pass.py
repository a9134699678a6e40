"""One pass of the sealer: merge what is closed (S1, S2), remove what was merged long enough ago (S3, S4).

Every step may be the last: names decide what counts, so that the next pass finds out by itself what is left.
A window that cannot be merged is told of and left as it is; the others go on.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from recorder.errors import LakeError
from recorder.lake import manifest
from recorder.lake.disk import leftovers, make_folder, publish
from recorder.lake.faults import point
from recorder.lake.names import PART, PartName, path_of
from recorder.lake.parquet import open_writer
from recorder.lake.pins import pinned_files
from recorder.lake.schema import tables
from recorder.lake.seal_merge import merge
from recorder.lake.seal_plan import (
    Merge,
    check_order,
    contains,
    plan_merges,
    supersedes,
    window_is_empty,
)

log = structlog.get_logger()

ROLE = "sealer"
OLD_FOLDER_NS = 2 * 86_400 * 1_000_000_000  # an empty date folder older than this gets no more files


class Stopped(Exception):
    """The sealer was asked to end; what it was merging is merged again by the next one."""


@dataclass(slots=True)
class SealReport:
    """What one pass did; paths are relative to the lake."""

    merged: list[str] = field(default_factory=list)
    rows: int = 0
    removed: list[str] = field(default_factory=list)
    unmarked: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)  # one line each: what, why
    cut: list[str] = field(default_factory=list)  # torn tails of the journal, by seal_all
    damaged: list[str] = field(default_factory=list)  # lost stretches of the journal, by seal_all
    copied: list[str] = field(default_factory=list)  # what a lake lacks that was copied while it grew, by seal_all
    stopped: bool = False

    def __add__(self, other: "SealReport") -> "SealReport":
        """Both passes as one."""
        return SealReport(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


@dataclass(slots=True)
class Sealer:
    """The work on one recorder; made by the holder of SEALER.LOCK only."""

    root: Path
    rec: str
    now_ns: int
    grace_ns: int
    should_stop: Callable[[], bool]
    report: SealReport = field(default_factory=SealReport)
    settled: dict[tuple[str, PartName], bool] = field(default_factory=dict)  # merged files whose inputs may go

    def run(self) -> SealReport:
        for folder in ("hot", "sealed"):
            for path in leftovers(self.root / folder, ROLE, self.rec):
                path.unlink(missing_ok=True)
        try:
            self._note_missing()
            for table in tables().values():
                for job in plan_merges(table.name, table.final, self._names(table.name), self._marks()):
                    self._try_merge(job)
            self._clean()
        except Stopped:
            self.report.stopped = True
        return self.report

    # S1 and S2

    def _try_merge(self, job: Merge) -> None:
        try:
            check_order(job)
            self._merge(job)
        except (LakeError, OSError, pa.ArrowException) as error:
            self.report.failed.append(f"{job.table} {job.output.window}: {error}")
            log.error("merge failed, its inputs stay", table=job.table, window=job.output.window, error=str(error))

    def _merge(self, job: Merge) -> None:
        begun = time.monotonic()
        path = path_of(self.root, job.folder, job.table, job.output)
        digests: list[str] = []
        make_folder(path.parent)
        publish(path, lambda partial: digests.append(self._write(job, partial)), ROLE)
        if job.folder == "sealed":
            point("S2 published")
            manifest.append(self.root, self.rec, [manifest.make_entry(self.root, path, self.now_ns, digests[0])])
            point("S2 noted")
        self.report.merged.append(str(path.relative_to(self.root)))
        self.report.rows += job.output.rows
        log.info(
            "merged",
            table=job.table,
            window=job.output.window,
            rows=job.output.rows,
            inputs=len(job.inputs),
            bytes=path.stat().st_size,
            seconds=round(time.monotonic() - begun, 1),
        )

    def _write(self, job: Merge, partial: Path) -> str:
        table = tables()[job.table]
        paths = [self._place(job.table, name) for name in job.inputs]
        try:
            with open_writer(partial, table, job.output, final=True) as writer:

                def write(rows: pa.Table) -> None:
                    rows = rows.replace_schema_metadata(writer.schema.metadata)
                    writer.write_table(rows, row_group_size=len(rows))
                    point("S1 group")

                merge(table, paths, write, self._proceed, partial.with_suffix(".spill.tmp"))
        finally:
            pa.default_memory_pool().release_unused()
        written = pq.read_metadata(partial).num_rows
        if written != job.output.rows:
            raise LakeError(f"{written} rows came out, names say {job.output.rows}; run `recorder verify`")
        return manifest.sha256(partial)

    def _proceed(self) -> None:
        if self.should_stop():
            raise Stopped

    def _place(self, table: str, name: PartName) -> Path:
        for folder in ("hot", "sealed"):
            path = path_of(self.root, folder, table, name)
            if path.exists():
                return path
        raise LakeError(f"{name} is gone; list again")

    def _note_missing(self) -> None:
        """A crash may have come between publishing a sealed file and noting it."""
        for path in manifest.missing(self.root, self.rec):
            self._proceed()
            manifest.append(self.root, self.rec, [manifest.make_entry(self.root, path, self.now_ns)])

    # S3 and S4

    def _clean(self) -> None:
        try:
            pinned = pinned_files(self.root)
        except LakeError as error:
            self.report.failed.append(f"nothing is removed: {error}")
            log.error("nothing is removed", error=str(error))
            return
        left: list[PartName] = []
        for table in tables():
            hot = self._names(table, ("hot",))
            merged = [n for n in (*hot, *self._names(table, ("sealed",))) if n.level != PART]
            for name in sorted(hot, key=lambda n: n.level != PART):  # an hour file goes after its parts
                path = path_of(self.root, "hot", table, name)
                if not self._may_go(table, name, merged) or str(path.relative_to(self.root)) in pinned:
                    left.append(name)
                    continue
                point("S3 before")
                path.unlink(missing_ok=True)
                self.report.removed.append(str(path.relative_to(self.root)))
                point("S3 after")
            self._drop_old_folders(table)
        for window in sorted(self._marks()):
            if window_is_empty(window, left):
                point("S4 before")
                (self.root / "closed" / f"{self.rec}~{window}").unlink(missing_ok=True)
                self.report.unmarked.append(window)
                point("S4 after")

    def _may_go(self, table: str, name: PartName, merged: list[PartName]) -> bool:
        """Whether a merged file holds its rows, appeared long enough ago, and is whole."""
        above = [other for other in merged if supersedes(other, name)]
        holding = [other for other in above if contains(other, name)]
        if above and not holding:
            self.report.failed.append(f"{table} {name}: came after its window was merged; run `recorder verify`")
            log.error("part came after its window was merged; it is kept but not read", table=table, file=str(name))
        return any(self._is_settled(table, other) for other in holding)

    def _is_settled(self, table: str, name: PartName) -> bool:
        if (table, name) not in self.settled:
            try:
                path = self._place(table, name)
                is_old = self.now_ns - path.stat().st_mtime_ns >= self.grace_ns
                self.settled[table, name] = is_old and pq.read_metadata(path).num_rows == name.rows
            except (OSError, LakeError, pa.ArrowException) as error:
                self.settled[table, name] = False
                self.report.failed.append(f"{table} {name}: cannot be read ({error}); its inputs stay")
        return self.settled[table, name]

    def _drop_old_folders(self, table: str) -> None:
        limit = time.strftime("date=%Y-%m-%d", time.gmtime((self.now_ns - OLD_FOLDER_NS) // 1_000_000_000))
        for folder in (self.root / "hot" / table).glob("date=*"):
            if folder.name < limit:
                with suppress(OSError):  # not empty
                    folder.rmdir()

    # Names

    def _marks(self) -> set[str]:
        """Windows of this recorder that are closed."""
        with suppress(FileNotFoundError):
            marks = [path.name for path in (self.root / "closed").iterdir()]
            return {mark.split("~", 1)[1] for mark in marks if mark.startswith(f"{self.rec}~")}
        return set()

    def _names(self, table: str, folders: tuple[str, ...] = ("hot", "sealed")) -> list[PartName]:
        """Names of a table on the dates that have hot files."""
        dates = sorted(path.name for path in (self.root / "hot" / table).glob("date=*"))
        return [name for folder in folders for date in dates for name in self._listed(folder, table, date)]

    def _listed(self, folder: str, table: str, date: str) -> Iterator[PartName]:
        with suppress(FileNotFoundError):
            for path in sorted((self.root / folder / table / date).iterdir()):
                name = PartName.parse(path.name)
                if name is not None and name.rec == self.rec:
                    yield name
