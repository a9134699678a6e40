"""Each trade once, whichever of V1, V2 or V1 history brought it first.

The newest ids of each symbol are in memory. An id that is not there, of a trade older than what memory is
known to hold, is looked up in the lake: V1 history on a quiet pair can be weeks old. What is found depends
only on the rows before it and on what the lake holds, so making a part again gives the same rows.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from recorder.lake.names import live, table_files

KEPT = 2_000  # newest ids of a symbol that stay in memory; V1 history repeats 60
KEPT_US = 600_000_000  # and all ids of its last ten minutes
CROWDED = 2 * KEPT  # when to sort out
NEVER_LOADED = 2**63 - 1
DAY_US = 86_400_000_000
COLUMNS = ["venue", "symbol", "trade_id", "exchange_time"]

Key = tuple[str, str]  # venue, symbol
Trade = tuple[str, str, int | None, int | None, str]  # venue, symbol, id, exchange time in us, source


@dataclass
class Series:
    """Ids of one symbol, with their times. Every trade of the lake from `horizon` on is among them."""

    ids: dict[int, int] = field(default_factory=dict)
    horizon: int = NEVER_LOADED

    def forget_old(self) -> None:
        """Keep the newest; the horizon moves to behind the newest of those that go."""
        if len(self.ids) < CROWDED:
            return
        in_order = sorted(self.ids.items(), key=lambda pair: pair[1])
        enough = in_order[-1][1] - KEPT_US
        going = in_order[:-KEPT]
        while going and going[-1][1] >= enough:
            going.pop()
        if going:
            for trade_id, _ in going:
                del self.ids[trade_id]
            self.horizon = max(self.horizon, going[-1][1] + 1)


class KnownTrades:
    """The trades that the files of one recorder hold, asked in the order in which trades arrived."""

    def __init__(self, root: Path, rec: str) -> None:
        self.root = root
        self.rec = rec
        self.series: dict[Key, Series] = {}
        self.repeated: Counter[str] = Counter()  # by source
        self.loads = 0

    def is_new(self, trades: list[Trade]) -> list[bool]:
        """For each trade whether it is its first time; from then on it is known. No id: always new."""
        found = self._look_up(trades)
        answers = []
        for venue, symbol, trade_id, time, source in trades:
            if trade_id is None or time is None:
                answers.append(True)
                continue
            series = self.series[venue, symbol]
            seen = trade_id in series.ids or (venue, symbol, trade_id) in found
            if seen:
                self.repeated[source] += 1
            else:
                series.ids[trade_id] = time
            answers.append(not seen)
        for series in self.series.values():
            series.forget_old()
        return answers

    def _look_up(self, trades: list[Trade]) -> set[tuple[str, str, int]]:
        """Of the trades that memory cannot tell, those that the lake holds."""
        asked: dict[Key, dict[int, int]] = {}
        for venue, symbol, trade_id, time, _ in trades:
            if trade_id is None or time is None:
                continue
            series = self.series.setdefault((venue, symbol), Series())
            if trade_id not in series.ids and time < series.horizon:
                asked.setdefault((venue, symbol), {})[trade_id] = time
        if not asked:
            return set()
        self.loads += 1
        oldest = {key: min(ids.values()) for key, ids in asked.items()}
        for key, time in oldest.items():
            self.series[key].horizon = min(self.series[key].horizon, time)
        found = set()
        for venue, symbol, trade_id, time in self._stored(set(oldest), min(oldest.values())):
            key = venue, symbol
            if time < oldest[key]:
                continue
            if trade_id in asked[key]:
                found.add((venue, symbol, trade_id))
            self.series[key].ids[trade_id] = time
            self.series[key].forget_old()
        return found

    def _stored(self, keys: set[Key], oldest: int) -> Iterator[tuple[str, str, int, int]]:
        """Trades of the lake, of these series, that can be as old as `oldest`: arrived since the day before."""
        since = dt.date(1970, 1, 1) + dt.timedelta(days=oldest // DAY_US - 1) if oldest >= DAY_US else dt.date.min
        for path in live(table_files(self.root, "trade", self.rec, since=since.isoformat())):
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    if not _may_hold(file.metadata.row_group(group), keys):
                        continue
                    yield from _trades(file.read_row_group(group, COLUMNS), keys)


def _may_hold(group: Any, keys: set[Key]) -> bool:
    """Whether the statistics of a row group leave room for any of the series."""
    for at in range(group.num_columns):
        column = group.column(at)
        if column.path_in_schema == "symbol" and column.is_stats_set and column.statistics.has_min_max:
            low, high = column.statistics.min, column.statistics.max
            return any(low <= symbol <= high for _, symbol in keys)
    return True


def _trades(rows: Any, keys: set[Key]) -> Iterator[tuple[str, str, int, int]]:
    times = rows.column("exchange_time").cast("int64").to_pylist()
    names = (rows.column(name).to_pylist() for name in COLUMNS[:3])
    for venue, symbol, trade_id, time in zip(*names, times, strict=True):
        if trade_id is not None and time is not None and (venue, symbol) in keys:
            yield venue, symbol, trade_id, time
