"""The storage, row by row of what it has to reach: measured beside required, as ratios taken in this run.

R is the CPU time of `orjson.loads` on the same depth frames. STORAGE_SCALE (default 1) multiplies the hour of
books that is recorded: at 1 it has 48,000 pushes of 20 symbols in 240 parts.
"""

import asyncio
import datetime as dt
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks._market import HOUR, SYMBOLS, depth_pushes, records_of, write_segments
from benchmarks._tables import FIRST_DAY, write_day
from benchmarks.decode import parse_all
from benchmarks.journal import append_cost
from recorder import open_lake
from recorder.journal.format import Kind, Line
from recorder.journal.reader import segments
from recorder.journal.writer import Journal
from recorder.lake.layout import init_lake
from recorder.lake.names import EPOCH, PartName, hour_window
from recorder.lake.names import HOUR as HOUR_LEVEL
from recorder.lake.parquet import write_file
from recorder.lake.parts import PartMaker
from recorder.lake.rows import as_table
from recorder.lake.seal import seal
from recorder.lake.views import lake_sql
from recorder.venues.hashkey.decode import Context, decode

SCALE = float(os.environ.get("STORAGE_SCALE", "1"))
PUSHES = int(48_000 * SCALE)
REC = "bench"
REPEATS = 5


def line(what: str, measured: str, required: str) -> None:
    print(f"{what:<66} {measured:>16}   {required}")


def cpu(work: Callable[[], object], repeats: int = 1) -> float:
    """Seconds of CPU of all threads, the best of some runs."""
    found = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


def wall(work: Callable[[], object], repeats: int = REPEATS) -> float:
    found = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found)


def ratio(value: float) -> str:
    return f"1/{1 / value:.1f}"


def main() -> None:
    pa.set_cpu_count(1)
    line("what", "measured", "required")
    frames = [frame for _, frame in depth_pushes(2_000, 40)]
    one = cpu(lambda: parse_all(frames), REPEATS) / len(frames)
    line("orjson.loads of a push (R)", f"{one * 1e6:.1f} us", f"of {len(frames[0])} bytes")
    appended = journal_rows(frames, one)
    with tempfile.TemporaryDirectory() as folder:
        decoded_and_merged(Path(folder) / "lake", one, appended)
    depth_sizes()
    with tempfile.TemporaryDirectory() as folder:
        month(Path(folder) / "lake")
    exact(frames[:400])


def journal_rows(frames: list[bytes], one: float) -> float:
    """Seconds of CPU to append a frame."""
    appended = asyncio.run(append_cost(frames[0], 6_000, 30)) / 1e6
    line("journal, CPU a frame, 250 ms groups", f"{appended / one:.2f} R", "<= 1.0 R")
    raw = b"".join(frames)
    packed = len(pa.Codec("zstd", compression_level=3).compress(raw))
    line("raw archive (zstd 3 of a segment) / raw JSON", f"{packed / len(raw):.3f}", "<= 0.10")
    commit, bare = asyncio.run(commits(frames))
    line(
        "group commit p50 / bare fdatasync p50",
        f"{commit / bare:.1f}",
        f"<= 8   ({commit * 1e3:.2f} ms, {bare * 1e3:.2f} ms)",
    )
    return appended


async def commits(frames: list[bytes], groups: int = 60, size: int = 30) -> tuple[float, float]:
    """Median seconds until a group is durable: through the journal, and by write and fdatasync alone."""
    ours, bare = [], []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        plain = os.open(Path(folder) / "plain", os.O_CREAT | os.O_WRONLY)
        async with Journal(Path(folder), 1, lambda: b'{"event":"segment"}') as journal:
            for _ in range(groups):
                begun = time.perf_counter()
                for frame in frames[:size]:
                    journal.append(Kind.TEXT, Line.WS_V2, 1, frame)
                await journal.sync()
                ours.append(time.perf_counter() - begun)
                os.write(plain, b"".join(frames[:size]))
                begun = time.perf_counter()
                os.fdatasync(plain)
                bare.append(time.perf_counter() - begun)
        os.close(plain)
    return statistics.median(ours), statistics.median(bare)


def decoded_and_merged(root: Path, one: float, appended: float) -> None:
    """An hour of books, from the journal to the hour file, and what questions to it cost."""
    records = records_of(depth_pushes(2_000, 40))
    decoding = cpu(lambda: decode(records, Context()), 3) / (len(records) - 1)
    line("decode to Arrow, CPU a push", f"{decoding / one:.2f} R", "<= 6 R")
    init_lake(root, {"lake.sql": lake_sql()})
    journal = root / "journal" / REC
    write_segments(journal, depth_pushes(PUSHES, 40))
    raw = sum(path.stat().st_size for path in segments(journal)) - PUSHES * 40
    maker = PartMaker(root, REC)
    parts = cpu(lambda: [maker.make([path]) for path in segments(journal)]) / PUSHES
    top = "SELECT sum(bid_price), sum(ask_price) FROM depth"
    before = open_lake(root)
    in_parts = wall(lambda: before.sql(top).fetchall())
    (root / "closed" / f"{REC}~{hour_window(HOUR)}").touch()
    merging = cpu(lambda: seal(root, REC)) / PUSHES
    total = appended + parts + merging
    spent = f"{appended / one:.1f} + {parts / one:.1f} + {merging / one:.1f}"
    line(
        "arrival to hour file, CPU a push, all steps",
        f"{total / one:.2f} R",
        f"<= 12 R   (journal + part + merge: {spent})",
    )
    (file,) = root.glob("sealed/depth/*/*.parquet")
    line("depth hour file / raw JSON, recorded, 40 changed", ratio(file.stat().st_size / raw), "")
    lake = open_lake(root)
    columns = wall(lambda: lake.sql(top).fetchall())
    lists = wall(lambda: lake.sql("SELECT sum(bid_prices[1]), sum(ask_prices[1]) FROM depth").fetchall())
    line("top of book of an hour: from columns / from lists", ratio(columns / lists), "<= 1/8")
    line("top of book of an hour: in 15 s parts / in one file", f"{in_parts / columns:.1f}", "<= 12")


