"""Each book and quote once, where two connections bring the same ones.

That is so with `[record] redundancy = 2`, and for the moment in which one connection takes over from another.
A row is a repetition if another connection brought the same version of the same time a little earlier;
the first arrival is kept. The raw frames of both were in the journal. What is found depends only on the rows
that came shortly before, in memory or in the lake, so making a part again gives the same rows. With one
connection, which is the rule, nothing is looked at but the numbers of the connections.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recorder.lake.names import DAY, PartName, live, table_files

TABLES = ("depth", "bbo")
WINDOW = 20_000  # seqs: some minutes, far more than two connections differ
COLUMNS = ["venue", "symbol", "source", "version", "exchange_time", "conn", "seq"]
DAY_NS = 86_400_000_000_000

Key = tuple[Any, ...]


class KnownVersions:
    """The latest rows of one table of one recorder, asked in the order in which rows arrived."""

    def __init__(self, root: Path, rec: str, table: str) -> None:
        self.root, self.rec, self.table = root, rec, table
        self.repeated = 0
        self._recent: list[pa.Table] = []
        self._is_loaded = False  # whether rows of the lake that are in the window are among them

    def is_new(self, rows: pa.Table) -> list[bool] | None:
        """For each row whether it is no repetition; None if all are new."""
        if not len(rows):
            return None
        first = pc.min(rows.column("seq")).as_py() - WINDOW
        self._recent = [known for known in self._recent if pc.max(known.column("seq")).as_py() >= first]
        conns = set().union(*(_conns(known) for known in [*self._recent, rows]))
        if not self._is_loaded:
            files = list(self._files(first, rows))
            conns.update(conn for path in files for conn in _conns_of_file(path))
            if len(conns) > 1:
                self._recent += [pq.read_table(path, columns=COLUMNS, partitioning=None) for path in files]
                self._is_loaded = True
        found = self._compare(rows) if len(conns) > 1 else None
        self._recent.append(rows.select(COLUMNS))
        return found

    def _compare(self, rows: pa.Table) -> list[bool] | None:
        known: dict[Key, tuple[int, int]] = {}
        for before in self._recent:
            for key, conn, seq in _entries(before):
                if key not in known or seq < known[key][1]:
                    known[key] = conn, seq
        answers = []
        for key, conn, seq in _entries(rows):
            first = known.setdefault(key, (conn, seq)) if key[3] is not None else (conn, seq)
            answers.append(first[0] == conn or not 0 < seq - first[1] <= WINDOW)
        self.repeated += answers.count(False)
        return None if all(answers) else answers

    def _files(self, first: int, rows: pa.Table) -> Iterator[Path]:
        """Parts and hour files with rows of the window; a day that is sealed is over."""
        arrived = dt.date(1970, 1, 1) + dt.timedelta(days=pc.min(rows.column("receive_ns")).as_py() // DAY_NS - 1)
        for path in live(table_files(self.root, self.table, self.rec, since=arrived.isoformat())):
            name = PartName.parse(path.name)
            if name is not None and name.level != DAY and name.last >= first:
                yield path


def _conns(rows: pa.Table) -> set[int]:
    return set(pc.unique(rows.column("conn")).to_pylist())


def _conns_of_file(path: Path) -> set[int]:
    """From the footer: the least and the greatest, which is enough to see whether there is one."""
    found: set[int] = set()
    metadata = pq.read_metadata(path)
    at = metadata.schema.names.index("conn")
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(at).statistics
        if statistics is None or not statistics.has_min_max:
            return {-1, -2}  # it does not say: look
        found |= {statistics.min, statistics.max}
    return found


def _entries(rows: pa.Table) -> Iterator[tuple[Key, int, int]]:
    *keys, conns, seqs = (rows.column(name) for name in COLUMNS)
    texts = [key.cast("int64").to_pylist() if pa.types.is_timestamp(key.type) else key.to_pylist() for key in keys]
    for *key, conn, seq in zip(*texts, conns.to_pylist(), seqs.to_pylist(), strict=True):
        yield tuple(key), conn, seq
