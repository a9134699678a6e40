"""`recorder demo`: a simulated exchange and a recorder as real processes, then the first questions.

Nothing here knows more than a user does: it starts the same commands and asks the same SQL.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from recorder.errors import RecorderError
from recorder.lake.reader import Lake, open_lake

SYMBOLS = "BTCUSD,ETHUSD,SOLUSD,BTCUSDT,USDTUSD"
SHOWN = "BTCUSD"
RECORDER = [sys.executable, "-m", "recorder"]
SETTLE_SECONDS = 60  # a simulator or recorder that takes longer than this to start or stop is broken

out = Console(width=None if sys.stdout.isatty() else 110)
words = Console(stderr=True)


def demo(folder: Path, seconds: float) -> int:
    """Record `seconds` of a simulated exchange below `folder`, show what is there; returns the exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    with exchange() as urls, recording(data, urls) as recorder:
        wait_for_start(data, recorder)
        watch(recorder, seconds)
    show(open_lake(data), data)
    return 0


@contextmanager
def exchange() -> Iterator[dict[str, str]]:
    """The simulator, as a process; yields its addresses."""
    command = [*RECORDER, "simulate", "--symbols", SYMBOLS, "--rate", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RecorderError("the simulated exchange did not start; run `recorder simulate` to see why")
            yield orjson.loads(line)
        finally:
            process.terminate()


@contextmanager
def recording(data: Path, urls: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`recorder run` against `urls`, as a process; ends it as a user would, with SIGTERM."""
    settings = {
        "RECORDER__VENUE__REST_URL": urls["rest"],
        "RECORDER__VENUE__WS_V1_URL": urls["ws_v1"],
        "RECORDER__VENUE__WS_V2_URL": urls["ws_v2"],
        "RECORDER__JOURNAL__SEGMENT_SECONDS": "5",
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("RECORDER__")}
    with log_of(data).open("wb") as log:
        process = subprocess.Popen([*RECORDER, "run", "--data", str(data)], env=others | settings, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(SETTLE_SECONDS)
    if status:
        raise RecorderError(f"the recorder ended with status {status}; its log is {log_of(data)}")


def log_of(data: Path) -> Path:
    """Beside the lake, not in it."""
    return data.with_name(data.name + ".log")


def wait_for_start(data: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the journal has its first segment: from then on the clock of the demo runs."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while not any((data / "journal").glob("*/*.jrn")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RecorderError(f"the recorder did not start; its log is {log_of(data)}")
        time.sleep(0.05)


def watch(process: subprocess.Popen[bytes], seconds: float) -> None:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=words, transient=True) as progress:
        progress.add_task(f"recording {seconds:g} s of a simulated exchange")
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
    raise RecorderError("the recorder ended early; its log is beside the data")


COUNTED = (
    "trade",
    "depth",
    "bbo",
    "kline_update",
    "kline",
    "ticker",
    "instrument",
    "clock",
    "session",
    "gap",
    "quarantine",
)
BARS = f"""
    SELECT strftime(open_time, '%H:%M:%S') AS "time", open, high, low, close, volume, trade_count AS trades, complete
    FROM ohlcv('{SHOWN}', '1s',
               (SELECT max(exchange_time) - INTERVAL '8 seconds' FROM trade WHERE symbol = '{SHOWN}'),
               (SELECT max(exchange_time) FROM trade WHERE symbol = '{SHOWN}'))
    ORDER BY open_time"""
TOP_OF_BOOK = """
    SELECT symbol, arg_max(bid_size, seq) AS bid_size, arg_max(bid_price, seq) AS bid,
           arg_max(ask_price, seq) AS ask, arg_max(ask_size, seq) AS ask_size, count(*) AS changes
    FROM bbo GROUP BY symbol ORDER BY symbol"""
COVERAGE = """
    SELECT channel, status, reason, count(*) AS intervals, count(DISTINCT symbol) AS symbols,
           round(sum(epoch_ns(to_time) - epoch_ns(from_time)) / 1e9 / count(DISTINCT symbol), 1) AS seconds_each
    FROM coverage WHERE epoch_ns(to_time) - epoch_ns(from_time) > 50_000_000 GROUP BY ALL ORDER BY ALL"""


def show(lake: Lake, data: Path) -> None:
    """The first questions, and where to go from here."""
    counts = " UNION ALL ".join(
        f"SELECT '{view}' AS \"table\", count(*) AS rows, count(DISTINCT symbol) AS symbols FROM {view}"
        for view in COUNTED
    )
    print_answer(lake, "Rows per table", counts)
    print_answer(lake, f"{SHOWN}, one-second bars", BARS)
    print_answer(lake, "Top of book", TOP_OF_BOOK)
    print_answer(lake, "Coverage", COVERAGE)
    files = [path for path in data.rglob("*.parquet") if "schema" not in path.parts]
    size = sum(path.stat().st_size for path in files)
    out.print(f"\n[bold]Where[/]  {data}: {len(files)} Parquet files, {size / 1024:.0f} KiB", highlight=False)
    command = "recorder" if shutil.which("recorder") else os.path.relpath(Path(sys.executable).with_name("recorder"))
    out.print("\n[bold]What next[/]")
    question = f"import recorder; print(recorder.open_lake('{data}').trades('{SHOWN}').df())"
    for line in (
        f'{command} sql "SELECT * FROM trade LIMIT 5" --data {data}',
        f"{command} status --data {data}",
        f'{os.path.relpath(sys.executable)} -c "{question}"',
        f"{command} run        # the real exchange; see config.toml",
    ):
        out.print(f"  {line}", highlight=False, soft_wrap=True)


def print_answer(lake: Lake, title: str, query: str) -> None:
    relation = lake.sql(query)
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    rows = relation.fetchall()
    for index, name in enumerate(relation.columns):
        words_column = any(isinstance(row[index], str) for row in rows)
        table.add_column(name, justify="left" if words_column else "right")
    for row in rows:
        table.add_row(*(plain(value) for value in row))
    out.print()
    out.print(table)


def plain(value: Any) -> str:
    """As a trader writes it: 12 stored decimals without the zeros at the end."""
    if value is None:
        return "-"
    text = f"{value:f}" if hasattr(value, "as_tuple") else str(value)
    return text.rstrip("0").rstrip(".") if hasattr(value, "as_tuple") and "." in text else text
