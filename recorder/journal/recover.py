"""What the last run left behind, put in order before the next one appends. Call it holding LOCK.

The newest segment may end in a record that was cut short: it is cut off. Any other segment that does not
read to its end is damaged: it is kept under `damaged/`, its good records stay in place, and the loss is
reported so that it becomes a gap. Nothing found here ever keeps the recorder from starting.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recorder.errors import JournalError
from recorder.journal.disk import sync_folder
from recorder.journal.format import Kind, Record
from recorder.journal.reader import first_seq, scan_segment, segments


@dataclass(frozen=True, slots=True)
class Cut:
    """A torn tail that was cut off the newest segment."""

    file: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Records that are lost in the middle: `first_seq` to `last_seq`, between these two moments."""

    file: str
    bytes: int
    first_seq: int
    last_seq: int
    from_ns: int | None  # of the last good record before; None if there is none
    to_ns: int | None  # of the first good record after


@dataclass(slots=True)
class Recovery:
    """Where the next run starts."""

    next_seq: int = 1
    last_ns: int | None = None  # receive_ns of the last record; None without any
    last_monotonic_ns: int | None = None
    last_hour: int = 0
    last_of_line: dict[int, int] = field(default_factory=dict)  # line -> receive_ns of its last frame
    head: dict[str, Any] | None = None  # the newest `segment` event
    events: list[tuple[int, dict[str, Any]]] = field(default_factory=list)  # (receive_ns, event) after it
    cuts: list[Cut] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)


def recover(folder: Path, at_least: int = 1, on_record: Callable[[Record], None] = lambda _: None) -> Recovery:
    """Mend `folder` and say where to go on; seqs are at least `at_least` (what file names of the lake tell).

    `on_record` is given every good record, in order.

    Raises JournalError only if the folder itself cannot be read or mended.
    """
    try:
        return _recover(folder, at_least, on_record)
    except OSError as error:
        raise JournalError(
            f"{error.filename or folder}: the journal cannot be recovered: {error.strerror}; "
            "check the disk and that this user may write there"
        ) from error


def _recover(folder: Path, at_least: int, on_record: Callable[[Record], None]) -> Recovery:
    found = Recovery(next_seq=max(1, at_least))
    (folder / ".next.tmp").unlink(missing_ok=True)
    paths = segments(folder)
    pending: tuple[Path, int, int, int | None] | None = None  # damage that waits for the record after it
    for path in paths:
        scan = scan_segment(path)
        first: Record | None = None
        record: Record | None = None
        for record in scan:
            first = first or record
            _note(found, record)
            on_record(record)
        if pending and first:
            found.damages.append(_damage(pending, first.seq - 1, first.receive_ns))
            pending = None
        if not scan.is_whole:
            size = len(scan.buffer) - scan.good
            if path != paths[-1] or scan.is_corrupt:
                lost_from = record.seq + 1 if record else first_seq(path)
                if pending is None:
                    pending = (path, size, lost_from, record.receive_ns if record else found.last_ns)
                _set_aside(path, scan.buffer, scan.good)
            else:
                _cut(path, scan.good)
                found.cuts.append(Cut(path.name, size))
        found.next_seq = max(found.next_seq, first_seq(path) + 1)
    if pending:
        found.damages.append(_damage(pending, found.next_seq, None))
    return found


def _note(found: Recovery, record: Record) -> None:
    found.next_seq = max(found.next_seq, record.seq + 1)
    found.last_ns, found.last_monotonic_ns = record.receive_ns, record.monotonic_ns
    found.last_hour = max(found.last_hour, record.hour)
    if record.kind in (Kind.TEXT, Kind.BINARY):
        found.last_of_line[record.line] = record.receive_ns
    if record.kind == Kind.EVENT:
        try:
            event = json.loads(record.payload)
        except ValueError:
            return
        if event.get("event") == "segment":
            found.head, found.events = event, []
        else:
            found.events.append((record.receive_ns, event))


def _damage(pending: tuple[Path, int, int, int | None], last: int, to_ns: int | None) -> Damage:
    path, size, lost_from, from_ns = pending
    return Damage(path.name, size, lost_from, max(last, lost_from), from_ns, to_ns)


def _cut(path: Path, good: int) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        os.ftruncate(fd, good)
        os.fsync(fd)
    finally:
        os.close(fd)


def _set_aside(path: Path, content: bytes, good: int) -> None:
    """Keep the damaged file under damaged/, and put its good records in its place."""
    damaged = path.parent / "damaged"
    damaged.mkdir(exist_ok=True)
    kept, number = damaged / path.name, 1
    while kept.exists():
        kept, number = damaged / f"{path.name}.{number}", number + 1
    os.link(path, kept)  # the original until the replacement is whole: a crash in between loses nothing
    partial = path.with_suffix(".tmp")
    with partial.open("wb") as file:
        file.write(content[:good])
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(damaged)
    sync_folder(path.parent)
