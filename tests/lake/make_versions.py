"""Write one small file of each table in the schema's present version: `python -m tests.lake.make_versions`.

The files are kept in `tests/lake/v<version>/` and read for ever by `test_versions.py`. A version that has files is
never written again: what is kept is what that version's program wrote.
"""

import datetime as dt
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from recorder.lake.names import DAY, HOUR, PartName
from recorder.lake.parquet import write_file
from recorder.lake.schema import Column, Table, tables

FOLDER = Path(__file__).parent
WINDOW = "2026030112"
FIRST = 101


def value(column: Column, row: int) -> Any:
    """What a column holds in a row; nullable ones hold nothing in the second."""
    if column.nullable and row == 1:
        return None
    fixed = {
        "venue": "hashkey",
        "symbol": ["BTCUSD", "ETHUSD"][row],
        "seq": FIRST + row,
        "idx": row,
        "receive_ns": 1_772_366_400_123_456_789 + row,
    }
    by_type: dict[str, Any] = {
        "string": f"{column.name} {row}",
        "int16": row + 1,
        "int64": 1_000_000_000_007 + row,
        "bool": row == 0,
        "binary": bytes(range(250, 256)),
        "decimal": Decimal("12345678901.123456789012") + row,
        "list_decimal": [] if row else [Decimal("99.5"), Decimal("0.000000000001")],
        "timestamp_us": dt.datetime(2026, 3, 1, 12, 0, row, 345_678),
    }
    return fixed.get(column.name, by_type[column.type])


def example(table: Table) -> pa.Table:
    rows = [{column.name: value(column, row) for column in table.columns} for row in range(2)]
    return pa.Table.from_pylist(rows, schema=table.arrow)


def name_of(table: Table) -> PartName:
    """A final file of the table."""
    level, window = (DAY, WINDOW[:8]) if table.final == "day" else (HOUR, WINDOW)
    return PartName("kept", level, window, FIRST, FIRST + 1, 2)


def main() -> None:
    for table in tables().values():
        path = FOLDER / f"v{table.version}" / f"{table.name}.parquet"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            write_file(path, table.name, name_of(table), example(table), final=True)
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
