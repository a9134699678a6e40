"""`recorder seal`: put in order everything that a stopped recorder left, and seal all that is over.

Recover the journal, make parts of all its segments, mark what is closed, merge. The newest segment stays: its
name carries the next seq, and its events tell the next run which streams were alive.
"""

import os
import time
from contextlib import ExitStack
from pathlib import Path

from recorder.journal.format import HOUR_NS
from recorder.journal.lock import Lock
from recorder.journal.reader import segments
from recorder.journal.recover import recover
from recorder.lake.copies import copy_faults
from recorder.lake.disk import sync_folder
from recorder.lake.faults import point
from recorder.lake.layout import check_format
from recorder.lake.names import PartName, day_window, hour_window, table_files
from recorder.lake.parts import PartMaker
from recorder.lake.schema import tables
from recorder.lake.seal import GRACE_SECONDS, seal
from recorder.lake.seal_pass import SealReport

MARGIN_HOURS = 1  # hours that must have passed since the last row: a clock may be set back a little


def seal_all(root: Path, rec: str, *, gc_grace_seconds: float = GRACE_SECONDS, now_ns: int | None = None) -> SealReport:
    """Recover, make parts, close and seal. Raises BusyError while the recorder, its writer or a sealer runs."""
    check_format(root)
    folder = root / "journal" / rec
    folder.mkdir(parents=True, exist_ok=True)
    moment = time.time_ns() if now_ns is None else now_ns
    with ExitStack() as locks:
        locks.enter_context(Lock(folder / "LOCK", "recorder"))
        locks.enter_context(Lock(folder / "WRITER.LOCK", "writer"))
        recovery = recover(folder)
        _make_parts(root, rec, folder)
        close_past(root, rec, moment // HOUR_NS - MARGIN_HOURS)
        report = seal(root, rec, gc_grace_seconds=gc_grace_seconds, now_ns=moment)
    report.cut += [f"{cut.file}: {cut.bytes} bytes of a torn record were cut off" for cut in recovery.cuts]
    report.damaged += [
        f"{lost.file}: records {lost.first_seq} to {lost.last_seq} are lost, the file is kept under damaged/"
        for lost in recovery.damages
    ]
    report.copied += [str(fault) for fault in copy_faults(root) if fault.rec == rec]
    return report


def _make_parts(root: Path, rec: str, folder: Path) -> None:
    for left in folder.glob(".sealing-*.tmp"):
        left.unlink()
    paths = segments(folder)
    maker = PartMaker(root, rec)
    maker.make(paths[:-1])
    if paths:
        link = folder / f".sealing-{paths[-1].name}.tmp"  # the writer removes what it has read: the link, not the file
        os.link(paths[-1], link)
        point("seal linked")
        maker.make([link])


def close_past(root: Path, rec: str, hour: int) -> None:
    """Mark the windows with hot files that ended before `hour` (since 1970) began. The journal must be in parts."""
    folder = root / "closed"
    this_hour, this_day = hour_window(hour), day_window(hour)
    for table in tables():
        for path in table_files(root, table, rec, folders=("hot",)):
            name = PartName.parse(path.name)
            if name is None:
                continue
            for window, now in ((name.window, this_hour), (name.day, this_day)):
                mark = folder / f"{rec}~{window}"
                if window < now[: len(window)] and not mark.exists():
                    point("seal mark")
                    mark.touch()
    sync_folder(folder)
