"""Write `lake.sql`: the views and macros over a lake, for `duckdb -init lake.sql` and for Python alike.

One script, so that the reader rule (`files.sql`) and the meaning of each view stand in exactly one place.
Columns, their order and their comments come from `schemas/`.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from recorder.lake.macros import EXTRA_COLUMNS, EXTRA_VIEWS, MACROS
from recorder.lake.schema import Column, Table, tables, views

# DuckDB 2.0.0 plans ASOF JOIN as a nested loop when `date` is filtered. Files never change, so that what was
# read of their footers may be kept.
SETTINGS = """\
SET TimeZone = 'UTC';
SET asof_loop_join_threshold = 0;
SET parquet_metadata_cache = true;
"""
# Where the lake is, and the same with the characters that glob() would read as a pattern made harmless.
WHERE = """\
SET VARIABLE lake = coalesce(getvariable('lake'), '.');
SET VARIABLE lake_pattern = regexp_replace(getvariable('lake'), '([\\[*?])', '[\\1]', 'g');
"""
MULTIPLIERS = """\
SET VARIABLE contract_multiplier = (
  SELECT coalesce(map_from_entries(list((venue || ' ' || symbol, contract_multiplier))), {})
  FROM instrument_now WHERE contract_multiplier IS NOT NULL);
