"""Which streams are whole: each (channel, symbol), over all the connections that bring it.

A stream is whole while at least one connection is proved to bring it. When the last one goes, a gap is
open from the moment until which it was certain; when one is proved again, the gap is closed and becomes
an own event. Everything here is told the time; what it returns are the own events to journal.

The state fits into the head of each segment, so that after a sudden death the next run knows which
streams were alive and which gaps were open.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
Key = tuple[str, str]  # channel, symbol


@dataclass(slots=True)
class Carried:
    """A stream on one connection: it is live there when all topics that make it up are proved."""

    proved: set[str] = field(default_factory=set)
    live_from: int | None = None  # None: not live
    seq: int | None = None  # of the frame that proved it


@dataclass(slots=True)
class Stream:
    needs: dict[int, set[str]] = field(default_factory=dict)  # by line: the topics that make it up there
    carried: dict[int, Carried] = field(default_factory=dict)  # by connection
    until: int | None = None  # the last moment of which a connection that lost it was certain

    @property
    def is_live(self) -> bool:
        return any(carried.live_from is not None for carried in self.carried.values())


@dataclass(slots=True)
class Opened:
    """A gap that is still open."""

    since_ns: int
    reason: str
    seq_before: int | None


class Streams:
    def __init__(self) -> None:
        self._streams: dict[Key, Stream] = {}
        self._open: dict[Key, Opened] = {}

    # What is wanted

    def want(self, line: int, channel: str, topic: str, symbol: str) -> None:
        """A topic that is needed on a connection of this line for the stream to be live there."""
        self._streams.setdefault((channel, symbol), Stream()).needs.setdefault(line, set()).add(topic)

    def unwant(self, channel: str, symbol: str, now_ns: int) -> list[Event]:
        """The stream is not wanted any more: an open gap ends here."""
        self._streams.pop((channel, symbol), None)
        return self._close((channel, symbol), now_ns, None)

    def is_live(self, channel: str, symbol: str) -> bool:
        stream = self._streams.get((channel, symbol))
        return stream is not None and stream.is_live

    def live(self) -> list[Key]:
        return [key for key, stream in self._streams.items() if stream.is_live]

    def open_gaps(self) -> dict[Key, Opened]:
        return dict(self._open)

    # What happens

    def proved(
        self, line: int, conn: int, channel: str, topic: str, symbol: str, now_ns: int, seq: int | None
    ) -> list[Event]:
        """A topic was proved to arrive: the stream may be live on this connection, and its gap may end."""
        stream = self._streams.get((channel, symbol))
        if stream is None or line not in stream.needs:
            return []
        carried = stream.carried.setdefault(conn, Carried())
        carried.proved.add(topic)
        if carried.live_from is not None or not stream.needs[line] <= carried.proved:
            return []
        carried.live_from, carried.seq = now_ns, seq
        live = {"event": "live", "conn": conn, "channel": channel, "symbol": symbol}
        return [live, *self._close((channel, symbol), now_ns, seq)]

    def unproved(self, conn: int, topic: str, channel: str, symbol: str, since_ns: int, reason: str) -> list[Event]:
        """A topic comes no more on a connection that stays open; it was certain until `since_ns`."""
        stream = self._streams.get((channel, symbol))
        carried = stream.carried.get(conn) if stream else None
        if stream is None or carried is None or topic not in carried.proved:
            return []
        carried.proved.discard(topic)
        return self._lose((channel, symbol), stream, carried, since_ns, reason, None)

    def hole(
        self, conn: int, channel: str, symbol: str, from_ns: int, to_ns: int, reason: str, margin_ns: int = 0
    ) -> list[Event]:
        """A connection is live, but did not bring the stream between these two moments.

        The gap begins `margin_ns` earlier, and ends where another connection begins to bring the stream.
        """
        stream = self._streams.get((channel, symbol))
        carried = stream.carried.get(conn) if stream else None
        if stream is None or carried is None or carried.live_from is None:
            return []
        others = [other.live_from for other in stream.carried.values() if other is not carried]
        to_ns = min([to_ns, *(live_from for live_from in others if live_from is not None)])
        from_ns = max(from_ns, carried.live_from)
        if from_ns >= to_ns:
            return []
        return [
            self._gap((channel, symbol), Opened(max(from_ns - margin_ns, carried.live_from), reason, None), to_ns, None)
        ]

    def conn_lost(self, conn: int, since_ns: int, reason: str, seq_before: int | None) -> list[Event]:
        """A connection is gone; it was certain until `since_ns`."""
        events: list[Event] = []
        for key, stream in self._streams.items():
            carried = stream.carried.pop(conn, None)
            if carried is not None:
                events += self._lose(key, stream, carried, since_ns, reason, seq_before)
        return events

    def frames_lost(self, from_ns: int, to_ns: int, reason: str) -> list[Event]:
        """Frames of all lines between these two moments are lost, though the lines may live."""
        events = [
            self._gap(key, Opened(from_ns, reason, None), to_ns, None) for key in self.live() if key not in self._open
        ]
        for gap in self._open.values():
            gap.since_ns = min(gap.since_ns, from_ns)
        return events

    def stop(self, now_ns: int, reason: str = "stopped") -> list[Event]:
        """We end on purpose: what was live is lost from here on."""
        conns = dict.fromkeys(conn for stream in self._streams.values() for conn in stream.carried)
        return [event for conn in conns for event in self.conn_lost(conn, now_ns, reason, None)]

    # Across runs

    def head(self) -> Event:
        """`open` and `live`, as in the head of a segment."""
        live: dict[str, list[str]] = {}
        for channel, symbol in self.live():
            live.setdefault(channel, []).append(symbol)
        return {
            "open": [[c, s, gap.since_ns, gap.reason] for (c, s), gap in self._open.items()],
            "live": [[channel, symbols] for channel, symbols in live.items()],
        }

    def restore(
        self, was_live: Iterable[Key], was_open: dict[Key, Opened], since: dict[Key, int], reason: str = "process down"
    ) -> list[Event]:
        """Take over from a run that ended: what was live then is lost since, whatever brought it."""
        self._open.update(was_open)
        for key in was_live:
            self._open.setdefault(key, Opened(since[key], reason, None))
        return [_event("lost", key, since_ns=gap.since_ns, reason=gap.reason) for key, gap in self._open.items()]

    def _lose(
        self, key: Key, stream: Stream, carried: Carried, since_ns: int, reason: str, seq_before: int | None
    ) -> list[Event]:
        if carried.live_from is None:
            return []
        certain = max(since_ns, carried.live_from, stream.until or 0)
        carried.live_from = None
        stream.until = certain
        gap = Opened(certain, reason, seq_before)
        living = [other for other in stream.carried.values() if other.live_from is not None]
        if not living:
            self._open[key] = gap
            return [_event("lost", key, since_ns=certain, reason=reason)]
        # A line that died in silence is found out late: another may have come back only after it.
        first = min(living, key=lambda other: other.live_from or 0)
        if first.live_from is not None and first.live_from > certain:
            return [self._gap(key, gap, first.live_from, first.seq)]
        return []

    def _close(self, key: Key, now_ns: int, seq: int | None) -> list[Event]:
        gap = self._open.pop(key, None)
        return [] if gap is None else [self._gap(key, gap, now_ns, seq)]

    def _gap(self, key: Key, gap: Opened, to_ns: int, seq_after: int | None) -> Event:
        return _event(
            "gap",
            key,
            reason=gap.reason,
            from_ns=gap.since_ns,
            to_ns=max(to_ns, gap.since_ns),
            seq_before=gap.seq_before,
            seq_after=seq_after,
            healed=False,
        )


def _event(name: str, key: Key, **fields: Any) -> Event:
    return {"event": name, "channel": key[0], "symbol": key[1], **fields}
