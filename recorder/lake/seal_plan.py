"""What is to be merged and what may be cleaned, decided from names and ages alone. Nothing here touches a disk.

A window may be merged once it is marked closed. A file that a merged one supersedes may be removed once the
merged one is older than the grace, so that every list a reader can still hold names files that exist.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from recorder.errors import LakeError
from recorder.lake.names import DAY, HOUR, PART, PartName, live

RANK = {PART: 0, HOUR: 1, DAY: 2}


@dataclass(frozen=True, slots=True)
class Merge:
    """Make `output` in `folder` from `inputs`, which are in the order of arrival."""

    table: str
    folder: str  # hot or sealed
    output: PartName
    inputs: tuple[PartName, ...]


def supersedes(above: PartName, below: PartName) -> bool:
    """The reader rule: same recorder, higher level, and its window contains the other's."""
    if above.rec != below.rec or RANK[above.level] <= RANK[below.level]:
        return False
    return above.window == below.window if above.level == HOUR else above.window == below.day


def contains(above: PartName, below: PartName) -> bool:
    """Whether the rows of `below` can all be in `above`. A superseded file for which this fails came too late."""
    return above.first <= below.first and below.last <= above.last


def live_names(names: Iterable[PartName]) -> list[PartName]:
    """Those that no other supersedes, in the order of arrival."""
    counted = (PartName.parse(path.name) for path in live(Path(str(name)) for name in names))
    return sorted((n for n in counted if n is not None), key=lambda n: (n.rec, n.first, n.last))


def plan_merges(table: str, final: str, names: Iterable[PartName], closed: set[str]) -> Iterator[Merge]:
    """What can be merged of one recorder's table; `final` is the schema's 'hour' or 'day', `closed` its marks.

    A closed day is merged from whatever is live in it, hours or parts, so that catching up writes rows once.
    """
    counted = live_names(names)
    days_done = set()
    if final == "day":
        for day in sorted({n.day for n in counted if n.level != DAY} & closed):
            days_done.add(day)
            yield _merge(table, "sealed", DAY, day, [n for n in counted if n.day == day])
    for hour in sorted({n.window for n in counted if n.level == PART} & closed):
        if hour[:8] not in days_done:
            folder = "sealed" if final == "hour" else "hot"
            yield _merge(table, folder, HOUR, hour, [n for n in counted if n.window == hour])


def _merge(table: str, folder: str, level: str, window: str, inputs: Sequence[PartName]) -> Merge:
    rows = sum(n.rows for n in inputs)
    output = PartName(inputs[0].rec, level, window, inputs[0].first, max(n.last for n in inputs), rows)
    return Merge(table, folder, output, tuple(inputs))


def check_order(merge: Merge) -> None:
    """Raise LakeError if inputs overlap: then rows would be there twice, and nobody may merge that away."""
    for before, after in zip(merge.inputs, merge.inputs[1:], strict=False):
        if after.first <= before.last:
            raise LakeError(
                f"{merge.table}: {before} and {after} overlap; keep both, run `recorder verify`, and report it"
            )


def window_is_empty(window: str, hot: Iterable[PartName]) -> bool:
    """Whether no hot file lies in the window of a mark (an hour or a day)."""
    return not any(n.window == window if len(window) == 10 else n.day == window for n in hot)
