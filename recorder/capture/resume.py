"""Read from the journal of the last run what it knew when it ended: live streams and open gaps.

The head of the newest segment holds the state at its start; own events after it carry it on. Streams
that were live are lost since the last sign of life of the lines that bring them.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from recorder.capture.streams import Event, Key, Opened, Streams
from recorder.capture.trades import Trades
from recorder.journal.format import Kind, Record
from recorder.journal.recover import Recovery
from recorder.venues.hashkey.peek import trade_ids
from recorder.venues.hashkey.subscribe import ROUTES, channel_of_stream

MARGIN_NS = 100_000_000  # what was on its way when the process died
HEAD_BYTES = 200  # within which a push names its topic
_IS_TRADE = re.compile(rb'^\[|"topic": ?"trade"').search
LINES_OF: dict[str, set[int]] = {}
for _route in ROUTES:
    LINES_OF.setdefault(channel_of_stream(_route.stream), set()).add(_route.line)


@dataclass(slots=True)
class LastRun:
    """What was live, which gaps were open, and when each line last spoke."""

    live: set[Key] = field(default_factory=set)
    open: dict[Key, Opened] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)  # line -> receive_ns


def last_run(found: Recovery) -> LastRun:
    """Replay the own events after the newest head."""
    run = LastRun()
    head = found.head or {}
    for channel, symbols in _pairs(head.get("live")):
        run.live.update((channel, symbol) for symbol in symbols)
    for item in head.get("open") or ():
        channel, symbol, since_ns, reason = item
        run.open[channel, symbol] = Opened(since_ns, reason, None)
    run.seen.update({int(line): ns for line, ns in _pairs(head.get("seen"))})
    run.seen.update(found.last_of_line)
    for _, event in found.events:
        _apply(run, event)
    return run


def _pairs(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else ()


def _apply(run: LastRun, event: Event) -> None:
    key = (str(event.get("channel", "")), str(event.get("symbol", "")))
    match event.get("event"):
        case "live":
            run.live.add(key)
        case "lost":
            run.live.discard(key)
            run.open[key] = Opened(event["since_ns"], event["reason"], None)
        case "gap":
            run.open.pop(key, None)
        case "unsubscribe":
            run.live.discard(key)
            run.open.pop(key, None)


def boot_id() -> str:
    """Tells one boot of the machine from another; '' where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def why_down(found: Recovery, boot: str, monotonic_ns: int) -> str:
    """Whether the machine was down since the last record, or only our process."""
    before = (found.head or {}).get("boot")
    if before and boot:
        return "machine down" if before != boot else "process down"
    went_back = found.last_monotonic_ns is not None and found.last_monotonic_ns > monotonic_ns
    return "machine down" if went_back else "process down"


def learn_trades(trades: Trades, record: Record) -> None:
    """What a record of the journal says of the trades that we have. Give it all records, in order."""
    payload = record.payload
    if record.kind == Kind.EVENT:
        if payload.startswith(b'{"event":"segment"'):
            with suppress(ValueError):
                trades.restore(orjson.loads(payload).get("trades"))
    elif record.kind == Kind.BINARY or (record.kind == Kind.TEXT and _IS_TRADE(payload, 0, HEAD_BYTES)):
        for symbol, _, ids in trade_ids(payload):
            trades.arrived(symbol, ids, record.receive_ns)


def resume(streams: Streams, found: Recovery, wanted: Iterable[Key] = (), reason: str = "process down") -> list[Event]:
    """Open the gaps that the last run left behind; returns the own events about them and about damage that was found.

    Each gap is told at once: a stream may not come back in this run either, and its last sign of life is known now.
    Without a readable state, every wanted stream counts as one that was live.
    """
    if found.last_ns is None:
        return []
    run = last_run(found)
    if found.head is None:
        run.live.update(wanted)
    since = {
        key: min(
            found.last_ns, max((run.seen.get(line, 0) for line in LINES_OF.get(key[0], ())), default=0) or found.last_ns
        )
        - MARGIN_NS
        for key in run.live
    }
    lost = streams.restore(run.live, run.open, since, reason)
    events: list[Event] = [
        {"event": "journal_recovered", "detail": f"{cut.bytes} bytes of a torn tail cut off", "file": cut.file}
        for cut in found.cuts
    ]
    for damage in found.damages:
        detail = f"{damage.bytes} damaged bytes set aside, seq {damage.first_seq} to {damage.last_seq} lost"
        events.append({"event": "journal_recovered", "detail": detail, "file": f"damaged/{damage.file}"})
        if damage.from_ns is not None and damage.to_ns is not None:
            events += [
                {
                    "event": "gap",
                    "channel": channel,
                    "symbol": symbol,
                    "reason": "journal damaged",
                    "from_ns": damage.from_ns,
                    "to_ns": damage.to_ns,
                    "seq_before": damage.first_seq - 1,
                    "seq_after": damage.last_seq + 1,
                    "healed": False,
                }
                for channel, symbol in sorted(run.live | run.open.keys())
            ]
    return events + lost
