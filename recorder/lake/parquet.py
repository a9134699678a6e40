"""How rows are laid out in Parquet: encodings, compression and row groups, for parts and for final files.

Measured choices: books are stored plain, for successive lists repeat and zstd sees that; other decimals get
a dictionary in final files. A row group ends where the symbol changes, so that a query for one symbol
reads little more than that. BYTE_STREAM_SPLIT is never used on decimals: DuckDB cannot read it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recorder.lake.names import PartName
from recorder.lake.schema import DECIMAL, Table, tables

ORDER = ("venue", "symbol", "seq", "idx")
BOOKS = "depth"
FEWEST_ROWS = {BOOKS: 64}  # before a row group may end at a change of symbol
FEWEST_OTHER_ROWS = 8_192
MOST_ROWS = {BOOKS: 4_096}
MOST_OTHER_ROWS = 131_072
PAGE_BYTES = 1 << 20


def file_schema(table: Table, name: PartName) -> pa.Schema:
    """The schema of a file, with table, version and the fields of its name as metadata."""
    fields = {
        "rec": name.rec,
        "level": name.level,
        "window": name.window,
        "first_seq": str(name.first),
        "last_seq": str(name.last),
        "rows": str(name.rows),
    }
    return table.arrow.with_metadata({"table": table.name, "version": str(table.version), **fields})


def settings(table: Table, final: bool) -> dict[str, Any]:
    """Arguments of `pyarrow.parquet.ParquetWriter`."""
    is_books = table.name == BOOKS
    strings, packed, decimals, flat = [], {}, [], []
    for field in table.arrow:
        if pa.types.is_list(field.type):
            continue
        flat.append(field.name)
        if pa.types.is_string(field.type):
            strings.append(field.name)
        elif field.type == DECIMAL:
            decimals.append(field.name)
        elif pa.types.is_integer(field.type) or pa.types.is_timestamp(field.type):
            packed[field.name] = "DELTA_BINARY_PACKED"
    return {
        "compression": "zstd",
        "compression_level": (6 if is_books else 3) if final else 1,
        "use_dictionary": strings + (decimals if final and not is_books else []),
        "column_encoding": None if is_books else packed,
        "data_page_size": PAGE_BYTES,
        "data_page_version": "1.0",
        "write_page_index": True,
        "write_statistics": flat,  # none for lists: nobody filters by the smallest of all levels
        "sorting_columns": pq.SortingColumn.from_ordering(table.arrow, [(name, "ascending") for name in ORDER]),
    }


def open_writer(path: Path, table: Table, name: PartName, final: bool) -> pq.ParquetWriter:
    """A writer for rows that come in order, group by group, as the merging of parts brings them."""
    return pq.ParquetWriter(path, file_schema(table, name), **settings(table, final))


def write_groups(writer: pq.ParquetWriter, table: str, rows: pa.Table) -> None:
    """Write sorted rows as row groups of our cut."""
    for start, length in row_groups(table, rows):
        piece = rows.slice(start, length).replace_schema_metadata(writer.schema.metadata)
        writer.write_table(piece, row_group_size=length)


def write_file(path: Path, table: str, name: PartName, rows: pa.Table, final: bool = False) -> None:
    """Write sorted rows as one file."""
    with open_writer(path, tables()[table], name, final) as writer:
        write_groups(writer, table, rows)


def row_groups(table: str, rows: pa.Table) -> Iterator[tuple[int, int]]:
    """(start, length) of each: a new one at a change of series once it is worth it, and at the most rows."""
    fewest = FEWEST_ROWS.get(table, FEWEST_OTHER_ROWS)
    most = MOST_ROWS.get(table, MOST_OTHER_ROWS)
    start = 0
    for end in [*_changes(rows), len(rows)]:
        while end - start > most:
            yield start, most
            start += most
        if end - start >= fewest or (end == len(rows) and end > start):
            yield start, end - start
            start = end


def _changes(rows: pa.Table) -> list[int]:
    """Where a row belongs to another (venue, symbol) than the one before."""
    if len(rows) < 2:
        return []
    changed = np.zeros(len(rows) - 1, bool)
    for name in ("venue", "symbol"):
        codes = rows.column(name).combine_chunks().dictionary_encode().indices.to_numpy()
        changed |= codes[1:] != codes[:-1]
    return [int(at) + 1 for at in np.flatnonzero(changed)]
