"""Turn closed journal segments into parts: every row exactly once, whatever dies when.

Steps, with the letters of the protocol: B2 write a temporary file for each table, B3 rename it, B4 archive and
remove the segments whose rows are all in parts, B5 mark hours and days of which nothing more will come. A crash
between any two leaves rows in the journal that files cover; those are skipped when it is read again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from recorder.journal.format import HEADER_SIZE, Record
from recorder.journal.reader import first_seq, scan_segment, segments
from recorder.lake.copies import Notes
from recorder.lake.disk import leftovers, make_folder, publish, sync_folder
from recorder.lake.faults import point
from recorder.lake.names import PART, PartName, day_window, hour_of, hour_window, path_of, table_files
from recorder.lake.parquet import write_file
from recorder.lake.raw import Archive, raw_folder
from recorder.lake.rows import RowMaker
from recorder.lake.schema import tables
from recorder.lake.settled import first_record

log = structlog.get_logger()

ROLE = "writer"
BATCH_BYTES = 6 << 20  # of payload: bounds memory, and the size of parts when there is a backlog


@dataclass(slots=True)
class Batch:
    """Records of one hour, in order, and the segments that end with them."""

    hour: int
    records: list[Record] = field(default_factory=list)
    done: list[Path] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)


def batches(paths: Iterable[Path], limit: int = BATCH_BYTES) -> Iterator[Batch]:
    """Cut segments into batches of at most about `limit` bytes of payload."""
    batch, size = Batch(hour=-1), 0
    for path in paths:
        records = scan_segment(path)
        for record in records:
            if batch.records and (record.hour != batch.hour or size >= limit):
                yield batch
                batch, size = Batch(record.hour), 0
            batch.hour = record.hour
            batch.records.append(record)
            size += len(record.payload) + HEADER_SIZE
        (batch.done if records.is_whole else batch.damaged).append(path)
        del records  # its bytes: payloads are copies
    if batch.records or batch.done or batch.damaged:
        yield batch


class PartMaker:
    """The writer's work on one recorder. After an exception make a new one: its memory is ahead of the files.

    Only one may exist for (root, rec), in one process: the holder of WRITER.LOCK.
    """

    def __init__(self, root: Path, rec: str, keep_raw: bool | None = None, reserve: int = 0) -> None:
        """`keep_raw`: archive segments before they go, unless less than `reserve` bytes are free.

        None: if it was done before, so that whoever mends a lake leaves no hole in its archive.
        """
        self.root = root
        self.rec = rec
        self.journal = root / "journal" / rec
        if keep_raw is None:
            keep_raw = raw_folder(root, rec).is_dir()
        self.archive = Archive(root, rec, reserve) if keep_raw else None
        for path in leftovers(root / "hot", ROLE, rec):  # B0
            path.unlink(missing_ok=True)
        self.notes = Notes(root, rec)
        self.made: list[str] = []  # parts that are not noted yet
        self.rows = RowMaker(root, rec)
        self.marked_before = -1  # hours before this one have their marks

    def make(self, paths: Sequence[Path]) -> int:
        """Parts of these closed segments, given in order; returns how many rows went into parts."""
        total = 0
        for batch in batches(paths):
            total += self.write(batch)
            self._retire(batch)
            pa.default_memory_pool().release_unused()
        self.mark_closed()
        return total

    def write(self, batch: Batch) -> int:
        """Parts of a batch (B2, B3); its segments stay. Returns the number of rows."""
        total = 0
        for table, rows in sorted(self.rows.make(batch.records).items()):
            self._write(table, batch.hour, rows)
            total += len(rows)
        return total

    def _write(self, table: str, hour: int, rows: pa.Table) -> None:
        span = pc.min_max(rows.column("seq"))
        name = PartName(self.rec, PART, hour_window(hour), span["min"].as_py(), span["max"].as_py(), len(rows))
        path = path_of(self.root, "hot", table, name)
        make_folder(path.parent)
        publish(path, lambda partial: write_file(partial, table, name, rows), ROLE)
        self.rows.covered[table].add(name)
        self.made.append(f"{table}/{name}")

    def _retire(self, batch: Batch) -> None:
        """B4: their rows are in parts. What is damaged is kept aside for people."""
        going = {*batch.done, *batch.damaged}
        if not going:
            return
        if self.archive is not None:
            for path in (*batch.done, *batch.damaged):
                self.archive.keep(path)
        left = [path for path in segments(self.journal) if path not in going]
        self.notes.add(first_seq(left[0]) - 1 if left else batch.records[-1].seq if batch.records else 0, self.made)
        self.made = []
        point("writer noted")
        for path in batch.done:
            point("writer remove")
            path.unlink(missing_ok=True)
        for path in batch.damaged:
            aside = self.journal / "damaged"
            make_folder(aside)
            point("writer set aside")
            path.rename(aside / path.name)
            log.error("segment damaged, its good records are in parts", segment=path.name, kept=str(aside))
        point("writer removed")
        sync_folder(self.journal)

    def mark_closed(self) -> None:
        """B5: hours before that of the oldest record still in the journal, and their days, get no more rows."""
        now = self._oldest_hour()
        if now is None or now == self.marked_before:
            return
        folder = self.root / "closed"
        today = day_window(now)
        for window in self._hot_windows():
            is_over = window < today if len(window) == 8 else hour_of(window) < now
            mark = folder / f"{self.rec}~{window}"
            if is_over and not mark.exists():
                point("writer mark")
                mark.touch()
        sync_folder(folder)
        point("writer marked")
        self.marked_before = now

    def _oldest_hour(self) -> int | None:
        """Hour of the first record that is not in parts yet; None while there is none."""
        for path in segments(self.journal):
            record = first_record(path)
            if record is not None:
                return record.hour
        return None

    def _hot_windows(self) -> list[str]:
        """Hours and days that have hot files."""
        windows = set()
        for table in tables():
            for path in table_files(self.root, table, self.rec, folders=("hot",)):
                name = PartName.parse(path.name)
                if name is not None:
                    windows |= {name.window, name.day}
        return sorted(windows)


def make_parts(root: Path, rec: str, paths: Sequence[Path]) -> int:
    """Parts of these closed segments of a recorder whose writer does not run; returns the number of rows."""
    return PartMaker(root, rec).make(paths)
