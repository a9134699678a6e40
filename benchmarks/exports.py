"""How fast a lake becomes a backtester's input, and in how much memory: seconds and MiB per hour of one busy symbol.

A minute of the simulated market (10 books a second, 100 levels a side) is repeated for an hour (or as many minutes as
`python -m benchmarks.exports MINUTES` says); each target runs
in a process of its own, so that its peak is its own. The floor is the time that DuckDB needs to read those books.
"""

import multiprocessing as mp
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recorder.exports import export
from recorder.lake.reader import open_lake
from tests.exports.lakes import SECOND_NS, Made, market_lake, own_event
from tests.lake.helpers import REC, write

MINUTES = 60
MINUTE_NS = 60 * SECOND_NS
SYMBOL = "BTCUSD"
TARGETS = {
    "hftbacktest": "hour.npz",
    "nautilus": "catalog",
    "tardis": "tardis",
    "freqtrade": "freqtrade",
    "bars": "bars.parquet",
}


def long_lake(root: Path, minutes: int = MINUTES) -> Path:
    """One minute, again and again: the books of each minute are those of the first."""
    made = market_lake(root, seconds=60, rate=6.0)
    for name in ("depth", "trade"):
        (path,) = (root / "hot" / name).rglob("*.parquet")
        table = pq.ParquetFile(path).read()
        for minute in range(1, minutes):
            _later(table, path, minute, len(made.books) + len(made.trades) + 100)
    seq = 10**9
    write(root, "session", [own_event(minutes * 60, "stop", "", "", seq)])
    _without_early_stop(root, made)
    return root


def _later(table: pa.Table, path: Path, minute: int, rows: int) -> None:
    shift_ns = minute * MINUTE_NS
    moved = {
        "exchange_time": pc.add(table["exchange_time"], pa.scalar(shift_ns // 1000, pa.duration("us"))),
        "receive_ns": pc.add(table["receive_ns"], shift_ns),
        "seq": pc.add(table["seq"], minute * rows),
    }
    for name, values in moved.items():
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
    window = path.name.split("~")[2]
    seq = table["seq"]
    pq.write_table(table, path.with_name(f"{REC}~p~{window}~{seq[0]}~{seq[-1]}~{table.num_rows}.parquet"))


def _without_early_stop(root: Path, made: Made) -> None:
    for path in (root / "hot" / "session").rglob("*.parquet"):
        table = pq.ParquetFile(path).read()
        early = pc.and_(pc.equal(table["event"], "stop"), pc.less(table["receive_ns"], made.end_ns + SECOND_NS))
        if pc.any(early).as_py():
            pq.write_table(table.filter(pc.invert(early)), path)


def _measured(job: Callable[[], int], answer: "mp.SimpleQueue[tuple[float, float, float, int]]") -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    rows = job()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer.put((time.perf_counter() - start, peak / 1024, before / 1024, rows))


class Read:
    """The floor: all columns of all books, as Arrow, thrown away."""

    def __init__(self, lake: Path) -> None:
        self.lake = lake

    def __call__(self) -> int:
        reader = open_lake(self.lake).depth(SYMBOL).to_arrow_reader(2048)
        return sum(batch.num_rows for batch in reader)


class Export:
    def __init__(self, lake: Path, target: str, out: Path) -> None:
        self.lake, self.target, self.out = lake, target, out

    def __call__(self) -> int:
        return export(self.target, self.lake, SYMBOL, out=self.out, progress=False).rows


def measure(job: Callable[[], int]) -> tuple[float, float, float, int] | None:
    """Seconds, peak MiB, MiB before, rows; None if the job failed."""
    context = mp.get_context("spawn")
    answer: mp.SimpleQueue[tuple[float, float, float, int]] = context.SimpleQueue()
    process = context.Process(target=_measured, args=(job, answer))
    process.start()
    process.join()
    return answer.get() if process.exitcode == 0 else None


def main(minutes: int = MINUTES) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = long_lake(Path(folder) / "lake", minutes)
        books = open_lake(lake).depth(SYMBOL).aggregate("count(*)").fetchall()[0][0]
        print(f"{books:,} books of 100 levels a side")
        print(f"{'target':12} {'seconds':>8} {'rows':>10} {'rows/s':>10} {'x read':>7} {'peak MiB':>9}")
        floor = None
        jobs: dict[str, Callable[[], int]] = {"read only": Read(lake)}
        jobs |= {target: Export(lake, target, Path(folder) / out) for target, out in TARGETS.items()}
        for name, job in jobs.items():
            found = measure(job)
            if found is None:
                print(f"{name:12} not measured; is the package installed?")
                continue
            seconds, peak, _, rows = found
            floor = floor or seconds
            print(f"{name:12} {seconds:8.2f} {rows:10,} {rows / seconds:10,.0f} {seconds / floor:7.1f} {peak:9.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else MINUTES)
