"""What `recorder status` tells, as one JSON-able document; everything is read, nothing is changed.

Times are ISO 8601 in UTC by our clock unless they are named `exchange_time`.
"""

import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recorder.journal.reader import closed_segments, segments
from recorder.lake.names import PartName
from recorder.lake.raw import raw_files, raw_folder
from recorder.lake.reader import Lake, open_lake
from recorder.lake.retention import read_removed
from recorder.lake.schema import tables
from recorder.lake.settled import holder

CHANNELS = ("trade", "depth", "kline", "bbo", "ticker", "depth_delta", "index_price", "mark_price")
COUNT_ALL = 20_000_000  # rows of a table; of a larger one only the newest days are counted
DAY = 86_400
SHORTEST = 60  # seconds of recording from which growth may be told

Document = dict[str, Any]


def status(root: Path, rec: str, now_ns: int | None = None) -> Document:
    """See the keys below. Raises LakeError if there is no lake at `root`."""
    now = time.time_ns() if now_ns is None else now_ns
    lake = open_lake(root)
    said = reserve(lake)
    return {
        "data": str(root),
        "recorder": rec,
        "now": iso(now),
        **running(root, rec),
        "streams": streams(lake, now),
        "writer": writer(root, rec, now),
        "disk": {**disk(lake, now), **said},
        "raw": {**raw(root), "is_stopped": said["state"] != "ok" and raw_folder(root, rec).is_dir()},
        "retention": retention(root),
        "clock": clock(lake, now),
        "last_event": last_event(lake, now),
    }


def running(root: Path, rec: str) -> Document:
    """Whether capture and the writer live, told by the locks that the kernel takes from the dead."""
    folder = root / "journal" / rec
    pid = holder(folder / "LOCK")
    return {"running": pid is not None, "pid": pid, "writer_running": holder(folder / "WRITER.LOCK") is not None}


def streams(lake: Lake, now: int) -> list[Document]:
    """Each (venue, symbol, channel) that was ever live or has rows, with its rows, freshness and gaps."""
    found: dict[tuple[str, str, str], Document] = {}
    for venue, symbol, channel, *rest in lake.sql(COVERED).fetchall():
        found[venue, symbol, channel] = dict(zip(COVERED_KEYS, rest, strict=True))
    for channel in CHANNELS:
        since = counted_since(lake, channel)
        wanted = f"WHERE date >= DATE '{since}'" if since else ""
        view = tables()[channel].view
        query = f"SELECT venue, symbol, count(*), max(exchange_time), max(receive_ns) FROM {view} {wanted} GROUP BY ALL"
        for venue, symbol, rows, exchange_time, receive_ns in lake.sql(query).fetchall():
            found.setdefault((venue, symbol, channel), {}).update(
                rows=rows,
                rows_since=since,
                last_exchange_time=exchange_time and exchange_time.isoformat() + "Z",
                last_receive_time=iso(receive_ns),
                age_seconds=seconds(now - receive_ns),
            )
    return [{**dict(zip(STREAM, key, strict=True)), **UNKNOWN, **found[key]} for key in sorted(found)]


STREAM = ("venue", "symbol", "channel")
COVERED_KEYS = ("status", "reason", "since", "gaps", "gap_seconds", "healed")
COVERED = """
    SELECT venue, symbol, channel, arg_max(status, from_time), arg_max(reason, from_time),
           strftime(max(from_time), '%Y-%m-%dT%H:%M:%S.%fZ'), count(*) FILTER (status = 'gap'),
           coalesce(round(sum(epoch_ns(to_time) - epoch_ns(from_time)) FILTER (status = 'gap') / 1e9, 3), 0),
           count(*) FILTER (status = 'healed')
    FROM coverage GROUP BY venue, symbol, channel"""
UNKNOWN: Document = {
    "rows": 0,
    "rows_since": None,  # a date: only rows that arrived from then on were counted
    "last_exchange_time": None,
    "last_receive_time": None,
    "age_seconds": None,
    "status": None,  # of the newest interval of coverage: 'gap' means an open gap
    "reason": None,
    "since": None,
    "gaps": 0,
    "gap_seconds": 0.0,
    "healed": 0,
}


def counted_since(lake: Lake, table: str) -> str | None:
    """The date from which rows are counted; None means all. Names tell how many rows there are."""
    total = 0
    parts = [part for file in lake.files(table) if (part := PartName.parse(Path(file).name))]
    for part in sorted(parts, key=lambda part: part.day, reverse=True):
        total += part.rows
        if total > COUNT_ALL:
            return part.date
    return None


def writer(root: Path, rec: str, now: int) -> Document:
    """Closed segments that are not parts yet, and what is still being written."""
    waiting = [found for path in closed_segments(root / "journal" / rec) if (found := stat(path))]
    newest = [found for path in segments(root / "journal" / rec)[-1:] if (found := stat(path))]
    return {
        "segments_waiting": len(waiting),
        "bytes_waiting": sum(found.st_size for found in waiting),
        "oldest_age_seconds": seconds(now - min(found.st_mtime_ns for found in waiting)) if waiting else None,
        "open_segment_bytes": sum(found.st_size for found in newest),
    }


