"""Whether the recorder is well: a list of what is wrong, empty if nothing is. Pure, and slow to complain.

A line that is cut is back in a second and its gap is on record; that is everyday life and no alarm.
"""

from recorder.monitor.numbers import Numbers

PATIENCE_SECONDS = 60.0  # venues close lines, and we need time to notice and to come back
WRITER_SECONDS = 120.0  # a closed segment becomes parts within a second or two


def problems(now: Numbers) -> list[str]:
    """One sentence each, for people: what is wrong, and where to look."""
    found = []
    if now.disk != "ok":
        found.append(f"disk {now.disk}: {now.disk_detail}")
    for line in now.lines:
        silent = now.running_seconds if line.last_frame_seconds is None else line.last_frame_seconds
        if silent > PATIENCE_SECONDS:
            what = "open but silent" if line.connected else "not connected"
            found.append(f"line {line.name}: {what}, no frame for {silent:.0f} s")
    if not now.live_streams and now.running_seconds > PATIENCE_SECONDS:
        why = f": {now.rest_error}" if now.rest_error else ""
        found.append(f"no stream is live{why}")
    if now.writer.lag_seconds > WRITER_SECONDS:
        waiting, state = now.writer.segments_waiting, "" if now.writer_running else " and does not run"
        found.append(f"writer: {now.writer.lag_seconds:.0f} s behind with {waiting} segments{state}; see the log")
    return found
