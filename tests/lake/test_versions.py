"""Files of every version that there ever was are read for ever, and old and new ones stand in one view."""

import dataclasses
import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recorder.lake.names import path_of
from recorder.lake.reader import open_lake
from recorder.lake.schema import Column, Table, tables
from recorder.lake.views import view_sql
from recorder.quality.verify import verify
from tests.lake import helpers
from tests.lake.make_versions import FOLDER, example, name_of

KEPT = sorted(FOLDER.glob("v*/*.parquet"))
IDS = [f"{path.parent.name}-{path.stem}" for path in KEPT]


def put(root: Path, path: Path) -> Path:
    """The kept file where a lake has it."""
    table = tables()[path.stem]
    place = path_of(root, "sealed", table.name, name_of(table))
    place.parent.mkdir(parents=True)
    shutil.copy(path, place)
    return place


def test_every_table_has_a_file_of_its_present_version() -> None:
    kept = {(path.parent.name, path.stem) for path in KEPT}
    wanted = {(f"v{table.version}", table.name) for table in tables().values()}
    assert wanted <= kept, "run python -m tests.lake.make_versions and keep what it writes"


@pytest.mark.parametrize("path", KEPT, ids=IDS)
def test_a_kept_file_reads_as_it_was_written(path: Path, tmp_path: Path) -> None:
    table = tables()[path.stem]
    root = helpers.empty_lake(tmp_path / "lake")
    place = put(root, path)
    columns = pq.read_schema(path).names
    names = ", ".join(f'"{name}"' for name in columns)
    found = open_lake(root).sql(f"SELECT {names} FROM {table.view} ORDER BY seq").fetchall()
    expected = [tuple(row[name] for name in columns) for row in example(table).to_pylist()]
    assert found == expected
    newer = [column.name for column in table.columns if column.name not in columns]
    for name in newer:
        assert open_lake(root).sql(f'SELECT DISTINCT "{name}" FROM {table.view}').fetchall() == [(None,)]
    assert place.exists()


def test_kept_files_verify(tmp_path: Path) -> None:
    root = helpers.empty_lake(tmp_path / "lake")
    for path in KEPT:
        put(root, path)
    unreadable = {"unreadable", "schema", "other reader", "row count", "seq range", "order"}
    assert [str(found) for found in verify(root) if found.check in unreadable] == []


def grown(table: Table) -> Table:
    """The next version: one more column that may be null, before the last one."""
    more = Column("liquidation", "bool", "An example.", nullable=True)
    return dataclasses.replace(table, version=2, columns=(*table.columns[:-1], more, table.columns[-1]))


def test_old_and_new_files_stand_in_one_view(tmp_path: Path) -> None:
    table = grown(tables()["trade"])
    old = FOLDER / "v1" / "trade.parquet"
    rows = [helpers.trade(500, 0, "10") | {"liquidation": True}]
    new = tmp_path / "new.parquet"
    pq.write_table(pa.Table.from_pylist([helpers.DEFAULTS | row for row in rows], schema=table.arrow), new)
    con = duckdb.connect()
    con.execute("SET VARIABLE contract_multiplier = MAP([]::VARCHAR[], []::DECIMAL(30,12)[])")
    for files in ([old, new], [new, old], [old], [new]):
        folder = tmp_path / "date=2026-03-01"
        folder.mkdir(exist_ok=True)
        placed = [str(shutil.copy(file, folder / f"{n}-{file.name}")) for n, file in enumerate(files)]
        con.execute("SET VARIABLE trade_files = ?", [placed])
        con.execute(view_sql(table))
        found = dict(con.sql("SELECT seq, liquidation FROM trade").fetchall())
        expected = ({101: None, 102: None} if old in files else {}) | ({500: True} if new in files else {})
        assert found == expected
