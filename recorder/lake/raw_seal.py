"""`recorder seal --from-raw DIR`: a new lake, decoded from raw archives or segments as if they arrived once more.

The same decoder, the same parts, the same sealer: if the raw data reach back to the first frame, the rows are those
of the lake that they came from. What the raw data lack becomes a gap. A run that was cut short goes on where it was.
"""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from recorder.errors import LakeError
from recorder.journal.format import BACKFILL, HOUR_NS, Kind, Line, Record
from recorder.journal.lock import Lock
from recorder.journal.reader import segments
from recorder.lake.disk import make_folder, publish_text
from recorder.lake.faults import point
from recorder.lake.layout import init_lake
from recorder.lake.names import day_window, table_files
from recorder.lake.parts import Batch, PartMaker
from recorder.lake.raw import ARCHIVE, read_raw, sources
from recorder.lake.schema import tables
from recorder.lake.seal import seal
from recorder.lake.seal_all import MARGIN_HOURS, close_past
from recorder.lake.seal_pass import SealReport
from recorder.lake.views import lake_sql

MARK = "from-raw"  # in the journal's folder while the work is under way
BATCH_BYTES = 6 << 20
MISSING = "no raw data"
NO_GRACE = -3600.0  # seconds: nobody reads the lake yet, so that inputs go as soon as they are merged


@dataclass(frozen=True, slots=True)
class Hole:
    """Seqs that the raw data lack, and the arrivals of the records around them."""

    first: int
    last: int
    from_ns: int
    to_ns: int
    streams: tuple[tuple[str, str], ...]  # (channel, symbol) of what was live before or after

    def __str__(self) -> str:
        return f"seq {self.first} to {self.last} are in no archive; {len(self.streams)} streams get a gap"


