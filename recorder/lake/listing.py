"""Know when a table's list of files may have changed, without listing it.

All new rows come in through `hot`, and what a merge removes is removed from there: the modification times of its
date folders tell. `sealed` is watched at its top and its newest dates, since a list that still names what was merged
stays right for the grace that the sealer keeps.
"""

import os
import time
from pathlib import Path

# Two changes within one tick of the kernel's clock leave the same modification time: a folder that has changed
# just before it was listed is listed again.
TICK_NS = 50_000_000
NEWEST = 2  # dates of `sealed` that are watched

Signature = tuple[tuple[str, int], ...]


class Watch:
    """Remembers how each table's folders looked when they were last listed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: dict[str, Signature | None] = {}

    def changed(self, table: str) -> bool:
        """Whether the table must be listed; if so, it counts as listed from now on."""
        now = time.time_ns()
        signature = (*self._folders("hot", table), *self._folders("sealed", table, NEWEST))
        if self._seen.get(table) == signature:
            return False
        settled = all(changed < now - TICK_NS for _, changed in signature)
        self._seen[table] = signature if settled else None
        return True

    def forget(self) -> None:
        self._seen.clear()

    def _folders(self, place: str, table: str, newest: int | None = None) -> Signature:
        top = self._root / place / table
        try:
            with os.scandir(top) as entries:
                names = sorted(entry.name for entry in entries if entry.name.startswith("date="))
            chosen = names if newest is None else names[-newest:]
            times = [(f"{place}/{name}", (top / name).stat().st_mtime_ns) for name in chosen]
            return ((place, top.stat().st_mtime_ns), *times)
        except FileNotFoundError:  # no such table yet, or its folder has just been removed
            return ()
