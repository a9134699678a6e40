"""Disk space: say loudly when it runs short, before it is gone."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Event = dict[str, Any]
MIB = 1 << 20
AGAIN = 1.1  # the reserve must be exceeded by this before all is well again: no flapping


def free_bytes(folder: Path) -> int | None:
    """What this user may still write there; None if the disk does not say."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


class Space:
    """Compares the free space with the reserve; `is_low` is the present state."""

    def __init__(self, folder: Path, reserve_mb: int, free: Callable[[Path], int | None] = free_bytes) -> None:
        self.free: int | None = None
        self.is_low = False
        self._folder = folder
        self._reserve = reserve_mb * MIB
        self._free = free

    def look(self) -> Event | None:
        """The own event if the state has changed."""
        self.free = free = self._free(self._folder)
        if free is None or not self._reserve:
            return None
        if self.is_low and free >= self._reserve * AGAIN:
            self.is_low = False
            return {"event": "disk_well", "free_bytes": free, "detail": f"{free // MIB} MiB free again"}
        if not self.is_low and free < self._reserve:
            self.is_low = True
            detail = f"{free // MIB} MiB free, less than the {self._reserve // MIB} MiB of [journal] reserve_mb"
            return {"event": "disk_low", "free_bytes": free, "detail": detail}
        return None
