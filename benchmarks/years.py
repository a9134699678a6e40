"""A month of 20 symbols in day files, and what questions to it take; and how long a big journal takes to recover.

YEARS_TRADES and YEARS_QUOTES are rows a symbol and day (default 4,000 and 10,000; a busy market has ten times that),
YEARS_JOURNAL_MB is the size of the journal (default 1024, whose goal is at most 10 s).
"""

import datetime as dt
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks._market import START_NS, SYMBOLS, depth_pushes, write_segments
from benchmarks._tables import FIRST_DAY, write_day
from recorder import open_lake
from recorder.journal.format import HOUR_NS
from recorder.journal.recover import recover
from recorder.lake.layout import init_lake
from recorder.lake.names import EPOCH
from recorder.lake.parts import PartMaker
from recorder.lake.views import lake_sql

DAYS = 30
TRADES = int(os.environ.get("YEARS_TRADES", "4000"))
QUOTES = int(os.environ.get("YEARS_QUOTES", "10000"))
JOURNAL_MB = int(os.environ.get("YEARS_JOURNAL_MB", "1024"))
REC = "bench"
REPEATS = 3


def line(what: str, seconds: float, note: str = "") -> None:
    print(f"{what:<60} {seconds * 1e3:10.1f} ms   {note}")


def best(work: Callable[[], object]) -> float:
    found = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        month(Path(folder) / "lake")
    with tempfile.TemporaryDirectory() as folder:
        recovery(Path(folder) / "lake")


def month(root: Path) -> None:
    init_lake(root, {"lake.sql": lake_sql()})
    begun = time.perf_counter()
    for day in range(FIRST_DAY, FIRST_DAY + DAYS):
        write_day(root, "trade", day, TRADES)
        write_day(root, "bbo", day, QUOTES, seed=2)
    size = sum(path.stat().st_size for path in root.glob("sealed/*/*/*.parquet"))
    rows = DAYS * len(SYMBOLS) * (TRADES + QUOTES)
    made = time.perf_counter() - begun
    print(f"{DAYS} days, {len(SYMBOLS)} symbols: {rows / 1e6:.1f} M rows, {size / 1e6:.0f} MB, made in {made:.0f} s")
    first, last = (f"{EPOCH + dt.timedelta(days=day):%Y-%m-%d}" for day in (FIRST_DAY, FIRST_DAY + DAYS - 1))
    after = f"{EPOCH + dt.timedelta(days=FIRST_DAY + DAYS):%Y-%m-%d}"
    symbol = SYMBOLS[3]
    hour = f"symbol = '{symbol}' AND date = DATE '{last}' AND exchange_time >= TIMESTAMP '{last} 23:00:00'"
    begun = time.perf_counter()
    lake = open_lake(root)
    line("open", time.perf_counter() - begun)
    line("last hour of quotes of one symbol", best(lambda: lake.sql(f"FROM bbo WHERE {hour}").fetchall()))
    line("last hour of trades of one symbol", best(lambda: lake.sql(f"FROM trade WHERE {hour}").fetchall()))
    bars = f"""SELECT time_bucket(INTERVAL 1 MINUTE, exchange_time) AS open_time, arg_min(price, seq),
        max(price), min(price), arg_max(price, seq), sum(size)
        FROM trade WHERE symbol = '{symbol}' GROUP BY 1"""
    line("a month of 1-minute OHLCV of one symbol, plain SQL", best(lambda: lake.sql(bars).fetchall()))
    macro = f"SELECT count(*) FROM ohlcv('{symbol}', '1m', '{first}', '{after}')"
    line("the same by the macro ohlcv, with empty and broken bars", best(lambda: lake.sql(macro).fetchall()))
    every = bars.replace(f"WHERE symbol = '{symbol}' GROUP BY 1", "GROUP BY symbol, 1")
    line("a month of 1-minute OHLCV of all symbols", best(lambda: lake.sql(every).fetchall()))
    that_day = f"date = DATE '{last}'"
    joined = f"""SELECT count(*), avg(t.price - q.bid_price)
        FROM (FROM trade WHERE {that_day}) AS t ASOF JOIN (FROM bbo WHERE {that_day}) AS q
        ON t.symbol = q.symbol AND t.venue = q.venue AND t.exchange_time >= q.exchange_time"""
    line("ASOF of a day's trades with the quotes, all symbols", best(lambda: lake.sql(joined).fetchall()))
    spread = f"SELECT date, avg(ask_price - bid_price) FROM bbo WHERE symbol = '{symbol}' GROUP BY 1"
    line("spread per day of one symbol over the month", best(lambda: lake.sql(spread).fetchall()))
    spreads = "SELECT symbol, date, avg(ask_price - bid_price) FROM bbo GROUP BY ALL"
    line("spread per day of all symbols over the month", best(lambda: lake.sql(spreads).fetchall()))
    seconds, peak = verified(root)
    line("recorder verify of the month", seconds, f"peak {peak:.0f} MiB, required < 300")


def verified(root: Path) -> tuple[float, float]:
    """Seconds and peak MiB of what `recorder verify` does, in a process of its own."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", VERIFY, root], stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - begun, int(done.stdout) / 1024


VERIFY = """
import re, sys
from pathlib import Path
from recorder.quality.verify import verify
found = [finding for finding in verify(Path(sys.argv[1])) if finding.is_problem]
assert not found, found
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])  # ru_maxrss would count our memory too
"""


def recovery(root: Path) -> None:
    """Until capture can append again, and until the writer has made parts of what was left."""
    init_lake(root, {"lake.sql": lake_sql()})
    folder = root / "journal" / REC
    count = JOURNAL_MB * (1 << 20) // 8_900
    span = min(HOUR_NS, count * 10_000_000)
    paths = write_segments(folder, depth_pushes(count, 4, span))
    size = sum(path.stat().st_size for path in paths)
    with paths[-1].open("ab") as file:
        file.write(b"torn")
    begun = time.perf_counter()
    found = recover(folder)
    spent = time.perf_counter() - begun
    assert found.cuts and found.last_ns is not None and found.last_ns >= START_NS
    note = f"{size / 1e6:.0f} MB in {len(paths)} segments: {spent * (1 << 30) / size:.1f} s a GB, goal <= 10 s"
    line("recovery of the journal", spent, note)
    begun = time.perf_counter()
    rows = PartMaker(root, REC).make(paths)
    spent = time.perf_counter() - begun
    line(
        "parts of it, by the writer beside the new recording", spent, f"{rows} books, {spent / rows * 1e6:.0f} us each"
    )


if __name__ == "__main__":
    main()
