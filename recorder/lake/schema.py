"""Read `schemas/`: the one place that names columns, types, units, meanings and sources.

Arrow schemas for writing, view columns with their comments, and `docs/tables.md` all come from here.
The idea: a table is a TOML file; `common.toml` holds the columns that every table starts with.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

DECIMAL = pa.decimal128(30, 12)

ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int16": pa.int16(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "binary": pa.binary(),
    "decimal": DECIMAL,
    "list_decimal": pa.list_(DECIMAL),
    "timestamp_us": pa.timestamp("us"),
}
SQL_TYPES: dict[str, str] = {
    "string": "VARCHAR",
    "int16": "SMALLINT",
    "int64": "BIGINT",
    "bool": "BOOLEAN",
    "binary": "BLOB",
    "decimal": "DECIMAL(30,12)",
    "list_decimal": "DECIMAL(30,12)[]",
    "timestamp_us": "TIMESTAMP",
    "timestamp_ns": "TIMESTAMP_NS",
}


@dataclass(frozen=True)
class Column:
    """One column: what it is called, what it holds, and where that comes from."""

    name: str
    type: str
    doc: str
    source: str = ""
    unit: str = ""
    nullable: bool = False
    sql: str = ""  # derived columns only: how the view makes it; '' for the partition column `date`

    @property
    def sql_type(self) -> str:
        return SQL_TYPES.get(self.type, self.type)


@dataclass(frozen=True)
class Table:
    """A table on disk (`name` is its folder) and the view that shows it."""

    name: str
    view: str
    doc: str
    version: int
    final: str  # level of its final files: 'hour' or 'day'
    columns: tuple[Column, ...]  # stored, common ones first
    derived: tuple[Column, ...]  # made by the view

    @property
    def arrow(self) -> pa.Schema:
        """The schema of its files; metadata says table and version."""
        fields = [pa.field(c.name, ARROW_TYPES[c.type], c.nullable) for c in self.columns]
        return pa.schema(fields, {"table": self.name, "version": str(self.version)})


@dataclass(frozen=True)
class View:
    """A view without files of its own, such as `kline` and `coverage`."""

    name: str
    doc: str
    columns: tuple[Column, ...]


def schema_dir() -> Path:
    """Where the TOML files are: in the checkout, or inside the installed package."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "schemas"
    return checkout if (checkout / "common.toml").exists() else package / "_schemas"


def _columns(raw: dict[str, Any]) -> tuple[Column, ...]:
    return tuple(Column(name, **fields) for name, fields in raw.items())


@cache
def _read() -> tuple[dict[str, Table], dict[str, View]]:
    folder = schema_dir()
    common = tomllib.loads((folder / "common.toml").read_text())
    tables: dict[str, Table] = {}
    views: dict[str, View] = {}
    for path in sorted(folder.glob("*.toml")):
        if path.stem == "common":
            continue
        raw = tomllib.loads(path.read_text())
        own = _columns(raw["column"])
        if raw.get("kind") == "view":
            views[path.stem] = View(path.stem, raw["doc"], own)
            continue
        name = raw.get("table", path.stem)
        tables[name] = Table(
            name=name,
            view=raw.get("view", name),
            doc=raw["doc"],
            version=raw["version"],
            final=raw["final"],
            columns=_columns(common["column"]) + own,
            derived=_columns(common["derived"]) + _columns(raw.get("derived", {})),
        )
    return tables, views


def tables() -> dict[str, Table]:
    """Every table with files, by folder name."""
    return _read()[0]


def views() -> dict[str, View]:
    """Every view without files of its own, by name."""
    return _read()[1]
