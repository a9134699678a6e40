"""Records, rows and segments for tests: what arrived, when we say it did, and what the decoder makes of it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from recorder.journal.format import HOUR_NS, Kind, Line, Record, pack
from recorder.journal.reader import segment_name
from recorder.venues.hashkey.decode import Context, decode

FRAMES = Path(__file__).parent
START_NS = 1_790_128_800_000_000_000  # 2026-09-23 02:00:00 UTC, the start of an hour
Row = dict[str, Any]


def sample(name: str) -> bytes:
    """A public sample as the venue would send it: without spaces."""
    return orjson.dumps(orjson.loads((FRAMES / f"{name}.json").read_bytes()))


def arrived(
    payload: bytes | dict[str, Any] | list[Any],
    seq: int = 1,
    kind: int = Kind.TEXT,
    line: int = Line.WS_V1,
    conn: int = 1,
    receive_ns: int | None = None,
) -> Record:
    """A record that arrived `seq` milliseconds after START_NS, unless said otherwise."""
    raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    moment = START_NS + seq * 1_000_000 if receive_ns is None else receive_ns
    return Record(seq, moment, moment, moment // HOUR_NS, conn, kind, line, raw)


def event(seq: int = 1, **fields: Any) -> Record:
    return arrived(fields, seq, Kind.EVENT, Line.OWN, 0)


def head(seq: int = 1, venue: str = "hashkey", session: str = "s1") -> Record:
    """The first record of every segment."""
    return event(seq, event="segment", format=1, venue=venue, session=session, started_ns=START_NS, open=[], live=[])


def reply(body: Any, path: str = "/api/v1/exchangeInfo", seq: int = 1, **about: Any) -> Record:
    """A REST body; `body` as bytes stays as it is."""
    request = {"path": path, "params": {}, "status": 200, "reason": "start", "sent_ns": START_NS} | about
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return arrived(orjson.dumps(request) + b"\n" + raw, seq, Kind.REST, Line.REST, 0)


def decoded(*records: Record | bytes | dict[str, Any] | list[Any], venue: str = "hashkey") -> dict[str, list[Row]]:
    """Rows by table, as dicts; what is not a Record arrives as a V1 text frame."""
    taken = [r if isinstance(r, Record) else arrived(r, seq) for seq, r in enumerate(records, 1)]
    return as_rows(decode(taken, Context(venue, "s1")))


def as_rows(tables: dict[str, Any]) -> dict[str, list[Row]]:
    return {name: pa.table(columns).to_pylist() for name, columns in tables.items()}


def own(row: Row) -> Row:
    """A row without the columns that say how it arrived."""
    common = {"receive_ns", "send_ms", "seq", "idx", "conn", "source"}
    return {key: value for key, value in row.items() if key not in common}


def write_segment(folder: Path, records: Sequence[Record]) -> Path:
    """A segment with these records; the caller puts `head` first."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / segment_name(records[0].seq)
    path.write_bytes(b"".join(map(packed, records)))
    return path


def packed(record: Record) -> bytes:
    r = record
    return pack(r.seq, r.receive_ns, r.monotonic_ns, r.hour, r.conn, r.kind, r.line, r.payload)


def trade_push(symbol: str, trades: Iterable[tuple[int, int, str, str, bool]], first: bool = False) -> Row:
    """A V1 trade push of (id, ms, price, size, buyer is maker)."""
    data = [{"v": str(v), "t": t, "p": p, "q": q, "m": m} for v, t, p, q, m in trades]
    return {"symbol": symbol, "topic": "trade", "params": {}, "data": data, "f": first, "sendTime": 1}


def depth_push(symbol: str, bids: Sequence[Any], asks: Sequence[Any], version: Any = "7_18") -> Row:
    """A V1 depth push."""
    data = [{"e": 301, "s": symbol, "t": 1_790_128_265_172, "v": version, "b": bids, "a": asks, "o": 0}]
    return {"symbol": symbol, "topic": "depth", "params": {}, "data": data, "f": False, "sendTime": 1}
