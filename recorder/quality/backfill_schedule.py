"""When backfill runs beside the recorder, and how it is started: without loading any of it.

It is a process of its own, so that capture never carries DuckDB. What it needs to know of the past is in the lake.
"""

import sys
from collections.abc import Sequence

from recorder.config import Settings

SECOND = 10**9
MINUTE = 60 * SECOND
EVERY = 10 * MINUTE
AFTER_START = 20 * SECOND  # the lines are up and have sent their histories
AFTER_GAP = 12 * SECOND  # trades have settled; the venue keeps only the last hundred for REST
AFTER_MINUTE = 8 * SECOND  # candles of one minute have closed
APART = 30 * SECOND  # at least, between two starts


def next_run(started_ns: int, last_run_ns: int | None, gap_closed_ns: int | None) -> int:
    """When the next run is due, by our wall clock; a time that has passed means now.

    `started_ns`: of the recorder. `last_run_ns`: start of the last run; None: none yet. `gap_closed_ns`: the last time
    that a stream became whole again; None: never. Ask again when any of them changes.
    """
    if last_run_ns is None:
        return started_ns + AFTER_START
    due = (last_run_ns - AFTER_MINUTE) // EVERY * EVERY + EVERY + AFTER_MINUTE
    if gap_closed_ns is not None:
        for wish in (gap_closed_ns + AFTER_GAP, _minute_after(gap_closed_ns)):
            if last_run_ns < wish:
                due = min(due, wish)
                break
    return max(due, last_run_ns + APART)


def _minute_after(ns: int) -> int:
    """When the candle that was running at `ns` can be confirmed."""
    return ns // MINUTE * MINUTE + MINUTE + AFTER_MINUTE


def command(settings: Settings, *more: str) -> Sequence[str]:
    """The process that does one run with exactly these settings; it ends early on SIGTERM, whole all the same."""
    return [sys.executable, "-m", "recorder.quality.backfill", "--settings", settings.model_dump_json(), *more]