"""
INSTRUMENT_NOW = """\
CREATE OR REPLACE TEMP VIEW instrument_now AS
SELECT * FROM instrument QUALIFY row_number() OVER (PARTITION BY venue, symbol ORDER BY seq DESC, idx DESC) = 1;
"""
NO_MULTIPLIERS = "MAP([]::VARCHAR[], []::DECIMAL(30,12)[])"
HEADER = """\
-- Views and macros over this lake. In its directory: duckdb -init lake.sql
-- From elsewhere: SET VARIABLE lake = '/path/to/lake'; then .read /path/to/lake/lake.sql
-- The lists of files are a snapshot: read this file again to see newer rows.
-- Written by the recorder; what it says about columns comes from schemas/.
"""
# The contract's order where it is not simply: common, own, derived, date.
FIRST = {"gap": ("channel", "reason", "from_time", "to_time", "healed")}


def lake_sql(lists: Callable[[str], str] | None = None, as_of_ns: int | None = None) -> str:
    """The whole script. It stands alone: only `lake` (a directory) is taken from outside.

    `lists` gives the statement that sets a table's list of files, instead of the reader rule; with `as_of_ns` the
    views hold only what had arrived by then.
    """
    every = tables().values()
    list_files = lists or files_sql
    parts = [
        HEADER,
        SETTINGS,
        WHERE,
        _text("helpers.sql"),
        f"SET VARIABLE contract_multiplier = {NO_MULTIPLIERS};\n",
        *(list_files(table.name) for table in every),
        *(view_sql(table, as_of_ns=as_of_ns) for table in every),
        multipliers_sql(),
        coverage_stub_sql(),
        _text("macros.sql"),
        _text("coverage.sql"),
        _text("kline.sql"),
        comments_sql(every),
    ]
    return "\n".join(parts)


def files_sql(table: str) -> str:
    """Set the variable `<table>_files` to the live files of a table, by the reader rule."""
    return _text("files.sql").replace("{table}", table)


def multipliers_sql() -> str:
    """Set the variable from which the view `trade` makes `size_base`."""
    return INSTRUMENT_NOW + MULTIPLIERS.format(NO_MULTIPLIERS)


def view_columns(table: Table) -> list[Column]:
    """The view's columns in the contract's order: common, own, derived, date."""
    derived = {column.name: column for column in (*table.derived, *EXTRA_COLUMNS.get(table.name, ()))}
    columns: list[Column] = []
    for column in table.columns:
        if column.name == "receive_ns":
            columns.append(derived.pop("receive_time"))
        columns.append(column)
    date = derived.pop("date")
    columns += derived.values()
    first = FIRST.get(table.name, ())
    own = sorted(columns[_common(table) :], key=lambda c: first.index(c.name) if c.name in first else len(first))
    return [*columns[: _common(table)], *own, date]


def view_sql(table: Table, live: str = "", as_of_ns: int | None = None) -> str:
    """The view of a table: its stored columns as they are, and those that it derives.

    `live` names a table of further rows, with the columns of the files. `as_of_ns` leaves out what arrived later.
    """
    source = files_source(table)
    if live:
        day = "CAST(make_timestamp(receive_ns // 1000) AS DATE) AS date"
        source = f"(SELECT * FROM {source} UNION ALL BY NAME SELECT *, {day} FROM {live})"
    columns = ",\n  ".join(f"{c.sql} AS {_name(c)}" if c.sql else f"f.{_name(c)}" for c in view_columns(table))
    until = "" if as_of_ns is None else f"\nWHERE f.receive_ns <= {as_of_ns}"
    return f"CREATE OR REPLACE TEMP VIEW {table.view} AS SELECT\n  {columns}\nFROM {source} AS f{until};\n"


def files_source(table: Table) -> str:
    """The rows of a table's live files, with `date`.

    A table that has grown columns (version > 1) is read by name, what a file lacks being null; the empty SELECT
    keeps its columns even while no file has the new ones. Reading by name opens every file, so the others do without.
    """
    files = f"getvariable('{table.name}_files')"
    options = "hive_partitioning = true, hive_types = {'date': DATE}"
    if table.version == 1:
        return f"read_parquet({files}, {options})"
    types = ", ".join(f"CAST(NULL AS {c.sql_type}) AS {_name(c)}" for c in table.columns)
    read = f"SELECT * FROM read_parquet({files}, union_by_name = true, {options})"
    return f"(SELECT {types} WHERE false UNION ALL BY NAME {read})"


def coverage_stub_sql() -> str:
    """A view with the columns of `coverage`, against which the macros are checked while they are made.

    DuckDB 2.0.0 takes a column of a view below for the macro's parameter of the same name (`symbol`) when it creates
    a macro, and refuses; when the macro is called it does not. So the real view comes after the macros, and the
    tables' views qualify what they name.
    """
    columns = ", ".join(f"CAST(NULL AS {c.sql_type}) AS {_name(c)}" for c in views()["coverage"].columns)
    return f"CREATE OR REPLACE TEMP VIEW coverage AS SELECT {columns} WHERE false;\n"


def comments_sql(every: Iterable[Table]) -> str:
    """COMMENT ON for each view, column and macro."""
    lines: list[str] = []
    for table in every:
        lines += _comments(table.view, table.doc, view_columns(table))
    for view in views().values():
        own = {column.name for column in view.columns}
        shared = [c for c in view_columns(tables()["kline"]) if c.name not in own] if view.name == "kline" else []
        lines += _comments(view.name, view.doc, [*shared, *view.columns])
    lines += [f"COMMENT ON VIEW {name} IS {_quoted(doc)};" for name, doc in EXTRA_VIEWS.items()]
    lines += [f"COMMENT ON MACRO TABLE {macro.name} IS {_quoted(macro.doc)};" for macro in MACROS]
    return "\n".join(lines) + "\n"


def _comments(view: str, doc: str, columns: Iterable[Column]) -> list[str]:
    told = [f"COMMENT ON VIEW {view} IS {_quoted(doc)};"]
    for column in columns:
        text = column.doc + (f" [{column.unit}]" if column.unit else "")
        told.append(f"COMMENT ON COLUMN {view}.{_name(column)} IS {_quoted(text)};")
    return told


def _common(table: Table) -> int:
    """How many columns every view starts with."""
    return [column.name for column in table.columns].index("source") + 2  # + receive_time


def _name(column: Column) -> str:
    return f'"{column.name}"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _text(name: str) -> str:
    return (Path(__file__).parent / name).read_text()
