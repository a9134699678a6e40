"""Whether local times can follow exchange times, and by how much our clock must be shifted so that they do.

A backtester needs every row to be received after it happened. Two clocks that disagree can say otherwise. Then
nothing is shifted in silence: the export is refused, with what was measured, until somebody chooses.
"""

from typing import Literal

from recorder.exports.coverage import Clock
from recorder.exports.errors import ExportError
from recorder.exports.source import Latency
from recorder.exports.times import seconds

ClockOffset = int | Literal["measured"] | None
LARGE_NS = 50_000_000  # an offset that makes latencies meaningless without making them negative


def applied_offset(asked: ClockOffset, clock: Clock, latency: Latency, what: str) -> int:
    """What to add to receive_ns. Raises ExportError if some row would still be received before it happened."""
    if asked == "measured":
        if clock.offset_ns is None:
            raise ExportError(f"{what}: --clock-offset measured: no pong was measured in this range; give it in ns")
        shift = clock.offset_ns
    else:
        shift = asked or 0
    if latency.least_ns is None or latency.least_ns + shift >= 0:
        return shift
    if clock.offset_ns is None:
        measured = "no pong was measured in this range"
    else:
        measured = (
            f"the venue's clock is {_apart(clock.offset_ns)} ours by the median of {clock.pongs} pongs "
            f"({seconds(clock.lowest_ns or 0)} to {seconds(clock.highest_ns or 0)})"
        )
    ways = [f"--clock-offset {-latency.least_ns} adds that many ns to each local time, the least that is enough"]
    if asked is None and clock.offset_ns is not None and clock.offset_ns + latency.least_ns >= 0:
        ways.insert(0, f"--clock-offset measured adds {clock.offset_ns} ns to each local time")
    shifted = f" after a shift of {seconds(shift)}" if shift else ""
    raise ExportError(
        f"{what}: rows were received up to {seconds(-latency.least_ns - shift)} before they happened{shifted}: "
        f"the clocks disagree; {measured}. {', or '.join(ways)}"
    )


def _apart(ns: int) -> str:
    return f"{seconds(abs(ns))} {'ahead of' if ns >= 0 else 'behind'}"


def notes(clock: Clock, shift: int) -> list[str]:
    """What a reader of the sidecar should know."""
    if clock.offset_ns is None:
        return ["the clocks were never compared in this range: latencies may be off by any amount"]
    if abs(clock.offset_ns - shift) > LARGE_NS:
        return [
            f"the venue's clock was {_apart(clock.offset_ns - shift)} the local times: latencies are off by as much"
        ]
    return []
