"""Whether a range is whole: said to who asks for rows and wants none of them missing unnoticed."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from recorder.errors import LakeError

Interval = tuple[str, str, str, datetime, datetime, str, str]  # a row of Lake.coverage
NAMED = 5


def check_whole(
    intervals: Sequence[Any], channel: str, symbol: str, start: datetime | None, end: datetime | None
) -> None:
    """Raise LakeError that names what is missing of [start, end), by our clock, in the rows of `Lake.coverage`."""
    missing = [] if intervals else [f"nothing of {channel} is recorded there"]
    for _, group in groupby(intervals, key=lambda row: row[0]):
        of_venue: list[Interval] = list(group)
        first, last = of_venue[0][3], of_venue[-1][4]
        if start is not None and first > start:
            missing.append(f"{start} to {first} (not recorded yet)")
        missing += [f"{row[3]} to {row[4]} ({row[6]})" for row in of_venue if row[5] in ("gap", "not_recording")]
        if end is not None and last < end:
            missing.append(f"{last} to {end} (not recorded, or not yet)")
    if missing:
        more = f"; and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise LakeError(
            f"{channel} {symbol}: not whole: {'; '.join(missing[:NAMED])}{more}. Run `recorder backfill`, ask for a "
            "shorter range, or leave out whole=True to get what there is"
        )
