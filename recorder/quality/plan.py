"""Decide what backfill asks the venue for, and which gaps are healed. Pure: told what the lake holds, and the time.

Candles are asked for in ranges of at most 1000, both ends named, since the venue's rules for half-open ranges are not
documented. A gap that was given up is not tried again by itself; a person who names a range tries it again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from recorder.lake.backfill_sql import Candles, Gap, Range, Verdict

SECOND, HOUR, DAY = 10**9, 3_600 * 10**9, 86_400 * 10**9
WINDOW_NS = DAY  # how far back candles are confirmed without being asked to
MOST_CANDLES = 1000  # of one answer
CLOSED_NS = 5 * SECOND  # after its close a candle may still change: late trades
SETTLED_NS = 8 * SECOND  # after a gap, before trades around it are compared: what was under way has arrived
OLDEST_NS = DAY - HOUR  # of trades that are stored: readers look for a row within a day of its time
GIVE_UP_NS = DAY  # a candle that the venue did not give for so long does not come any more

Told = Mapping[tuple[str, str, int], Verdict]  # by symbol, channel, from_ns


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for candles: open times from_ms <= t, close times <= until_ms."""

    symbol: str
    interval: str
    from_ms: int
    until_ms: int
    number: int

    def params(self, site: str = "") -> dict[str, str | int]:
        """`endTime` lies inside the last candle: right whether the venue means its open or its close."""
        range_ = {"startTime": self.from_ms, "endTime": self.until_ms - 1, "limit": MOST_CANDLES}
        named: dict[str, str | int] = {"symbol": self.symbol, "interval": self.interval, **range_}
        return named | ({"site": site} if site else {})


@dataclass(frozen=True, slots=True)
class Left:
    """A gap that stays open, and why; final: trying again is of no use."""

    gap: Gap
    detail: str
    is_final: bool


def closed_ns(now_ns: int, offset_ns: int) -> int:
    """Candles that end by then are over, by our clock and by the venue's."""
    return now_ns + min(0, offset_ns) - CLOSED_NS


def to_try(gaps: Iterable[Gap], told: Told, again: bool = False) -> list[Gap]:
    """Gaps that nobody has given up; `again`: those too."""
    return [g for g in gaps if again or not ((v := told.get((g.symbol, g.channel, g.from_ns))) and v.is_final)]


def touching(gaps: Iterable[Gap], from_ns: int | None, to_ns: int | None) -> list[Gap]:
    """Gaps that touch [from_ns, to_ns); None leaves an end open."""
    return [g for g in gaps if (from_ns is None or g.to_ns > from_ns) and (to_ns is None or g.from_ns < to_ns)]


def candle_ranges(recorded: Iterable[Range], gaps: Iterable[Gap]) -> list[Range]:
    """The times whose candles are to be confirmed: what was recorded, and the gaps, merged where they touch."""
    pieces = sorted([*recorded, *(Range(gap.symbol, gap.from_ns, gap.to_ns) for gap in gaps)])
    merged: list[Range] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if last is not None and last.symbol == piece.symbol and piece.from_ns <= last.to_ns:
            merged[-1] = last._replace(to_ns=max(last.to_ns, piece.to_ns))
        else:
            merged.append(piece)
    return merged


def asks(found: Iterable[Candles]) -> list[Ask]:
    """Requests for what is due, newest first: if we do not get far, the newest candles are right."""
    made: list[Ask] = []
    for run in found:
        if run.state != "due":
            continue
        width = (run.until_ms - run.from_ms) // run.number  # exact where there can be more than MOST_CANDLES
        rest, until = run.number, run.until_ms
        while rest > MOST_CANDLES:
            start = until - MOST_CANDLES * width
            made.append(Ask(run.symbol, run.interval, start, until, MOST_CANDLES))
            rest, until = rest - MOST_CANDLES, start
        made.append(Ask(run.symbol, run.interval, run.from_ms, until, rest))
    return sorted(made, key=lambda ask: (-ask.until_ms, ask.symbol, ask.interval))


def judge_candles(gaps: Sequence[Gap], found: Sequence[Candles], now_ns: int) -> tuple[list[Gap], list[Left]]:
    """Gaps of candle streams that are healed, each candle that they touch being confirmed, and those left open.

    A gap that waits for a candle to close is in neither: there is nothing to say about it yet.
    """
    by_symbol = {symbol: list(runs) for symbol, runs in groupby(sorted(found), key=lambda run: run.symbol)}
    healed: list[Gap] = []
    left: list[Left] = []
    for gap in gaps:
        touched = [
            run
            for run in by_symbol.get(gap.symbol, [])
            if run.from_ms * 1_000_000 < gap.to_ns and run.until_ms * 1_000_000 > gap.from_ns
        ]
        if not touched or any(run.state == "later" for run in touched):
            continue
        missing = sorted({run.interval for run in touched if run.state == "due"})
        if missing:
            is_final = now_ns - gap.to_ns > GIVE_UP_NS
            left.append(Left(gap, f"the venue did not give every candle of {', '.join(missing)}", is_final))
        else:
            healed.append(gap)
    return healed, left


def is_news(left: Left, told: Told) -> bool:
    """Whether something else was said of this gap before, or nothing."""
    before = told.get((left.gap.symbol, left.gap.channel, left.gap.from_ns))
    return before is None or (before.detail, before.is_final) != (left.detail, left.is_final)


def ripe(gaps: Iterable[Gap], history_ns: Mapping[str, int], now_ns: int) -> list[Gap]:
    """Gaps of trades that may be compared with REST.

    V1 must have sent its history since: that brings most trades with their ids, and what REST filled before it
    would come a second time.
    """
    return [
        gap
        for gap in gaps
        if gap.to_ns + SETTLED_NS <= now_ns and gap.from_ns < history_ns.get(gap.symbol, 0) <= now_ns - SETTLED_NS
    ]
