"""Merge sorted files into one: symbol by symbol, row group by row group, in memory that does not grow with size.

Inputs are each sorted by (venue, symbol, seq, idx), their seqs do not overlap and they come in the order of
arrival. So the rows of one symbol are those of the first input, then of the second, and so on: rows are moved,
never compared or changed.

Reading is what costs, so each row group is read once. One that holds a single symbol is read when it is that
symbol's turn; one that holds several is cut up, and its pieces wait in memory, beyond a budget in a spill file.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recorder.errors import LakeError
from recorder.lake.parquet import FEWEST_OTHER_ROWS, FEWEST_ROWS, MOST_OTHER_ROWS, MOST_ROWS
from recorder.lake.schema import Table

BUDGET = 32 << 20  # bytes of rows, as Arrow holds them, that wait in memory

Series = tuple[str, str]  # venue, symbol
Write = Callable[[pa.Table], None]  # one row group


class Disorder(LakeError):
    """An input is not what its name says; nothing was published."""


@dataclass(frozen=True, slots=True)
class Group:
    """A row group of an input that holds one series only; not read yet."""

    path: Path
    number: int


@dataclass(frozen=True, slots=True)
class Spilled:
    """A piece in the spill file."""

    number: int


Piece = Any  # Group, Spilled, or a Table that waits in memory


def merge(table: Table, inputs: Sequence[Path], write: Write, proceed: Callable[[], None], spill: Path) -> int:
    """Write the rows of `inputs` as row groups of final files; returns how many rows they were.

    `proceed` is called before each row group is read or written; it may raise to give up. `spill` is where a
    temporary file may be made; it is gone at the end. Raises Disorder if an input is not sorted, or is of a newer
    version of the schema than ours.
    """
    groups = _Groups(table.name, write)
    store = _Store(table, spill)
    try:
        for path in inputs:
            with pq.ParquetFile(path) as file:
                _check_version(table, path, file.schema_arrow)
                for number in range(file.num_row_groups):
                    proceed()
                    store.take(path, file, number)
        for series, pieces in store.in_order():
            for rows in pieces:
                proceed()
                groups.add(series, rows)
            groups.end_of_series()
        groups.close()
    finally:
        store.close()
    return store.rows


class _Store:
    """The pieces of every series, in the order in which they arrived."""

    def __init__(self, table: Table, spill: Path) -> None:
        self.table = table
        self.rows = 0
        self._pieces: dict[Series, list[Piece]] = {}
        self._held = 0  # bytes
        self._spill = spill
        self._writer: Any = None
        self._spilled = 0

    def take(self, path: Path, file: Any, number: int) -> None:
        """Note or read a row group."""
        facts = file.metadata.row_group(number)
        self.rows += facts.num_rows
        only = [_only_value(facts, name) for name in ("venue", "symbol")]
        if only[0] is not None and only[1] is not None:
            self._pieces.setdefault((only[0], only[1]), []).append(Group(path, number))
            return
        rows = conform(self.table, file.read_row_group(number, use_threads=False))
        if self._held and self._held + rows.nbytes > BUDGET:
            self._spill_all()
        for series, start, length in runs(rows):
            self._pieces.setdefault(series, []).append(rows.slice(start, length))
        self._held += rows.nbytes

    def in_order(self) -> Iterator[tuple[Series, Iterator[pa.Table]]]:
        """Each series with its rows, piece by piece."""
        spilled = None
        if self._writer is not None:
            self._writer.close()
            spilled = pa.ipc.open_file(pa.memory_map(str(self._spill)))
        for series in sorted(self._pieces):
            yield series, self._read(self._pieces.pop(series), spilled)

    def close(self) -> None:
        """Remove the spill file."""
        if self._writer is not None:
            with suppress(OSError, pa.ArrowException):  # a full disk: what counts is that it goes
                self._writer.close()
            self._spill.unlink(missing_ok=True)

    def _spill_all(self) -> None:
        """Write what waits in memory, one record batch for each series and stretch."""
        if self._writer is None:
            options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
            self._writer = pa.ipc.new_file(str(self._spill), self.table.arrow.remove_metadata(), options=options)
        for series, pieces in self._pieces.items():
            kept: list[Piece] = []
            for is_table, together in groupby(pieces, lambda piece: isinstance(piece, pa.Table)):
                some = list(together)
                kept += [self._write(pa.concat_tables(some))] if is_table else some
            self._pieces[series] = kept
        self._held = 0

    def _write(self, rows: pa.Table) -> Spilled:
        (batch,) = rows.combine_chunks().to_batches()
        self._writer.write_batch(batch)
        self._spilled += 1
        return Spilled(self._spilled - 1)

    def _read(self, pieces: list[Piece], spilled: Any) -> Iterator[pa.Table]:
        pieces.reverse()
        while pieces:
            piece = pieces.pop()
            if isinstance(piece, Group):
                with pq.ParquetFile(piece.path) as file:
                    yield conform(self.table, file.read_row_group(piece.number, use_threads=False))
            elif isinstance(piece, Spilled):
                yield pa.Table.from_batches([spilled.get_batch(piece.number)])
            else:
                yield piece


def conform(table: Table, rows: pa.Table) -> pa.Table:
    """Rows of an older version of the schema in the columns of ours: what they do not have is null."""
    if rows.schema.names == table.arrow.names:
        return rows.replace_schema_metadata(None)
    columns = [rows.column(f.name) if f.name in rows.schema.names else pa.nulls(len(rows), f.type) for f in table.arrow]
    return pa.Table.from_arrays(columns, schema=table.arrow.remove_metadata())


def _check_version(table: Table, path: Path, schema: pa.Schema) -> None:
    unknown = set(schema.names) - set(table.arrow.names)
    if unknown:
        raise Disorder(
            f"{path}: column {sorted(unknown)[0]} is newer than this program; seal with the one that wrote it"
        )


def runs(rows: pa.Table) -> list[tuple[Series, int, int]]:
    """(series, start, length) of each stretch of one series in a row group. Raises Disorder if not sorted."""
    if not len(rows):
        return []
    changed = np.zeros(len(rows), bool)
    changed[0] = True
    keys = [rows.column(name) for name in ("venue", "symbol")]
    for key in keys:
        codes = key.combine_chunks().dictionary_encode().indices.to_numpy()
        changed[1:] |= codes[1:] != codes[:-1]
    starts = np.flatnonzero(changed).tolist()
    found: list[tuple[Series, int, int]] = []
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        series = keys[0][start].as_py(), keys[1][start].as_py()
        if found and series <= found[-1][0]:
            raise Disorder(f"{series} comes after {found[-1][0]}: not sorted; run `recorder verify`")
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
