"""Add to the views what is only in the journal yet: the last seconds.

The journal is read before the files are listed. A row that becomes part of a file in between is then in both, and
is left out here since its seq is covered; the other way round it would be in neither.
"""

from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from recorder.journal.format import Record
from recorder.journal.reader import first_seq, segments, tail
from recorder.lake.names import Covered, PartName
from recorder.lake.rows import RowMaker
from recorder.lake.schema import tables
from recorder.lake.views import view_sql


class Live:
    """The rows of all journals of a lake that are in no file yet, shown by the views of one connection."""

    def __init__(self, root: Path, con: duckdb.DuckDBPyConnection) -> None:
        self._root = root
        self._con = con
        self._tails: dict[str, Tail] = {}
        for table in tables().values():
            con.register(live_name(table.name), table.arrow.empty_table())
            con.execute(view_sql(table, live_name(table.name)))

    def read(self) -> None:
        """Take what has been appended since the last call. To be done before the files are listed."""
        for folder in (self._root / "journal").glob("*/"):
            self._tails.setdefault(folder.name, Tail(self._root, folder.name)).read()

    def show(self) -> None:
        """Show the rows that the listed files do not cover. To be done after the files are listed."""
        for name, table in tables().items():
            files = self._con.execute(f"SELECT getvariable('{name}_files')").fetchall()[0][0]
            parts = [part for file in files if (part := PartName.parse(Path(file).name))]
            rows = [
                tail.uncovered(name, Covered(part for part in parts if part.rec == rec))
                for rec, tail in self._tails.items()
            ]
            self._con.register(live_name(name), pa.concat_tables([table.arrow.empty_table(), *rows]))


@dataclass
class Tail:
    """The journal of one recorder, decoded once as it grows."""

    root: Path
    rec: str
    rows: dict[str, pa.Table] = field(default_factory=dict)
    _maker: RowMaker | None = None
    _at: Path | None = None  # the segment that is being read, and how far
    _offset: int = 0
    _next_seq: int = -1

    def read(self) -> None:
        """Decode what is new. Where the writer has removed what we had not read, begin again with what is left."""
        found = segments(self.root / "journal" / self.rec)
        if not self._can_go_on(found):
            self.rows, self._maker, self._at, self._offset = {}, None, None, 0
        records = self._further(found)
        if not records:
            return
        if self._maker is None:
            self._maker = RowMaker(self.root, self.rec, {name: Covered() for name in tables()})
        self._next_seq = records[-1].seq + 1
        for name, made in self._maker.make(records).items():
            self.rows[name] = pa.concat_tables([self.rows[name], made]) if name in self.rows else made

    def uncovered(self, table: str, held: Covered) -> pa.Table:
        """The rows whose seq no file covers; what files cover is forgotten."""
        rows = self.rows.get(table, tables()[table].arrow.empty_table())
        rest = rows.filter(pa.array(~held.covers(rows.column("seq").to_numpy().astype(np.int64))))
        self.rows[table] = rest
        return rest

    def _can_go_on(self, found: list[Path]) -> bool:
        """Whether nothing is missing between what was read and what is there."""
        if self._at is None or self._at in found:
            return True
        later = [path for path in found if path > self._at]
        return bool(later) and first_seq(later[0]) == self._next_seq

    def _further(self, found: list[Path]) -> list[Record]:
        """Records after the last one read. A segment that vanishes meanwhile has become parts, as all before it."""
        records: list[Record] = []
        for path in found:
            if self._at is not None and path < self._at:
                continue
            try:
                more, self._offset = tail(path, self._offset if path == self._at else 0)
            except FileNotFoundError:
                self._maker = None  # its first record is the context of those after it
                continue
            self._at = path
            records += more
        return records


def live_name(table: str) -> str:
    return f"live_{table}"
