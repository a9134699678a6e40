"""What the recorder is doing, as plain numbers: read from capture's own state and from names and sizes on disk.

Nothing is opened, locked or asked for: whoever looks, and however often, costs capture next to nothing.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recorder.journal.reader import segments

if TYPE_CHECKING:
    from recorder.capture.state import CaptureState, LineState


@dataclass(frozen=True, slots=True)
class LineNumbers:
    name: str
    connected: bool
    connects: int
    frames: int
    bytes: int
    last_frame_seconds: float | None  # ago; None: not one yet
    round_trip_seconds: float | None
    clock_offset_seconds: float | None  # the venue's clock minus ours


@dataclass(frozen=True, slots=True)
class StreamNumbers:
    line: str
    topic: str
    symbol: str
    frames: int
    last_frame_seconds: float | None


@dataclass(frozen=True, slots=True)
class Writer:
    """What the journal holds and how much of it waits to become parts."""

    segments_waiting: int
    lag_seconds: float  # since the oldest segment that waits was closed; 0 if none does
    journal_bytes: int


@dataclass(frozen=True, slots=True)
class Numbers:
    session: str
    running_seconds: float
    disk: str  # 'ok', 'low' (less free than the reserve) or 'failing' (it cannot be written)
    disk_detail: str
    disk_free_bytes: int | None
    queued_bytes: int  # in memory only
    dropped_records: int
    symbols: int
    live_streams: int
    open_gaps: int
    gaps: int  # in all, since the start
    errors: int
    unknown_frames: int
    rest_ok: bool | None
    rest_error: str
    writer_running: bool
    writer: Writer
    lines: tuple[LineNumbers, ...]
    streams: tuple[StreamNumbers, ...]


def look_at_journal(folder: Path, now: float | None = None) -> Writer:
    """From names, sizes and times of its files; it touches the disk, so not on the event loop."""
    found = []
    for path in segments(folder):
        try:
            found.append(path.stat())
        except FileNotFoundError:
            continue  # it became parts meanwhile
    waiting = found[:-1]  # all but the one that is being written
    now = time.time() if now is None else now
    lag = max((now - file.st_mtime for file in waiting), default=0.0)
    return Writer(len(waiting), max(0.0, lag), sum(file.st_size for file in found))


def read(state: "CaptureState", writer: Writer, writer_running: bool, now_ns: int) -> Numbers:
    """As of `now_ns`."""
    disk, detail = "ok", ""
    if state.disk_low:
        disk, detail = "low", "less space is free than [journal] reserve_mb"
    if state.journal_state != "ok":
        disk, detail = "failing", state.journal.error or "frames had to be dropped"
    return Numbers(
        session=state.session,
        running_seconds=(now_ns - state.started_ns) / 1e9,
        disk=disk,
        disk_detail=detail,
        disk_free_bytes=state.disk_free,
        queued_bytes=state.journal.queued_bytes,
        dropped_records=state.journal.dropped,
        symbols=len(state.symbols),
        live_streams=state.live,
        open_gaps=state.open_gaps,
        gaps=state.gaps,
        errors=state.errors,
        unknown_frames=state.unknown_frames,
        rest_ok=state.rest_ok,
        rest_error=state.rest_error,
        writer_running=writer_running,
        writer=writer,
        lines=tuple(_line(line, now_ns) for line in state.lines.values()),
        streams=tuple(
            StreamNumbers(line.name, topic.topic, topic.symbol, topic.frames, _ago(topic.last_ns, now_ns))
            for line in state.lines.values()
            for topic in line.topics.values()
        ),
    )


def _line(line: "LineState", now_ns: int) -> LineNumbers:
    return LineNumbers(
        name=line.name,
        connected=line.connected,
        connects=line.connects,
        frames=line.frames,
        bytes=line.bytes,
        last_frame_seconds=_ago(line.last_ns, now_ns),
        round_trip_seconds=None if line.round_trip_ns is None else line.round_trip_ns / 1e9,
        clock_offset_seconds=None if line.offset_ns is None else line.offset_ns / 1e9,
    )


def _ago(ns: int, now_ns: int) -> float | None:
    return max(0.0, (now_ns - ns) / 1e9) if ns else None
