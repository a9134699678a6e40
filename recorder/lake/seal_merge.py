"""Merge sorted files into one: symbol by symbol, row group by row group, in memory that does not grow with size.

Inputs are each sorted by (venue, symbol, seq, idx), their seqs do not overlap and they come in the order of
arrival. So the rows of one symbol are those of the first input, then of the second, and so on: rows are moved,
never compared or changed. Symbols with few rows are taken together, so that no row group is read many times.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recorder.errors import LakeError
from recorder.lake.parquet import FEWEST_OTHER_ROWS, FEWEST_ROWS, MOST_OTHER_ROWS, MOST_ROWS
from recorder.lake.schema import Table

BUDGET = 96 << 20  # bytes of rows, as Arrow holds them, that are taken together
VALUE_BYTES = 16  # of a decimal, the widest and most frequent value

Series = tuple[str, str]  # venue, symbol
Write = Callable[[pa.Table], None]  # one row group


class Disorder(LakeError):
    """An input is not what its name says; nothing was published."""


@dataclass(frozen=True, slots=True)
class Run:
    """Rows of one series within a row group of an input."""

    path: Path
    group: int
    start: int
    length: int


@dataclass(slots=True)
class Index:
    """Where the rows of each series are, in order, and about how many bytes they take in memory."""

    runs: dict[Series, list[Run]] = field(default_factory=dict)
    bytes: dict[Series, int] = field(default_factory=dict)
    rows: int = 0


def merge(table: Table, inputs: Sequence[Path], write: Write, proceed: Callable[[], None]) -> int:
    """Write the rows of `inputs` as row groups of final files; returns how many rows they were.

    `proceed` is called before each row group is read; it may raise to give up. Raises Disorder if an input is
    not sorted, or is of a newer version of the schema than ours.
    """
    index = make_index(table, inputs)
    groups = _Groups(table.name, write)
    for batch in batches(index):
        kept: dict[Series, list[pa.Table]] = {}
        for series, rows in _read(table, index, batch, proceed):
            if len(batch) == 1:
                groups.add(series, rows)
            else:
                kept.setdefault(series, []).append(rows)
        for series in batch:
            for rows in kept.pop(series, []):
                groups.add(series, rows)
            groups.end_of_series()
    groups.close()
    return index.rows


def make_index(table: Table, inputs: Sequence[Path]) -> Index:
    """Look at the series of every row group; reads two columns at most."""
    index = Index()
    for path in inputs:
        with pq.ParquetFile(path) as file:
            _check_version(table, path, file.schema_arrow)
            for group in range(file.num_row_groups):
                facts = file.metadata.row_group(group)
                index.rows += facts.num_rows
                width = _bytes(facts) // max(1, facts.num_rows)
                for series, start, length in _runs(file, group):
                    index.runs.setdefault(series, []).append(Run(path, group, start, length))
                    index.bytes[series] = index.bytes.get(series, 0) + width * length
    return index


def batches(index: Index) -> Iterator[list[Series]]:
    """Series in order, taken together as long as the budget allows."""
    batch: list[Series] = []
    size = 0
    for series in sorted(index.runs):
        if batch and size + index.bytes[series] > BUDGET:
            yield batch
            batch, size = [], 0
        batch.append(series)
        size += index.bytes[series]
    if batch:
        yield batch


def _read(
    table: Table, index: Index, batch: list[Series], proceed: Callable[[], None]
) -> Iterator[tuple[Series, pa.Table]]:
    """The rows of these series, input by input; each row group is read once."""
    wanted: dict[Path, dict[int, list[tuple[Series, Run]]]] = {}
    for series in batch:
        for run in index.runs[series]:
            wanted.setdefault(run.path, {}).setdefault(run.group, []).append((series, run))
    order = sorted(wanted, key=_arrival)
    for path in order:
        with pq.ParquetFile(path) as file:
            for group, runs in sorted(wanted[path].items()):
                proceed()
                rows = conform(table, file.read_row_group(group, use_threads=False))
                for series, run in sorted(runs, key=lambda each: each[1].start):
                    yield series, _own(rows, run)


def _own(rows: pa.Table, run: Run) -> pa.Table:
    """The rows of a run. Copied if they are not all: a slice would keep the whole row group in memory."""
    if run.length == len(rows):
        return rows
    return rows.take(pa.array(np.arange(run.start, run.start + run.length)))


def _arrival(path: Path) -> int:
    return int(path.name.split("~")[3])


def conform(table: Table, rows: pa.Table) -> pa.Table:
    """Rows of an older version of the schema in the columns of ours: what they do not have is null."""
    if rows.schema.names == table.arrow.names:
        return rows
    columns = [rows.column(f.name) if f.name in rows.schema.names else pa.nulls(len(rows), f.type) for f in table.arrow]
    return pa.Table.from_arrays(columns, schema=table.arrow)


def _check_version(table: Table, path: Path, schema: pa.Schema) -> None:
    unknown = set(schema.names) - set(table.arrow.names)
    if unknown:
        raise Disorder(
            f"{path}: column {sorted(unknown)[0]} is newer than this program; seal with the one that wrote it"
        )


def _bytes(facts: Any) -> int:
    """About how much a row group takes as Arrow."""
    columns = (facts.column(at) for at in range(facts.num_columns))
    return sum(max(column.num_values * VALUE_BYTES, column.total_uncompressed_size) for column in columns)


def _runs(file: Any, group: int) -> list[tuple[Series, int, int]]:
    """(series, start, length) of each stretch of one series in a row group."""
    facts = file.metadata.row_group(group)
    length = facts.num_rows
    if not length:
        return []
    only = [_only_value(facts, name) for name in ("venue", "symbol")]
    if only[0] is not None and only[1] is not None:
        return [((only[0], only[1]), 0, length)]
    keys = file.read_row_group(group, columns=["venue", "symbol"], use_threads=False)
    changed = np.zeros(length, bool)
    changed[0] = True
    values = []
    for name in ("venue", "symbol"):
        column = keys.column(name).combine_chunks()
        codes = column.dictionary_encode().indices.to_numpy()
        changed[1:] |= codes[1:] != codes[:-1]
        values.append(column)
    starts = np.flatnonzero(changed).tolist()
    found: list[tuple[Series, int, int]] = []
    for start, end in zip(starts, [*starts[1:], length], strict=True):
        series = values[0][start].as_py(), values[1][start].as_py()
        if found and series <= found[-1][0]:
            raise Disorder(f"row group {group}: {series} comes after {found[-1][0]}: not sorted")
        found.append((series, start, end - start))
    return found


def _only_value(facts: Any, name: str) -> str | None:
    """The value of a string column that has one value only, by its statistics; else None."""
    for at in range(facts.num_columns):
        column = facts.column(at)
        if column.path_in_schema == name:
            if not column.is_stats_set or not column.statistics.has_min_max:
                return None
            low, high = column.statistics.min, column.statistics.max
            return low if low == high and len(low) < 64 else None  # long ones may be cut short
    return None


class _Groups:
    """Collects rows and cuts them as `parquet.row_groups` would cut the whole file."""

    def __init__(self, table: str, write: Write) -> None:
        self.fewest = FEWEST_ROWS.get(table, FEWEST_OTHER_ROWS)
        self.most = MOST_ROWS.get(table, MOST_OTHER_ROWS)
        self.write = write
        self.pending: list[pa.Table] = []
        self.rows = 0
        self.series: Series | None = None
        self.last_seq = -1

    def add(self, series: Series, rows: pa.Table) -> None:
        first = rows.column("seq")[0].as_py()
        if series != self.series:
            self.series, self.last_seq = series, -1
        if first <= self.last_seq:
            raise Disorder(f"{series}: seq {first} comes after {self.last_seq}; run `recorder verify`")
        self.last_seq = rows.column("seq")[len(rows) - 1].as_py()
        self.pending.append(rows)
        self.rows += len(rows)
        while self.rows > self.most:
            self._cut(self.most)

    def end_of_series(self) -> None:
        if self.rows >= self.fewest:
            self._cut(self.rows)

    def close(self) -> None:
        if self.rows:
            self._cut(self.rows)

    def _cut(self, length: int) -> None:
        every = pa.concat_tables(self.pending)
        self.write(every.slice(0, length))
        self.rows -= length
        self.pending = [every.slice(length)] if self.rows else []
