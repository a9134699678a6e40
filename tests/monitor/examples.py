"""Numbers of a recorder that is well, to be spoilt one at a time."""

from dataclasses import replace
from typing import Any

from recorder.monitor.numbers import LineNumbers, Numbers, StreamNumbers, Writer

LINE = LineNumbers("ws_v2", True, 3, 1_000, 250_000, 0.4, 0.012, -0.001)
STREAM = StreamNumbers("ws_v2", "depth", "BTCUSD", 600, 0.7)
WELL = Numbers(
    session="20260301T120000Z-abcd",
    running_seconds=3_600.0,
    disk="ok",
    disk_detail="",
    disk_free_bytes=5_000_000_000,
    queued_bytes=0,
    dropped_records=0,
    symbols=1,
    live_streams=1,
    open_gaps=0,
    gaps=2,
    errors=0,
    unknown_frames=0,
    rest_ok=True,
    rest_error="",
    writer_running=True,
    writer=Writer(segments_waiting=0, lag_seconds=0.0, journal_bytes=70_000),
    lines=(LINE,),
    streams=(STREAM,),
)


def but(**spoilt: Any) -> Numbers:
    return replace(WELL, **spoilt)


def line(**spoilt: Any) -> Numbers:
    return replace(WELL, lines=(replace(LINE, **spoilt),))