@dataclass(slots=True)
class RawReport:
    """What was made of the raw data."""

    sources: int = 0
    records: int = 0
    rows: int = 0
    damaged: list[str] = field(default_factory=list)  # files that could not be read to their end
    holes: list[Hole] = field(default_factory=list)
    sealed: SealReport = field(default_factory=SealReport)

    @property
    def is_whole(self) -> bool:
        return not (self.damaged or self.holes or self.sealed.failed)

    def __add__(self, other: "RawReport") -> "RawReport":
        """Both recorders as one."""
        return RawReport(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


def seal_from_raw(raw: Path, root: Path, rec: str, *, now_ns: int | None = None) -> RawReport:
    """Decode what is below `raw` into a lake at `root`, and seal what is over.

    Data of one recorder become those of `rec`; a recorder and its backfill, each with its own seqs, keep their names.
    Raises LakeError if there is nothing to decode, or data of several, or `root` holds rows of such a recorder from
    elsewhere; BusyError while somebody writes there.
    """
    found = sources(raw)
    owners = sorted({name.removesuffix(BACKFILL) for name in found})
    if len(owners) > 1:
        raise LakeError(
            f"{raw}: raw data of several recorders ({', '.join(owners)}), and a lake has one; name one's folder"
        )
    if len(found) == 1:
        found = {rec: next(iter(found.values()))}
    moment = time.time_ns() if now_ns is None else now_ns
    init_lake(root, {"lake.sql": lake_sql()})
    folders = [root / "journal" / name for name in found]
    report = RawReport()
    with ExitStack() as locks:
        for name, folder in zip(found, folders, strict=True):
            make_folder(folder)
            locks.enter_context(Lock(folder / "LOCK", "recorder"))
            locks.enter_context(Lock(folder / "WRITER.LOCK", "writer"))
            _begin(root, name, folder)
        for name, paths in found.items():
            work = _Work(root, name, moment)
            for batch in _batches(work.records(paths)):
                work.take(batch)
            work.tell_holes()
            work.seal(moment // HOUR_NS - MARGIN_HOURS)
            report += work.report
        point("raw sealed")
        for folder in folders:
            (folder / MARK).unlink()
    return report


def _begin(root: Path, rec: str, folder: Path) -> None:
    if (folder / MARK).exists():
        return
    if segments(folder) or any(table_files(root, table, rec) for table in tables()):
        raise LakeError(
            f"{root}: holds rows of recorder {rec!r} already; name an empty directory with --data, "
            "or another [data] recorder"
        )
    publish_text(folder / MARK, "a lake is being made from raw data; run the same command again if it was cut short\n")


def _batches(records: Iterable[Record]) -> Iterator[Batch]:
    """Cut at each hour, and at about as much as the writer takes at once."""
    batch, size = Batch(hour=-1), 0
    for record in records:
        if batch.records and (record.hour != batch.hour or size >= BATCH_BYTES):
            yield batch
            batch, size = Batch(record.hour), 0
        batch.hour = record.hour
        batch.records.append(record)
        size += len(record.payload)
    if batch.records:
        yield batch


class _Work:
    """Reads in order, makes parts, seals each day once it is over."""

    def __init__(self, root: Path, rec: str, now_ns: int) -> None:
        self.root = root
        self.rec = rec
        self.now_ns = now_ns
        self.report = RawReport()
        self.maker = PartMaker(root, rec, keep_raw=False)
        self.last: Record | None = None
        self.state = _State()
        self.told: set[tuple[int, int]] = set()  # holes of which the recorder itself knew
        self.day = ""

    def records(self, paths: Iterable[Path]) -> Iterator[Record]:
        """Every record once, in order; notes what is missing in between."""
        for path in paths:
            found = read_raw(path)
            for record in found:
                if self.last is not None and record.seq <= self.last.seq:
                    continue  # in an archive and in its segment
                before = self.state
                if record.kind == Kind.EVENT:
                    self._learn(record)
                if self.last is not None and record.seq > self.last.seq + 1:
                    self._note_hole(self.last, record, before)
                self.last = record
                self.report.records += 1
                yield record
            self.report.sources += 1
            if not found.is_whole and (found.is_corrupt or path.name.endswith(ARCHIVE)):
                self.report.damaged.append(f"{path}: cannot be read after {found.good} bytes of its records")

    def _learn(self, record: Record) -> None:
        try:
            event = json.loads(record.payload)
        except ValueError:
            return
        if event.get("event") == "segment":
            self.state = _State.of(event)
        elif event.get("event") == "gap" and event.get("seq_before") is not None:
            self.told.add((event["seq_before"], event.get("seq_after") or 0))

    def _note_hole(self, before: Record, after: Record, then: "_State") -> None:
        if after.seq == before.seq + 2 and then.session != self.state.session:
            return  # a segment without its head: the process died as it began it, and the next one says what was lost
        streams = tuple(sorted(then.live | self.state.live))
        self.report.holes.append(
            Hole(before.seq + 1, after.seq - 1, before.receive_ns, max(before.receive_ns, after.receive_ns), streams)
        )

    def take(self, batch: Batch) -> None:
        day = day_window(batch.hour)
        if self.day and day > self.day:
            self.seal(min(batch.hour, self.now_ns // HOUR_NS - MARGIN_HOURS))
        self.day = day
        self.report.rows += self.maker.write(batch)
        self.maker.made.clear()  # no segment goes, so that nothing is noted

    def tell_holes(self) -> None:
        """A gap for each stream that was live around a hole, after all other rows."""
        self.report.holes = [h for h in self.report.holes if (h.first - 1, h.last + 1) not in self.told]
        if self.last is None or not self.report.holes:
            return
        made: list[Record] = []
        for hole in self.report.holes:
            for channel, symbol in hole.streams:
                fields = {"from_ns": hole.from_ns, "to_ns": hole.to_ns, "healed": False}
                seqs = {"seq_before": hole.first - 1, "seq_after": hole.last + 1}
                event = {"event": "gap", "channel": channel, "symbol": symbol, "reason": MISSING, **fields, **seqs}
                made.append(
                    self.last._replace(
                        seq=self.last.seq + 1 + len(made),
                        conn=0,
                        kind=Kind.EVENT,
                        line=Line.OWN,
                        payload=json.dumps(event).encode(),
                    )
                )
        self.report.rows += self.maker.write(Batch(self.last.hour, made))

    def seal(self, hour: int) -> None:
        """Close and merge what ended before `hour` (since 1970) began."""
        close_past(self.root, self.rec, hour)
        self.report.sealed += seal(self.root, self.rec, gc_grace_seconds=NO_GRACE)


@dataclass(frozen=True, slots=True)
class _State:
    """What the head of a segment says."""

    session: str = ""
    live: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, head: dict[str, Any]) -> "_State":
        pairs = head.get("live")
        live = frozenset(
            (channel, symbol) for channel, symbols in (pairs if isinstance(pairs, list) else ()) for symbol in symbols
        )
        return cls(str(head.get("session", "")), live)
