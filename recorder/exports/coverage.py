"""Which part of a range is whole, and what to do about the rest.

Coverage speaks our clock, a range speaks the venue's. `Clock` joins them by the median of the measured offsets.
Inside the range the question is simpler: a row belongs to the clean stretch in which it was received.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from recorder.exports.errors import CoverageError, ExportError
from recorder.exports.times import seconds, text, to_datetime
from recorder.lake.reader import Lake, quoted

OnGap = Literal["refuse", "split", "ignore"]
WHOLE = ("ok", "healed")
NEVER = 2**63 - 1
LISTED = 5  # gaps that an error names; the exception has them all


@dataclass(frozen=True)
class Clock:
    """The venue's clock minus ours, in ns, as the pongs in and around the range say."""

    pongs: int
    offset_ns: int | None  # the median; None without a pong
    lowest_ns: int | None
    highest_ns: int | None

    def ours(self, exchange_ns: int) -> int:
        """What our clock showed when the venue's showed `exchange_ns`."""
        return exchange_ns - (self.offset_ns or 0)

    def venues(self, our_ns: int) -> int:
        return our_ns + (self.offset_ns or 0)


@dataclass(frozen=True)
class Gap:
    """An interval (our clock) of one channel that is not whole."""

    channel: str
    from_ns: int
    to_ns: int
    reason: str

    def __str__(self) -> str:
        return f"{self.channel} {text(self.from_ns)} to {text(self.to_ns)} ({self.reason})"


@dataclass(frozen=True)
class Stretch:
    """An interval (our clock, both ends belong to it) without a gap in any wanted channel."""

    from_ns: int
    to_ns: int


@dataclass(frozen=True)
class Plan:
    """What there is to export: `whole` says for the first channel from when on it is without a break."""

    stretches: list[Stretch]
    gaps: list[Gap]
    since_ns: int | None
    from_ns: int
    to_ns: int

    def resets(self, channel: str) -> list[int]:
        """Where `channel` begins anew, our clock, ascending."""
        return sorted(gap.to_ns for gap in self.gaps if gap.channel == channel)


def measure_clock(lake: Lake, venue: str, start_ns: int | None, end_ns: int | None) -> Clock:
    """The offsets measured in the range; where there are none, those of the day around it."""
    for slack_ns in (0, 86_400_000_000_000):
        wanted = [f"venue = {quoted(venue)}"]
        wanted += [f"exchange_time >= {moment(start_ns - slack_ns)}"] if start_ns is not None else []
        wanted += [f"exchange_time < {moment(end_ns + slack_ns)}"] if end_ns is not None else []
        query = "SELECT count(*), quantile_disc(offset_ns, 0.5), min(offset_ns), max(offset_ns) FROM clock WHERE "
        found = lake.sql(query + " AND ".join(wanted)).fetchall()[0]
        if found[0]:
            break
    return Clock(*found)


def plan(
    lake: Lake, venue: str, symbol: str, channels: Sequence[str], clock: Clock, start_ns: int | None, end_ns: int | None
) -> Plan:
    """Gaps and clean stretches of `channels` in the range [start_ns, end_ns) of the venue's clock.

    An open end is where the last channel begins or the first one ends.
    """
    intervals = _intervals(lake, venue, symbol, channels)
    missing = [channel for channel in channels if channel not in intervals]
    if missing:
        named = " and ".join(missing)
        raise CoverageError(f"{symbol}: {named} was never recorded here; add it to [record] streams and record it")
    low = clock.ours(start_ns) if start_ns is not None else max(found[0].from_ns for found in intervals.values())
    high = clock.ours(end_ns) if end_ns is not None else min(found[-1].to_ns for found in intervals.values())
    if high <= low:
        raise ExportError(f"{symbol}: the range from {text(low)} to {text(high)} is empty; let --to be after --from")
    gaps = [gap for channel in channels for gap in _gaps(channel, intervals[channel], low, high)]
    since = next((i.from_ns for i in intervals[channels[0]] if i.from_ns <= low <= i.to_ns and i.reason == ""), None)
    return Plan(_stretches(gaps, low, high), sorted(gaps, key=lambda gap: gap.from_ns), since, low, high)


