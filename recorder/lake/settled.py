"""Up to which moment a lake is settled: every row that arrived by then is in files, and none will be added.

The journal tells: what arrived before its oldest record is in parts. A copy of a lake that was taken while it grew
is settled up to the end of the journal that it has.
"""

import fcntl
import os
from pathlib import Path

import pyarrow.compute as pc

from recorder.journal.format import Record, scan
from recorder.journal.reader import read_segment, segments
from recorder.lake.names import PartName, table_files
from recorder.lake.rows import decode_rows
from recorder.lake.schema import tables

SKEW_NS = 1_000_000_000  # a frame is stamped when it arrives, and reaches the journal at most this much later
HEAD_BYTES = 1 << 16  # of a segment; nearly always enough to read its first record


def settled_ns(root: Path, now_ns: int) -> int:
    """The greatest T, Unix ns, for which the rows with receive_ns <= T will be the same for ever.

    A clock of the recorder that is set back later may still bring rows with an earlier stamp.
    """
    folders = [path for path in (root / "journal").glob("*") if path.is_dir()]
    return min((_settled(root, folder, now_ns) for folder in folders), default=now_ns)


def _settled(root: Path, folder: Path, now_ns: int) -> int:
    is_running = holder(folder / "LOCK") is not None
    paths = segments(folder)
    oldest = next((record for path in paths if (record := first_record(path)) is not None), None)
    if oldest is None:
        return now_ns
    if is_running or len(paths) > 1:
        return min(now_ns, oldest.receive_ns - SKEW_NS)
    return min(now_ns, _settled_at_rest(root, folder.name, paths[0], now_ns))


def _settled_at_rest(root: Path, rec: str, path: Path, now_ns: int) -> int:
    """Of a recorder that does not run and has left one segment."""
    try:
        records = read_segment(path)
    except FileNotFoundError:
        return now_ns
    waiting: list[int] = [
        pc.min(rows.column("receive_ns")).as_py() for rows in decode_rows(root, rec, records).values()
    ]
    if waiting:
        return min(waiting) - 1
    names = (PartName.parse(file.name) for table in tables() for file in table_files(root, table, rec))
    if max((name.last for name in names if name is not None), default=0) > records[-1].seq:
        return records[-1].receive_ns - SKEW_NS  # a copy: some tables go further than its journal, others do not
    return now_ns


def first_record(path: Path) -> Record | None:
    """None for a segment without records, or one that has gone."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            return next(iter(scan(head)), None) or next(iter(scan(head + file.read())), None)
    except FileNotFoundError:
        return None


def holder(lock: Path) -> int | None:
    """The process that holds a lock (0 if it has not said who it is), or None. Never waits."""
    try:
        file = os.open(lock, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(file, 32, 0).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(file)  # gives back what we may have taken
    return None
