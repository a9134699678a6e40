"""Journals for the tests of the writer: some minutes of everything, known in advance."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recorder.journal.format import HOUR_NS, Line, Record
from recorder.lake.layout import init_lake
from recorder.lake.names import live, table_files
from recorder.lake.schema import tables
from tests.frames.arrivals import START_NS, arrived, depth_push, event, head, reply, sample, trade_push, write_segment

REC = "main"
IN_HOUR = 2  # segments of the first of the two hours


def new_lake(root: Path) -> Path:
    """An empty lake; returns the folder of its journal."""
    init_lake(root)
    folder = root / "journal" / REC
    folder.mkdir()
    return folder


def story() -> list[list[Record]]:
    """Four segments, two an hour: each with all kinds of records, trades repeated on V2, and a bad frame."""
    segments, seq = [], 1
    for number in range(4):
        start = START_NS + (number // IN_HOUR) * HOUR_NS + (number % IN_HOUR) * 15_000_000_000
        segments.append(_segment(number, seq, start))
        seq = segments[-1][-1].seq + 1
    segments.append([head(seq)._replace(hour=(START_NS // HOUR_NS) + 2)])  # the open one, an hour later
    return segments


def _segment(number: int, seq: int, start_ns: int) -> list[Record]:
    base = 100 * number
    trades = [(base + i, START_NS // 1_000_000 + base + i, f"{base + i}.5", "0.1", i % 2 == 0) for i in range(6)]
    history = [(i, START_NS // 1_000_000 + i, f"{i}.5", "0.1", i % 2 == 0) for i in range(6)]
    made = [
        head(seq),
        event(event="connect", conn=1, line=1, url="wss://x"),
        event(event="subscribe", conn=1, channel="trade", symbols=["A", "B"]),
        reply(sample("rest-exchangeInfo"), reason="start" if number == 0 else "hourly"),
        arrived(trade_push("A", history, first=True)),  # what the first segment brought, again
        arrived(trade_push("A", trades)),
        arrived(trade_push("B", trades)),
    ]
    for trade in trades:
        data = trade_push("A", [trade])["data"][0]
        made.append(arrived({"topic": "trade", "params": {"symbol": "A"}, "data": data}, line=Line.WS_V2))
    for i in range(20):
        for symbol in ("B", "A"):
            bids = [[str(50 - k), str(i + 1)] for k in range(5)]
            made.append(arrived(depth_push(symbol, bids, [["51", "1"]], f"{base + i}_18")))
    made += [
        arrived(sample("ws-v2-bbo"), line=Line.WS_V2),
        arrived(b"no json"),
        event(event="gap", channel="trade", symbol="A", reason="test", from_ns=1, to_ns=2, healed=False),
        event(event="clock", conn=1, server_ms=1, round_trip_ns=2, offset_ns=3),
    ]
    return [
        record._replace(seq=seq + i, receive_ns=start_ns + i, monotonic_ns=i, hour=(start_ns + i) // HOUR_NS)
        for i, record in enumerate(made)
    ]


def write_story(folder: Path, segments: Sequence[Sequence[Record]] | None = None) -> list[Path]:
    """The segments as files; the last is the open one."""
    return [write_segment(folder, records) for records in segments or story()]


def read(root: Path, table: str, rec: str = REC) -> pa.Table:
    """All rows of a table by the reader's rule, in order of arrival."""
    schema = tables()[table].arrow.remove_metadata()
    pieces = [pq.ParquetFile(path).read().replace_schema_metadata() for path in live(table_files(root, table, rec))]
    return pa.concat_tables([schema.empty_table(), *pieces]).sort_by([("seq", "ascending"), ("idx", "ascending")])


def contents(root: Path) -> dict[str, list[dict[str, Any]]]:
    return {table: read(root, table).to_pylist() for table in tables()}


def expected(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of the story, made in one go without a crash."""
    from recorder.journal.reader import closed_segments
    from recorder.lake.parts import make_parts

    write_story(new_lake(folder))
    make_parts(folder, REC, closed_segments(folder / "journal" / REC))
    rows = contents(folder)
    shutil.rmtree(folder)
    return rows
