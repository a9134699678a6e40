"""Does coverage keep its word? Rows against its intervals, and streams against each other where they can be checked.

What cannot be wrong by the venue's doing is a problem; what the venue itself says in two ways is a note.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from recorder.errors import LakeError
from recorder.lake.coverage_checks import (
    TOP,
    Disagreement,
    Level,
    Step,
    delta_series,
    delta_steps,
    disagreements,
    has_sessions,
    open_bounded,
    silent_holes,
    stray_rows,
    told,
)
from recorder.lake.reader import Lake
from recorder.lake.times import Moment, moment
from recorder.quality.finding import Finding

FIRST_DATE, LAST_DATE = "1971-01-01", "9999-12-30"
REPORT = "keep the data as it is and report it"


def check_coverage(root: Path, start: Moment = None, end: Moment = None) -> Iterator[Finding]:
    """All checks of this module, on what arrived on the dates that [start, end) touches."""
    low, high = moment(start), moment(end)
    first = f"{low:%Y-%m-%d}" if low else FIRST_DATE
    last = f"{high:%Y-%m-%d}" if high else LAST_DATE
    try:
        yield from told(_all(open_bounded(root), first, last))
    except LakeError as error:
        yield Finding("coverage", str(root), f"cannot be checked: {error}", "mend the files named above first", False)


def _all(lake: Lake, first: str, last: str) -> Iterator[Finding]:
    if not has_sessions(lake):
        yield Finding("coverage", "session", "has no rows, so nothing tells what was recorded", "", False)
        return
    yield from check_rows_are_covered(lake, first, last)
    yield from check_counters(lake, first, last)
    yield from check_delta_books(lake, first, last)
    yield from check_candles(lake, first, last)


def check_rows_are_covered(lake: Lake, first: str, last: str) -> Iterator[Finding]:
    """No row of a live stream lies outside of the stream's coverage."""
    for stray in stray_rows(lake, first, last):
        detail = f"{stray.rows} rows lie outside of its coverage, the first from {_time(stray.first_ns)}"
        yield Finding("coverage", f"{stray.venue} {stray.symbol} {stray.channel}", detail, REPORT)


def check_counters(lake: Lake, first: str, last: str) -> Iterator[Finding]:
    """What coverage calls ok has no hole by the one counter that the venue sends."""
    for hole in silent_holes(lake, first, last):
        detail = (
            f"{hole.holes} holes inside what coverage calls ok, the first at {_time(hole.at_ns)}: "
            f"counter {hole.counter} after {hole.before}"
        )
        remedy = "do not trust depth_delta there; depth is whole by itself"
        yield Finding("silent hole", f"{hole.venue} {hole.symbol} depth_delta", detail, remedy)


def check_delta_books(lake: Lake, first: str, last: str) -> Iterator[Finding]:
    """A delta book, carried forward from its snapshot, is the whole book of the same version."""
    for venue, symbol in delta_series(lake, first, last):
        found = compare_books(delta_steps(lake, venue, symbol, first, last))
        if found.different:
            detail = f"{found.different} of {found.compared} books differ from depth, the first at seq {found.seq}"
            yield Finding(
                "delta book", f"{venue} {symbol}", detail, "use depth, which is whole by itself, and report it"
            )


def check_candles(lake: Lake, first: str, last: str) -> Iterator[Finding]:
    """Where coverage calls trades ok, our candles are the venue's; what it pushed may differ from what REST says."""
    for other, is_problem in (("trades", True), ("push", False)):
        for one in disagreements(lake, first, last, other):
            remedy = "see the view kline_difference; REST is right" if is_problem else ""
            where = f"{one.venue} {one.symbol} {one.interval}"
            yield Finding("candles", where, _candle_detail(one, other), remedy, is_problem)


def _candle_detail(one: Disagreement, other: str) -> str:
    source = "our trades" if other == "trades" else "the last push"
    return (
        f"{one.fields} fields of closed candles differ between {source} and REST, the first at {one.open_time}: "
        f"{one.field} {one.other.normalize():f}, by REST {one.rest.normalize():f}"
    )


@dataclass(slots=True)
class Compared:
    compared: int = 0
    different: int = 0
    seq: int = -1  # of the first that differs


@dataclass(slots=True)
class DeltaBook:
    """A book that changes; `is_valid` only from a snapshot on, and while no change is missing."""

    is_valid: bool = False
    counter: int | None = None
    bids: dict[Decimal, Decimal] = field(default_factory=dict)
    asks: dict[Decimal, Decimal] = field(default_factory=dict)

    def take(self, step: Step) -> bool:
        """Apply a step; False if it is a repetition."""
        if step.is_snapshot:
            self.is_valid, self.counter = True, None  # the first counter after a snapshot cannot be checked
            self.bids, self.asks = dict(step.bids), dict(step.asks)
            return True
        if self.counter is not None and step.counter is not None:
            if step.counter <= self.counter and step.counter:
                return False
            self.is_valid = self.is_valid and step.counter == self.counter + 1
        self.counter = step.counter
        for side, changes in ((self.bids, step.bids), (self.asks, step.asks)):
            for price, size in changes:
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)
        return True


def compare_books(steps: Iterator[Step]) -> Compared:
    """Compare the best levels at each version of which there is a whole book."""
    found, book = Compared(), DeltaBook()
    for step in steps:
        if not book.take(step) or not book.is_valid or step.depth_bids is None or step.depth_asks is None:
            continue
        found.compared += 1
        bids = [(price, book.bids[price]) for price in heapq.nlargest(TOP, book.bids)]
        asks = [(price, book.asks[price]) for price in heapq.nsmallest(TOP, book.asks)]
        if not (_same(bids, step.depth_bids) and _same(asks, step.depth_asks)):
            found.different += 1
            found.seq = step.seq if found.seq < 0 else found.seq
    return found


def _same(ours: Sequence[Level], whole: Sequence[Level]) -> bool:
    return list(map(tuple, ours)) == list(map(tuple, whole))


def _time(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns / 1e9, UTC):%Y-%m-%dT%H:%M:%S}Z"