def disk(lake: Lake, now: int) -> Document:
    """Bytes by table, and how long the disk lasts if recording goes on as in the last day."""
    sizes = {table: sum(size for _, size in files(lake.path, table)) for table in tables()}
    kept = (stat(path) for path in (lake.path / "journal").rglob("*.jrn"))
    journal = sum(found.st_size for found in kept if found)
    archive = sum(size for _, size in raw_sizes(lake.path))
    free = shutil.disk_usage(lake.path).free
    growth = bytes_per_day(lake, now)
    return {
        "lake_bytes": sum(sizes.values()) + journal + archive,
        "table_bytes": {table: size for table, size in sizes.items() if size},
        "journal_bytes": journal,
        "free_bytes": free,
        "bytes_per_day": growth,
        "days_left": round(free / growth, 1) if growth else None,
    }


def bytes_per_day(lake: Lake, now: int) -> int | None:
    """Growth of live files and raw archives since the start of yesterday; None while too little time has passed."""
    yesterday = (now // 1_000_000_000 // DAY - 1) * DAY
    query = "SELECT (SELECT min(receive_ns) FROM session), (SELECT max(last_ns) FROM last_moment)"
    began, last = (at and at / 1e9 for at in lake.sql(query).fetchall()[0])
    if began is None or last - max(began, yesterday) < SHORTEST:
        return None
    first_date = f"{datetime.fromtimestamp(yesterday, UTC):%Y-%m-%d}"
    grown: int = 0
    for table in tables():
        for file in lake.files(table):
            found, part = stat(Path(file)), PartName.parse(Path(file).name)
            grown += found.st_size if found and part and part.date >= first_date else 0
    grown += sum(size for date, size in raw_sizes(lake.path) if date >= first_date)
    return int(grown / (last - max(began, yesterday)) * DAY)


def reserve(lake: Lake) -> Document:
    """What capture said last of its disk: 'ok', 'low' (less free than the reserve) or 'failing' (it cannot write)."""
    said = {event: (at, detail) for event, at, detail in lake.sql(DISK_EVENTS).fetchall()}
    for state, bad, good in (("failing", "error", "journal_writes_again"), ("low", "disk_low", "disk_well")):
        if bad in said and all(said[bad] > said[other] for other in (good, "start") if other in said):
            at, detail = said[bad]
            return {"state": state, "state_since": iso(at), "state_detail": detail}
    return {"state": "ok", "state_since": None, "state_detail": None}


DISK_EVENTS = """
    SELECT event, max(receive_ns), coalesce(arg_max(detail ->> 'detail', receive_ns), '')
    FROM session
    WHERE event IN ('disk_low', 'disk_well', 'journal_writes_again', 'start')
       OR (event = 'error' AND detail ->> 'detail' LIKE 'journal: %')
    GROUP BY event"""


def raw(root: Path) -> Document:
    """Raw archives: how much, and how far back they reach."""
    dates: dict[str, int] = {}
    for date, size in raw_sizes(root):
        dates[date] = dates.get(date, 0) + size
    first, last = min(dates, default=None), max(dates, default=None)
    return {"bytes": sum(dates.values()), "first_date": first, "last_date": last}


def raw_sizes(root: Path) -> Iterator[tuple[str, int]]:
    """(date of arrival, bytes) of each raw archive."""
    for _, _, path in raw_files(root):
        found = stat(path)
        if found:
            yield path.parent.name.removeprefix("date="), found.st_size


def retention(root: Path, shown: int = 5) -> Document:
    """What retention removed so far, and the last of it, by run and rule."""
    removed = read_removed(root)
    runs: dict[tuple[int, str], Document] = {}
    for done in removed:
        run = runs.setdefault((done.removed_ns, done.rule), {"time": iso(done.removed_ns), "rule": done.rule})
        run["files"] = run.get("files", 0) + 1
        run["bytes"] = run.get("bytes", 0) + done.bytes
        run["rows"] = run.get("rows", 0) + (done.rows or 0)
    last = [runs[key] for key in sorted(runs, reverse=True)[:shown]]
    return {"files": len(removed), "bytes": sum(done.bytes for done in removed), "last": last}


def clock(lake: Lake, now: int) -> Document | None:
    """The latest pong; offset is the venue's clock minus ours."""
    query = "SELECT venue, offset_ns, round_trip_ns, receive_ns FROM clock ORDER BY receive_ns DESC LIMIT 1"
    for venue, offset, round_trip, at in lake.sql(query).fetchall():
        age = seconds(now - at)
        return {"venue": venue, "offset_ns": offset, "round_trip_ns": round_trip, "age_seconds": age}
    return None


def last_event(lake: Lake, now: int) -> Document | None:
    query = "SELECT receive_ns, event, channel, symbol, detail FROM session ORDER BY receive_ns DESC, seq DESC LIMIT 1"
    for at, event, channel, symbol, detail in lake.sql(query).fetchall():
        told = {"time": iso(at), "age_seconds": seconds(now - at), "event": event}
        return {**told, "channel": channel, "symbol": symbol, "detail": detail}
    return None


def files(root: Path, table: str) -> Iterator[tuple[Path, int]]:
    """Every file of a table with its size, superseded ones too."""
    for place in ("hot", "sealed"):
        for path in (root / place / table).glob("*/*.parquet"):
            found = stat(path)
            if found:
                yield path, found.st_size


def stat(path: Path) -> os.stat_result | None:
    """None for what has vanished meanwhile."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def iso(nanoseconds: int) -> str:
    return f"{datetime.fromtimestamp(nanoseconds // 1000 / 1e6, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def seconds(nanoseconds: int) -> float:
    return round(nanoseconds / 1e9, 3)
