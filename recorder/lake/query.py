"""One question to the lake, answered as a table, CSV, JSON or Parquet. For `recorder sql`.

Only statements that read are let through, so that a slip of the keyboard cannot write anywhere.
DuckDB writes the answer itself: Python's datetime would cut nanoseconds, its floats would round prices.
"""

import contextlib
import io
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import duckdb

from recorder.errors import LakeError
from recorder.lake.reader import Lake

Format = Literal["table", "csv", "json", "parquet"]
COPY_OPTIONS = {
    "csv": "FORMAT csv, HEADER",
    "json": "FORMAT json, ARRAY true",
    "parquet": "FORMAT parquet, COMPRESSION zstd",
}
READS = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
ROWS_SHOWN = 200  # of a table on screen; the other forms give every row


def check_reads(query: str) -> None:
    """Raise LakeError unless `query` is one statement that only reads."""
    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        raise LakeError(f"SQL: {error}") from error
    if len(statements) != 1:
        raise LakeError(f"SQL: one statement is needed, this has {len(statements)}")
    if statements[0].type not in READS:
        kind = statements[0].type.name
        raise LakeError(f"SQL: {kind} is refused, this only reads; use --out FILE to keep an answer")


def answer(lake: Lake, query: str, form: Format, out: Path | None) -> None:
    """Write the answer to `out`, else to stdout. Raises LakeError with DuckDB's words on a wrong query."""
    check_reads(query)
    if form == "parquet" and out is None:
        raise LakeError("--format parquet needs --out FILE")
    if out is not None and not out.parent.is_dir():
        raise LakeError(f"--out {out}: the folder {out.parent} does not exist")
    try:
        relation = lake.sql(query)
        with tempfile.TemporaryDirectory(dir=out.parent if out else None) as folder:
            partial = Path(folder) / "answer"
            if form == "table":
                partial.write_text(_shown(relation))
            else:
                relation.query("answer", f"COPY answer TO '{partial}' ({COPY_OPTIONS[form]})")
            if out is not None:
                partial.replace(out)
                return
            with partial.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.buffer.flush()
    except duckdb.Error as error:
        raise LakeError(f"SQL: {error}") from error


def _shown(relation: duckdb.DuckDBPyRelation) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        relation.show(max_width=200, max_rows=ROWS_SHOWN)
    return text.getvalue()


def coverage_query(table: str | None, symbol: str | None, start: str | None, end: str | None) -> str:
    """The SQL of `recorder coverage`: intervals that touch [start, end), cut to it."""
    low = f"TIMESTAMP_NS {_quoted(_instant(start))}" if start else None
    high = f"TIMESTAMP_NS {_quoted(_instant(end))}" if end else None
    wanted = ["true"]
    if table:
        wanted.append(f"channel = {_quoted(_channel(table))}")
    if symbol:
        wanted.append(f"symbol = {_quoted(symbol)}")
    if low:
        wanted.append(f"to_time > {low}")
    if high:
        wanted.append(f"from_time < {high}")
    first = f"greatest(from_time, {low})" if low else "from_time"
    last = f"least(to_time, {high})" if high else "to_time"
    return (
        f"SELECT venue, symbol, channel, {first} AS from_time, {last} AS to_time, status, reason FROM coverage "
        f"WHERE {' AND '.join(wanted)} ORDER BY venue, symbol, channel, from_time"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _channel(table: str) -> str:
    """A channel is named as its table; `kline_update` and the stream name `index` are understood too."""
    name = {"kline_update": "kline", "index": "index_price"}.get(table, table)
    known = ("trade", "depth", "kline", "bbo", "ticker", "depth_delta", "index_price", "mark_price")
    if name not in known:
        raise LakeError(f"--table {table}: no such stream; one of {', '.join(known)}")
    return name


def _instant(text: str) -> str:
    """An ISO 8601 time as UTC without a zone, to the nanosecond as given."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise LakeError(f"{text!r} is not a time; write it as 2026-09-23T08:00:00, UTC") from error
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(sep=" ")
