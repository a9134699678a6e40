"""Compare the venue's last trades, as REST gives them, with those that the lake holds. Pure.

REST trades have no id, and two equal ones may be two trades, so both sides are compared as multisets of (time, price,
size, side). A gap is healed only when the answer is proved to be whole over it: it begins with a trade that was known
before the gap, goes on to one that was known after it, and nothing between them is missing any more. Our clock
and the venue's are set side by side by the trades themselves: the quickest one tells the difference.
Source: reference of the market data, sections 4.3 and 6.4.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from recorder.errors import VenueError
from recorder.lake.backfill_sql import Gap, Known
from recorder.quality.plan import Left

SLACK_NS = 2_000_000_000  # by which the edge of a gap may lie elsewhere on the venue's clock

TOO_MANY = "the venue no longer gives the trades from before it"
NONE_AFTER = "no trade after it is known yet"
DOUBTFUL = "trades outside of it are missing too"
TOO_OLD = "its trades are more than a day old: readers would not find them by their time"


class Trade(NamedTuple):
    """A trade of REST; equal ones are not the same."""

    time_ms: int
    price: Decimal
    size: Decimal
    buyer_is_maker: bool


@dataclass(slots=True)
class Match:
    """Places in the answer of trades that the lake misses, and what became of each gap."""

    keep: list[int] = field(default_factory=list)
    healed: list[Gap] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


def read_trades(document: Any) -> list[Trade]:
    """The answer of REST. Raises VenueError if it cannot be read as a whole."""
    try:
        return [_trade(item) for item in document]
    except (TypeError, KeyError, ValueError, AttributeError, InvalidOperation) as error:
        raise VenueError(f"trades by REST cannot be read: {type(error).__name__}: {error}") from error


def _trade(item: Mapping[str, Any]) -> Trade:
    flag = item["ibm"]
    if type(flag) is not bool:
        raise ValueError(f"ibm is {flag!r}")
    return Trade(int(item["t"]), Decimal(item["p"]), Decimal(item["q"]), flag)


def match(answer: Sequence[Trade], known: Sequence[Known], gaps: Sequence[Gap], oldest_ms: int = 0) -> Match:
    """Compare an answer (oldest first) with what the lake holds from its first trade on, read after the answer came.

    The gaps are open ones of this symbol. No trade from before `oldest_ms` is kept.
    """
    found = Match()
    partners = _pair(answer, known)
    # Only what a socket brought says when it was known: REST fills gaps afterwards.
    anchors = [(place, one.receive_ns) for place, one in enumerate(partners) if one and one.is_from_socket]
    keep: set[int] = set()
    delay_ns = min((one.receive_ns - one.time_ms * 1_000_000 for one in known if one.is_from_socket), default=0)
    for gap in sorted(gaps, key=lambda gap: gap.from_ns):
        before = [place for place, arrived_ns in anchors if arrived_ns < gap.from_ns]
        after = [place for place, arrived_ns in anchors if arrived_ns >= gap.to_ns]
        if not after:
            found.left.append(Left(gap, NONE_AFTER, is_final=False))
            continue
        low, high = ((ns - delay_ns) // 1_000_000 for ns in (gap.from_ns - SLACK_NS, gap.to_ns + SLACK_NS))
        first = before[-1] if before else -1
        missing = [place for place in range(first + 1, len(answer)) if partners[place] is None]
        inside = {place for place in missing if low <= answer[place].time_ms <= high}
        if any(answer[place].time_ms < oldest_ms for place in inside):
            found.left.append(Left(gap, TOO_OLD, is_final=True))
        elif not before:
            keep |= inside
            found.left.append(Left(gap, TOO_MANY, is_final=True))
        elif any(place < after[-1] and place not in inside for place in missing):
            found.left.append(Left(gap, DOUBTFUL, is_final=False))
        else:
            keep |= inside
            found.healed.append(gap)
    found.keep = sorted(keep)
    return found


def _pair(answer: Sequence[Trade], known: Sequence[Known]) -> list[Known | None]:
    """For each trade of the answer one of the lake that is equal to it, each used once, first come first served."""
    waiting: dict[Trade, list[Known]] = defaultdict(list)
    for one in reversed(known):
        waiting[Trade(one.time_ms, one.price, one.size, one.buyer_is_maker)].append(one)
    return [waiting[trade].pop() if waiting.get(trade) else None for trade in answer]
