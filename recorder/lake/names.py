"""What a file covers is in its name; which files count follows from the names alone.

`<rec>~<level>~<window>~<first_seq>~<last_seq>~<rows>.parquet`; level p (part), h (hour) or d (day);
window YYYYMMDDHH for p and h, YYYYMMDD for d: UTC, by arrival. A file is superseded when the same
recorder has one of a higher level whose window contains its window.
"""

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PART, HOUR, DAY = "p", "h", "d"
FOLDERS = ("hot", "sealed")
NAME = re.compile(
    r"(?P<rec>[a-z0-9-]+)~(?:(?P<level>[ph])~(?P<hour>\d{10})|(?P<day_level>d)~(?P<day>\d{8}))"
    r"~(?P<first>\d+)~(?P<last>\d+)~(?P<rows>\d+)\.parquet"
)
EPOCH = dt.datetime(1970, 1, 1)


def hour_window(hour: int) -> str:
    """`hour` counts from 1970; as YYYYMMDDHH."""
    return f"{EPOCH + dt.timedelta(hours=hour):%Y%m%d%H}"


def day_window(hour: int) -> str:
    """The day of an hour that counts from 1970, as YYYYMMDD."""
    return hour_window(hour)[:8]


def hour_of(window: str) -> int:
    """YYYYMMDDHH as hours since 1970."""
    return (dt.datetime.strptime(window, "%Y%m%d%H") - EPOCH) // dt.timedelta(hours=1)


def window_date(window: str) -> str:
    """The partition of a window: YYYY-MM-DD."""
    return f"{window[:4]}-{window[4:6]}-{window[6:8]}"


@dataclass(frozen=True, order=True, slots=True)
class PartName:
    """The name of a part, hour file or day file."""

    rec: str
    level: str
    window: str
    first: int  # seq of its first and last row
    last: int
    rows: int

    def __str__(self) -> str:
        return f"{self.rec}~{self.level}~{self.window}~{self.first}~{self.last}~{self.rows}.parquet"

    @property
    def date(self) -> str:
        return window_date(self.window)

    @property
    def day(self) -> str:
        return self.window[:8]

    @classmethod
    def parse(cls, name: str) -> "PartName | None":
        """None for a name that is not one of ours."""
        match = NAME.fullmatch(name)
        if match is None:
            return None
        level = match["level"] or match["day_level"]
        window = match["hour"] or match["day"]
        return cls(match["rec"], level, window, int(match["first"]), int(match["last"]), int(match["rows"]))


def path_of(root: Path, folder: str, table: str, name: PartName) -> Path:
    return root / folder / table / f"date={name.date}" / str(name)


def table_files(
    root: Path, table: str, rec: str | None = None, folders: Iterable[str] = FOLDERS, since: str = ""
) -> list[Path]:
    """All files of a table, of one recorder if asked, of dates from `since` (YYYY-MM-DD) on; superseded ones too."""
    found = []
    for folder in folders:
        for date in sorted((root / folder / table).glob("date=*")):
            if date.name.removeprefix("date=") < since:
                continue
            for path in sorted(date.glob("*.parquet")):
                name = PartName.parse(path.name)
                if name is not None and rec in (None, name.rec):
                    found.append(path)
    return found


def live(paths: Iterable[Path]) -> list[Path]:
    """The files of one table that count: none is superseded, and no file is named twice."""
    named = dict(_named(paths))
    hours = {(n.rec, n.window) for n in named if n.level == HOUR}
    days = {(n.rec, n.window) for n in named if n.level == DAY}
    return [
        path
        for name, path in named.items()
        if not (name.level == PART and (name.rec, name.window) in hours)
        and not (name.level != DAY and (name.rec, name.day) in days)
    ]


def _named(paths: Iterable[Path]) -> Iterator[tuple[PartName, Path]]:
    for path in paths:
        name = PartName.parse(path.name)
        if name is not None:
            yield name, path


class Covered:
    """Which seqs of one table and recorder its files already cover: made from names, grows with each part."""

    def __init__(self, names: Iterable[PartName] = ()) -> None:
        self.ranges = sorted((n.first, n.last) for n in names)
        self.ours: list[tuple[int, int]] = []  # one range at most: parts of one process follow each other

    def add(self, name: PartName) -> None:
        """A part that this process has made; all rows before it are in parts too."""
        self.ours = [(self.ours[0][0] if self.ours else name.first, name.last)]

    def covers(self, seqs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """For each seq whether a file covers it."""
        found = np.zeros(len(seqs), bool)
        if not len(seqs):
            return found
        lowest, highest = int(seqs.min()), int(seqs.max())
        for first, last in self.ranges + self.ours:
            if last >= lowest and first <= highest:
                found |= (seqs >= first) & (seqs <= last)
        return found


def covered(root: Path, rec: str, tables: Iterable[str]) -> dict[str, Covered]:
    """What the files of a recorder cover, by table."""
    return {t: Covered(name for name, _ in _named(table_files(root, t, rec))) for t in tables}
