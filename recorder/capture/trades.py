"""Which trades we know, and what V1's history proves about a gap: that nothing is missing, or that something is.

V1 begins each subscription with the newest 60 trades. If one of them was known from before the gap, then
all that came after it are in the history too: the gap is healed. If all are newer than everything known,
more trades are missing than the venue repeats, and the gap stays. So does one of more than a day: readers look for
a trade among the files of the day after it at the latest.

Ids are only compared for being equal; the venue promises no order. A trade counts as known once its frame
is in the journal, with the time at which it arrived: what came after a gap proves nothing about it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
KEPT = 100  # newest ids of a symbol
IN_HEAD = 8  # of those, in the head of each segment
MOST_WAITING = 20  # gaps of a symbol; V2 may come and go while V1 is away
CHANNEL = "trade"
BEYOND = "more trades missing than the venue repeats"
LATE = "its trades are more than a day old: readers would not find them by their time"
LATEST_NS = 23 * 3600 * 1_000_000_000  # from the beginning of a gap to the history that heals it


@dataclass(slots=True)
class _Symbol:
    ids: dict[int, int] = field(default_factory=dict)  # -> receive_ns of the first arrival, in order of arrival
    history: list[int] = field(default_factory=list)  # the last one, as sent
    history_ns: int = -1
    waiting: list[tuple[Event, frozenset[int]]] = field(default_factory=list)  # gaps before their history, ids before

    def known_before(self, ns: int) -> frozenset[int]:
        return frozenset(trade_id for trade_id, arrived_ns in self.ids.items() if arrived_ns < ns)


class Trades:
    """The newest trades of each symbol, and the gaps that wait for a history."""

    def __init__(self) -> None:
        self._symbols: dict[str, _Symbol] = {}

    def arrived(self, symbol: str, ids: Iterable[int], receive_ns: int) -> bool:
        """These are in the journal now; whether one of them is new."""
        known = self._of(symbol).ids
        before = len(known)
        for trade_id in ids:
            known.setdefault(trade_id, receive_ns)
        is_news = len(known) > before
        for _ in range(len(known) - KEPT):
            del known[next(iter(known))]
        return is_news

    def history(self, symbol: str, ids: list[int], receive_ns: int) -> list[Event]:
        """What V1 repeats at the beginning; tell it before `arrived`. Returns what it says of gaps that had ended."""
        state = self._of(symbol)
        if not ids and state.ids:
            return []  # nothing yet: it may still be filled
        state.history, state.history_ns = ids, receive_ns
        events = [_judged(gap, ids, receive_ns, before) for gap, before in state.waiting]
        state.waiting.clear()
        return events

    def judge(self, events: list[Event]) -> list[Event]:
        """The same events, in which each gap of trades that a history has closed is healed."""
        told = list(events)
        for event in events:
            if event["event"] != "gap" or event["channel"] != CHANNEL:
                continue
            state, to_ns = self._of(event["symbol"]), event["to_ns"]
            before = state.known_before(to_ns)
            if state.history_ns < to_ns:
                state.waiting.append((event, before))
                del state.waiting[:-MOST_WAITING]
                continue
            verdict = _judged(event, state.history, state.history_ns, before)
            if verdict["event"] == "gap":
                event["healed"] = True
            else:
                event["detail"] = verdict["detail"]
                told.append(verdict)
        return told

    def waiting(self) -> list[str]:
        """Symbols with a gap that only a history can close."""
        return [symbol for symbol, state in self._symbols.items() if state.waiting]

    def forget(self, symbol: str) -> None:
        """The symbol is not recorded any more."""
        self._symbols.pop(symbol, None)

    # Across runs

    def head(self) -> list[list[Any]]:
        """The last few ids of each symbol, as in the head of a segment."""
        return [[symbol, list(state.ids)[-IN_HEAD:]] for symbol, state in self._symbols.items() if state.ids]

    def restore(self, head: Any) -> None:
        """Take the ids from a head; what is known already stays newer."""
        for item in head if isinstance(head, list) else ():
            match item:
                case [str(symbol), list(ids)]:
                    known = self._of(symbol)
                    known.ids = {i: 0 for i in ids if type(i) is int and i not in known.ids} | known.ids

    def _of(self, symbol: str) -> _Symbol:
        return self._symbols.setdefault(symbol, _Symbol())


def _joins(history: list[int], before: Iterable[int]) -> bool:
    """Whether nothing can be missing between what was known and the history."""
    known = set(before)
    return any(trade_id in known for trade_id in history) if known else not history


def _judged(gap: Event, history: list[int], history_ns: int, before: Iterable[int]) -> Event:
    """The gap, healed, or why it is not."""
    if not _joins(history, before):
        detail = BEYOND
    elif history_ns - gap["from_ns"] > LATEST_NS:
        detail = LATE
    else:
        return {**gap, "healed": True}
    fields = {key: gap[key] for key in ("channel", "symbol", "from_ns", "to_ns")}
    return {"event": "not_healed", **fields, "detail": detail}
