"""The two clocks: the venue's, which each pong tells, and ours, whose steps the monotonic one betrays."""

from collections import deque
from typing import Any

Event = dict[str, Any]
STEP_NS = 100_000_000  # a wall clock that moves this much more or less than the monotonic one has stepped
LEAST_MARGIN_NS = 100_000_000
MOST_MARGIN_NS = 1_000_000_000


class PingClock:
    """Round trips of one connection. A pong is the server's clock and no echo, so we time our own pings.

    Answers come in the order of the pings: it is one TCP connection.
    """

    def __init__(self) -> None:
        self._sent: deque[int] = deque(maxlen=16)
        self.round_trip_ns: int | None = None

    def sent(self, monotonic_ns: int) -> None:
        self._sent.append(monotonic_ns)

    def pong(self, conn: int, server_ms: int | None, receive_ns: int, monotonic_ns: int) -> Event | None:
        """The `clock` event of a pong: the venue's clock minus ours, at the middle of the round trip."""
        if not self._sent:
            return None
        round_trip_ns = monotonic_ns - self._sent.popleft()
        self.round_trip_ns = round_trip_ns
        if server_ms is None:
            return None
        return {
            "event": "clock",
            "conn": conn,
            "server_ms": server_ms,
            "round_trip_ns": round_trip_ns,
            "offset_ns": server_ms * 1_000_000 - (receive_ns - round_trip_ns // 2),
        }

    @property
    def margin_ns(self) -> int:
        """How long before its last frame a line may already have lost something that was on its way."""
        return min(MOST_MARGIN_NS, max(LEAST_MARGIN_NS, self.round_trip_ns or 0))


class StepDetector:
    """Tells when the wall clock was set. It counts from the last look, so slow drift is no step."""

    def __init__(self, wall_ns: int, monotonic_ns: int) -> None:
        self._wall, self._monotonic = wall_ns, monotonic_ns

    def look(self, wall_ns: int, monotonic_ns: int) -> Event | None:
        """A `clock_step` event if the wall clock moved otherwise than time did since the last look."""
        step = (wall_ns - self._wall) - (monotonic_ns - self._monotonic)
        self._wall, self._monotonic = wall_ns, monotonic_ns
        if abs(step) <= STEP_NS:
            return None
        way = "forward" if step > 0 else "back"
        return {
            "event": "clock_step",
            "step_ns": step,
            "detail": f"our wall clock was set {way} by {abs(step) / 1e9:.3f} s",
        }
