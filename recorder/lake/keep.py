"""Apply the retention settings now and then: tables by `retention.py`, raw archives by their date.

It runs in the writer process, holding the sealer's lock, so that nothing is removed while something is merged.
Nothing goes unless somebody asked for it, and `removed.ndjson` says what went.
"""

import datetime as dt
import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from recorder.errors import BusyError, LakeError
from recorder.journal.lock import Lock
from recorder.lake.layout import check_format
from recorder.lake.names import EPOCH
from recorder.lake.raw import raw_files
from recorder.lake.retention import DAY_NS, Removed, remove, retain
from recorder.lake.schema import tables

log = structlog.get_logger()

EVERY_SECONDS = 3600.0
BUSY_SECONDS = 5.0  # before another look while the sealer is at work


@dataclass(frozen=True)
class Keep:
    """How many days each table and the raw archives are kept; what is not named, or 0, is kept for ever."""

    days: Mapping[str, float] = field(default_factory=dict)
    raw_days: float = 0

    @property
    def is_asked(self) -> bool:
        return self.raw_days > 0 or any(days > 0 for days in self.days.values())

    @classmethod
    def parse(cls, tables_days: list[str], raw_days: float = 0) -> "Keep":
        """From 'trade=30' and the like. Raises LakeError for what is not a table or not a number of days."""
        days: dict[str, float] = {}
        for text in tables_days:
            table, _, number = text.partition("=")
            if table not in tables() or not number.replace(".", "", 1).isdigit():
                raise LakeError(f"--keep {text}: write TABLE=DAYS, as in depth=30; tables: {', '.join(tables())}")
            days[table] = float(number)
        return cls(days, raw_days)


def apply_retention(root: Path, keep: Keep, now_ns: int) -> list[Removed]:
    """Remove what is older than `keep` says and no pin names; returns what went, which is also noted.

    The caller holds SEALER.LOCK. Raises LakeError if there is no lake, or a pin cannot be read.
    """
    check_format(root)
    removed = retain(root, {table: days for table, days in keep.days.items() if days > 0}, now_ns=now_ns)
    if keep.raw_days > 0:
        limit = now_ns - round(keep.raw_days * DAY_NS)
        old = [path for _, _, path in raw_files(root) if date_end_ns(path.parent.name) <= limit]
        removed += remove(root, [(path, None, f"keep raw {keep.raw_days:g} days") for path in old], now_ns)
    for rule in dict.fromkeys(done.rule for done in removed):
        gone = [done for done in removed if done.rule == rule]
        log.info("retention", rule=rule, files=len(gone), bytes=sum(done.bytes for done in gone))
    return removed


def date_end_ns(folder: str) -> int:
    """When the day of a folder `date=YYYY-MM-DD` ends, Unix ns."""
    day = dt.datetime.strptime(folder, "date=%Y-%m-%d") + dt.timedelta(days=1)
    return int((day - EPOCH).total_seconds()) * 1_000_000_000


class Schedule:
    """Decides when retention is due, and does it; never raises for what one run cannot remove."""

    def __init__(self, root: Path, rec: str, keep: Keep) -> None:
        self.root = root
        self.rec = rec
        self.keep = keep
        self.next = -math.inf

    def look(self, monotonic: float, now_ns: int) -> None:
        """Apply it once an hour, if it is asked for."""
        if not self.keep.is_asked or monotonic < self.next:
            return
        self.next = monotonic + EVERY_SECONDS
        try:
            with ExitStack() as locks:
                locks.enter_context(Lock(self.root / "journal" / self.rec / "SEALER.LOCK", "sealer"))
                apply_retention(self.root, self.keep, now_ns)
        except BusyError:
            self.next = monotonic + BUSY_SECONDS
        except (LakeError, OSError) as error:
            log.error("retention failed, what is left stays", error=str(error))