def depth_sizes() -> None:
    for changed, name, required in ((8, "quiet", 60), (40, "normal", 25), (160, "busy", 10)):
        count = int(6_000 * min(SCALE, 1))
        pushes = list(depth_pushes(count, changed))
        rows = as_table("depth", decode(records_of(iter(pushes)), Context())["depth"])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file.parquet"
            write_file(path, "depth", PartName(REC, HOUR_LEVEL, hour_window(HOUR), 2, count + 1, count), rows, True)
            share = path.stat().st_size / sum(len(frame) for _, frame in pushes)
        line(f"depth final bytes / raw JSON, {name} ({changed} changed)", ratio(share), f"<= 1/{required}")


def month(root: Path) -> None:
    """Day files of trades and quotes, and many small parts."""
    init_lake(root, {"lake.sql": lake_sql()})
    for day in range(30):
        write_day(root, "bbo", FIRST_DAY + day, int(25_920 * SCALE))
    trade = write_day(root, "trade", FIRST_DAY, int(25_920 * SCALE))
    bbo = min(root.glob("sealed/bbo/*/*.parquet"))
    line("trade, bytes a row, numbers and times only", f"{row_bytes(trade):.1f}", "<= 15")
    line("bbo, bytes a row, numbers and times only", f"{row_bytes(bbo):.1f}", "<= 20")
    lake = open_lake(root)
    last = FIRST_DAY + 29
    spread = f"SELECT avg(ask_price - bid_price) FROM bbo WHERE symbol = '{SYMBOLS[3]}'"
    begin = (last * 24 + 23) * 3_600_000_000_000
    hour = f"{spread} AND date = DATE '{EPOCH + dt.timedelta(days=last):%Y-%m-%d}' AND receive_ns >= {begin}"
    some = wall(lambda: lake.sql(hour).fetchall())
    whole = wall(lambda: lake.sql("SELECT avg(ask_price - bid_price) FROM bbo").fetchall())
    line("last hour of one symbol with date / scan of the month", ratio(some / whole), "<= 1/20")
    view_over_list(root / "small")


def view_over_list(root: Path, count: int = 1_000) -> None:
    init_lake(root, {"lake.sql": lake_sql()})
    records = records_of(depth_pushes(40, 40))
    rows = as_table("depth", decode(records, Context())["depth"])
    folder = root / "hot" / "depth" / "date=2026-09-12"
    folder.mkdir(parents=True)
    for number in range(count):
        name = PartName(REC, "p", hour_window(HOUR), number * 50, number * 50 + 39, 40)
        write_file(folder / str(name), "depth", name, rows)
    lake = open_lake(root)
    files = lake.files("depth")
    con = duckdb.connect()
    con.execute("SET parquet_metadata_cache = true")
    con.execute("SET VARIABLE files = ?", [files])
    listed = "SELECT sum(bid_price) FROM read_parquet(getvariable('files'), hive_partitioning = true)"
    ours, plain = [], []
    for _ in range(REPEATS):
        ours.append(wall(lambda: lake.con.sql("SELECT sum(bid_price) FROM depth").fetchall(), 1))
        plain.append(wall(lambda: con.sql(listed).fetchall(), 1))
    listing = wall(lambda: lake.refresh())
    line(
        f"view / read_parquet of the same list, {count} parts",
        f"{min(ours) / min(plain):.2f}",
        f"<= 1.2   (listing all: {listing * 1e3:.0f} ms)",
    )


def row_bytes(path: Path) -> float:
    meta = pq.read_metadata(path)
    strings = {"venue", "symbol", "source"}
    columns = (meta.row_group(g).column(c) for g in range(meta.num_row_groups) for c in range(meta.num_columns))
    return float(sum(c.total_compressed_size for c in columns if c.path_in_schema not in strings) / meta.num_rows)


def exact(frames: list[bytes]) -> None:
    """Every price and size of a frame is, as a decimal, what the file gives back."""
    at = ((HOUR * 3_600_000_000_000 + n, frame) for n, frame in enumerate(frames))
    rows = as_table("depth", decode(records_of(at), Context())["depth"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.parquet"
        write_file(path, "depth", PartName(REC, HOUR_LEVEL, hour_window(HOUR), 2, 401, len(frames)), rows, True)
        query = f"SELECT bid_prices, bid_sizes, ask_prices, ask_sizes FROM '{path}' ORDER BY seq"
        stored = duckdb.connect().execute(query).fetchall()
    wrong = 0
    for frame, row in zip(frames, stored, strict=True):
        data = orjson.loads(frame)["data"]
        sent = [[Decimal(level[at]) for level in data[side]] for side in "ba" for at in (0, 1)]
        wrong += sent != list(row)
    line("every price and size read back equals the sent one", "yes" if not wrong else f"{wrong} wrong", "yes")


if __name__ == "__main__":
    main()
