"""When a stream could not come, told by the exchange's ledger alone; what coverage calls a gap lies inside of that.

A connection carries a stream from its first word about it (an acknowledgement, a push) to the last frame that was
put on it. Where a fault held frames of the stream back, delayed them, delisted the symbol or said an error, nothing
was certain from the push before to the push after. A stream is out while no connection carries it.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import recorder
from tests.scenarios.ledger import V1_TOPICS, V2_TOPICS

Interval = tuple[int, int]
Stream = tuple[str, str]  # channel, symbol
FOR_EVER = 1 << 62
APIS = {"trade": {"v1", "v2"}, "depth": {"v2"}, "bbo": {"v2"}, "kline": {"v1"}, "ticker": {"v1"}, "depth_delta": {"v1"}}


@dataclass
class Carrier:
    """A connection and what it said of each stream."""

    api: str
    last_ns: int = 0
    first: dict[Stream, int] = field(default_factory=dict)
    pushes: dict[Stream, list[int]] = field(default_factory=lambda: defaultdict(list))
    doubts: dict[Stream, list[Interval]] = field(default_factory=lambda: defaultdict(list))

    def carries(self, stream: Stream) -> list[Interval]:
        """When it did."""
        if stream not in self.first:
            return []
        times = [self.first[stream], *self.pushes[stream]]
        out = [
            (
                max((at for at in times if at <= low), default=self.first[stream]),
                min((at for at in self.pushes[stream] if at >= high), default=FOR_EVER),
            )
            for low, high in self.doubts[stream]
        ]
        return without((self.first[stream], self.last_ns), merged(out))


class Overhang(NamedTuple):
    """Time that coverage calls missing though the stream came."""

    channel: str
    symbol: str
    reason: str
    from_ns: int
    seconds: float


def outages(ledger: Path, speed: float = 1.0) -> dict[Stream, list[Interval]]:
    """Per stream, when no connection carried it."""
    carriers: dict[int, Carrier] = {}
    planned: dict[int, dict[str, Any]] = {}
    begun: dict[int, int] = {}
    delayed: list[tuple[dict[str, Any], Interval]] = []
    for line in ledger.read_bytes().splitlines():
        entry = json.loads(line)
        carrier = carriers.get(entry["conn"])
        if "sent_ns" in entry:
            _said(carriers[entry["conn"]], entry["frame"], entry["sent_ns"])
            continue
        event, at_ns = entry["event"], entry["at_ns"]
        if event == "accept":
            carriers[entry["conn"]] = Carrier(entry["api"])
        elif event == "planned":
            planned[entry["fault"]] = entry
        elif event == "withheld" and carrier is not None:
            stream = stream_of(carrier.api, entry["withheld"])
            if stream is not None:
                carrier.doubts[stream].append((at_ns, at_ns))
        elif event == "reorder" and entry.get("topic") == "diffMergedDepth" and carrier is not None:
            carrier.doubts["depth_delta", entry["symbol"]].append((at_ns, at_ns))  # changes count up: one is missing
        elif event == "delist":
            _doubt(carriers.values(), planned[entry["fault"]]["entry"], (at_ns, at_ns))
        elif event == "delay" and entry.get("phase") == "begin":
            begun[entry["fault"]] = at_ns
        elif event == "delay" and entry.get("phase") == "end":
            about = planned[entry["fault"]]["entry"]
            delayed.append((about, (begun.pop(entry["fault"]), at_ns + int(about["seconds"] / speed * 1e9))))
    for number, at_ns in begun.items():
        delayed.append((planned[number]["entry"], (at_ns, FOR_EVER)))
    for about, interval in delayed:
        _doubt(carriers.values(), about, interval)
    streams = {stream for carrier in carriers.values() for stream in carrier.first}
    return {
        stream: without(
            (0, FOR_EVER),
            merged(
                piece
                for carrier in carriers.values()
                if carrier.api in APIS[stream[0]]
                for piece in carrier.carries(stream)
            ),
        )
        for stream in streams
    }


def faults(ledger: Path, speed: float = 1.0) -> list[Interval]:
    """When the script was at work: each fault from its beginning to its end."""
    spans: dict[int, list[int]] = defaultdict(list)
    late: dict[int, int] = {}
    for line in ledger.read_bytes().splitlines():
        entry = json.loads(line)
        if entry.get("event") == "planned":
            late[entry["fault"]] = int(entry["entry"].get("seconds", 0) / speed * 1e9)
        elif "fault" in entry and entry.get("phase") != "missed":
            spans[entry["fault"]].append(entry["at_ns"])
    return merged((min(times), max(times) + late[number] + 1) for number, times in spans.items())


def overhangs(data: Path, out: Callable[[Stream], list[Interval]], slack_seconds: float) -> list[Overhang]:
    """What coverage calls a gap, or a healed one, further than `slack_seconds` of ours from when a stream was out."""
    slack = int(slack_seconds * 1e9)
    rows = recorder.open_lake(data).sql(
        "SELECT channel, symbol, reason, epoch_ns(from_time), epoch_ns(to_time) FROM coverage "
        "WHERE status IN ('gap', 'healed')"
    )
    return [
        Overhang(channel, symbol, reason, low, (high - low) / 1e9)
        for channel, symbol, reason, *interval in rows.fetchall()
        for low, high in without(
            (interval[0], interval[1]), merged((low - slack, high + slack) for low, high in out((channel, symbol)))
        )
    ]


def stream_of(api: str, frame: Any) -> Stream | None:
    """The stream that a push or an acknowledgement is about."""
    if not isinstance(frame, dict) or "topic" not in frame:
        return None
    channel = (V1_TOPICS if api == "v1" else V2_TOPICS).get(frame["topic"])
    symbol = frame.get("symbol") or (frame.get("params") or {}).get("symbol")
    return (channel, symbol) if channel and symbol else None


def _said(carrier: Carrier, frame: Any, at_ns: int) -> None:
    carrier.last_ns = at_ns
    stream = stream_of(carrier.api, frame)
    if stream is None:
        return
    if "code" in frame and str(frame["code"]) not in ("0", "0000", "200"):
        carrier.doubts[stream].append((at_ns, at_ns))  # the venue says no
        return
    if stream[0] == "depth_delta" and not frame.get("f"):
        return  # only a whole book proves it
    carrier.first.setdefault(stream, at_ns)
    if "code" not in frame and frame.get("data"):
        carrier.pushes[stream].append(at_ns)


def _doubt(carriers: Iterable[Carrier], about: dict[str, Any], interval: Interval) -> None:
    """A fault concerns the streams that its filters let pass, on any connection that was there before its end."""
    topics, symbols = (_listed(about.get(key)) for key in ("topic", "symbol"))
    for carrier in carriers:
        if about.get("api", carrier.api) != carrier.api:
            continue
        names = V1_TOPICS if carrier.api == "v1" else V2_TOPICS
        channels = {names.get(topic.partition("_")[0]) for topic in topics} if topics else set(APIS)
        for channel, symbol in list(carrier.first):
            if (
                channel in channels
                and (not symbols or symbol in symbols)
                and carrier.first[channel, symbol] <= interval[1]
            ):
                carrier.doubts[channel, symbol].append(interval)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The same time, in order and without overlap."""
    found: list[Interval] = []
    for low, high in sorted(intervals):
        if found and low <= found[-1][1]:
            found[-1] = found[-1][0], max(high, found[-1][1])
        elif low < high:
            found.append((low, high))
    return found


def without(whole: Interval, holes: list[Interval]) -> list[Interval]:
    """What is left of `whole` outside of the holes, which are merged."""
    left, at = [], whole[0]
    for low, high in holes:
        if low > at:
            left.append((at, min(low, whole[1])))
        at = max(at, high)
    left.append((at, whole[1]))
    return [(low, high) for low, high in left if low < high]
