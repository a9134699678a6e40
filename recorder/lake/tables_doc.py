"""Write docs/tables.md from `schemas/`: every table, view and macro, for people."""

from collections.abc import Iterable
from pathlib import Path

from recorder.lake.macros import EXTRA_VIEWS, MACROS
from recorder.lake.schema import Column, Table, tables, views
from recorder.lake.views import view_columns

HEADER = """\
# Tables

Made from `schemas/` by `recorder tables`; edit there. `recorder tables --check` is part of the tests.

`lake.sql` in the data directory makes these views for any DuckDB (`duckdb -init lake.sql`);
`recorder.open_lake(path)` does the same for Python, and `recorder sql` for the shell.

- All times are UTC. `exchange_time` is the venue's clock and has no zone; `receive_time` is ours.
- Prices and sizes are exact: `DECIMAL(30,12)` from the venue's strings. Sizes of perpetuals are contracts.
- Null means that the venue did not say. Nothing is filled in.
- Filter on `date` (arrival, UTC) to read fewer files. A row may arrive after midnight of the day it tells of.
"""
COMMON_NOTE = """\
Every table starts with these; `date` is the last column of its view.
"""


def tables_markdown() -> str:
    """The whole document."""
    every = sorted(tables().values(), key=lambda table: table.view)
    some = every[0]
    stored = {column.name for column in some.columns[: _common(some)]}
    common = [c for c in view_columns(some) if c.name in stored | {"receive_time", "date"}]
    names = {c.name for c in common}
    parts = [HEADER, _index(every), "## Common columns", COMMON_NOTE, _columns(common)]
    for table in every:
        parts += [f"## {table.view}", f"{table.doc}\n", _where(table)]
        parts.append(_columns([c for c in view_columns(table) if c.name not in names]))
    for view in views().values():
        parts += [f"## {view.name}", f"{view.doc}\n"]
        if view.name == "kline":
            parts.append("The common columns are those of the row that had the last word.\n")
        parts.append(_columns(view.columns))
    parts += ["## Further views", _list((f"`{name}`", doc) for name, doc in EXTRA_VIEWS.items())]
    parts += ["## Macros", "Times are exchange times; `from` <= t < `to`; null leaves an end open.\n"]
    for macro in MACROS:
        parts += [f"### {macro.name}({macro.parameters})", f"{macro.doc}\n\n```sql\n{macro.example};\n```\n"]
    return "\n".join(parts)


def write(path: Path) -> None:
    path.write_text(tables_markdown())


def check(path: Path) -> bool:
    """Whether the document at `path` is what `schemas/` says."""
    return path.is_file() and path.read_text() == tables_markdown()


def _index(every: Iterable[Table]) -> str:
    rows = [(f"[{table.view}](#{table.view})", table.doc) for table in every]
    rows += [(f"[{view.name}](#{view.name})", view.doc) for view in views().values()]
    return _table(("view", "what"), sorted(rows))


def _where(table: Table) -> str:
    level = "an hour" if table.final == "hour" else "a day"
    return f"Files: `hot/{table.name}`, then `sealed/{table.name}`, {level} each. Schema version {table.version}.\n"


def _columns(columns: Iterable[Column]) -> str:
    rows = []
    for column in columns:
        nulls = ", null" if column.nullable else ""
        source = column.source or ("derived" if column.sql or column.name == "date" else "")
        rows.append((f"`{column.name}`", f"{column.sql_type}{nulls}", column.unit, column.doc, source))
    return _table(("column", "type", "unit", "meaning", "source"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _list(rows: Iterable[tuple[str, str]]) -> str:
    return "".join(f"- {name}: {doc}\n" for name, doc in rows)


def _common(table: Table) -> int:
    return [column.name for column in table.columns].index("source") + 1