def judge(found: Plan, on_gap: OnGap, clock: Clock, what: str) -> list[Stretch]:
    """The stretches to export, each its own file. Raises CoverageError where `refuse` meets a gap."""
    if on_gap == "ignore":
        return [Stretch(found.from_ns, found.to_ns)]
    if on_gap == "split":
        if not found.stretches:
            raise CoverageError(f"{what}: no moment of this range is whole; see `recorder coverage`", found.gaps)
        return found.stretches
    if found.gaps:
        raise CoverageError(_refusal(found, clock, what), found.gaps)
    return found.stretches


def _refusal(found: Plan, clock: Clock, what: str) -> str:
    """What is missing, where, and the ways on."""
    places: dict[tuple[int, int, str], list[str]] = {}
    for gap in found.gaps:
        places.setdefault((gap.from_ns, gap.to_ns, gap.reason), []).append(gap.channel)
    named = "; ".join(
        f"{' and '.join(channels)} {text(first)} to {text(last)} ({reason})"
        for (first, last, reason), channels in list(places.items())[:LISTED]
    )
    more = f"; and {len(places) - LISTED} more" if len(places) > LISTED else ""
    if not found.stretches:
        told = "`recorder coverage` shows what is, --on-gap ignore takes what there is"
        return f"{what}: no moment of this range is whole: {named}{more}; {told}"
    ways = ["pass --on-gap split (one file per clean stretch) or --on-gap ignore"]
    if any(gap.channel in ("trade", "kline") for gap in found.gaps):
        ways.insert(0, "run `recorder backfill`")
    longest = max(found.stretches, key=lambda one: one.to_ns - one.from_ns)
    first, last = text(clock.venues(longest.from_ns) + 999), text(clock.venues(longest.to_ns))
    length = seconds(longest.to_ns - longest.from_ns)
    ways.append(f"take the longest clean stretch ({length}): --from {first} --to {last}")
    told = ", or ".join(ways)
    plural = "s" if len(places) > 1 else ""
    return f"{what}: {len(places)} gap{plural}: {named}{more}. {told[0].upper()}{told[1:]}"


@dataclass(frozen=True)
class _Interval:
    from_ns: int
    to_ns: int
    reason: str  # '' where it is whole


def _intervals(lake: Lake, venue: str, symbol: str, channels: Iterable[str]) -> dict[str, list[_Interval]]:
    names = ", ".join(quoted(channel) for channel in channels)
    rows = lake.sql(
        "SELECT channel, epoch_ns(from_time), epoch_ns(to_time), status, reason FROM coverage "
        f"WHERE venue = {quoted(venue)} AND symbol = {quoted(symbol)} AND channel IN ({names}) "
        "ORDER BY channel, from_time"
    ).fetchall()
    found: dict[str, list[_Interval]] = {}
    for channel, from_ns, to_ns, status, reason in rows:
        whole, before = status in WHOLE, found.setdefault(channel, [])
        if whole and before and before[-1].reason == "":  # ok and healed side by side are one
            before[-1] = _Interval(before[-1].from_ns, to_ns, "")
        else:
            before.append(_Interval(from_ns, to_ns, "" if whole else reason or status))
    return found


def _gaps(channel: str, intervals: Sequence[_Interval], low: int, high: int) -> list[Gap]:
    edges = [_Interval(-NEVER, intervals[0].from_ns, "not recorded yet"), *intervals]
    edges.append(_Interval(intervals[-1].to_ns, NEVER, "not recorded any more"))
    return [
        Gap(channel, max(one.from_ns, low), min(one.to_ns, high), one.reason)
        for one in edges
        if one.reason and one.to_ns > low and one.from_ns < high
    ]


def _stretches(gaps: Iterable[Gap], low: int, high: int) -> list[Stretch]:
    found, at = [], low
    for gap in sorted(gaps, key=lambda gap: gap.from_ns):
        if gap.from_ns > at:
            found.append(Stretch(at, gap.from_ns))
        at = max(at, gap.to_ns)
    if at < high:
        found.append(Stretch(at, high))
    return found


def moment(ns: int) -> str:
    """As SQL."""
    return f"TIMESTAMP '{to_datetime(ns):%Y-%m-%d %H:%M:%S.%f}'"
