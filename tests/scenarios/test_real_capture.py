"""Real markets: what a capture holds is what the lake holds.

The captures are not part of the repository; where they are absent these tests are skipped. The book is rebuilt
here from the capture's own snapshot and updates, by code that shares nothing with the simulator.
"""

import gzip
import json
import os
import random
from bisect import bisect_right
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import recorder as api
from tests.scenarios.support import exchange, recorder

FOLDER = Path(os.environ.get("RECORDER_CAPTURES", Path(__file__).resolve().parents[3] / "shared/data/real/hftbacktest"))
TICK_NS = 100_000_000  # books are pushed every 100 ms
LEVELS = 100
SPEED = 20
MOMENTS = 1_000
STREAMS = [
    (["spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz"], "BTCUSDT"),
    (["usdm_btcusdt_20240808.gz"], "BTCUSDT-PERPETUAL"),
    (["cm_ethusd_perp_20240808.gz"], "ETHUSD-PERPETUAL"),
]

Side = dict[Decimal, Decimal]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the real captures are not on this machine"),
]


def messages(names: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for name in names:
        with gzip.open(FOLDER / name, "rt") as file:
            for line in file:
                at, text = line.split(" ", 1)
                message = json.loads(text)
                yield int(at), message.get("data", message)


def trades(names: list[str]) -> list[tuple[Any, ...]]:
    return sorted(
        (m["t"], m["T"], Decimal(m["p"]), Decimal(m["q"]), m["m"]) for _, m in messages(names) if m.get("e") == "trade"
    )


class Book:
    """The capture's own book: its snapshot, then each update that is newer, also if it came before the snapshot."""

    def __init__(self) -> None:
        self.bids: Side = {}
        self.asks: Side = {}
        self.version: int | None = None
        self.early: list[dict[str, Any]] = []

    def apply(self, message: dict[str, Any]) -> None:
        if "lastUpdateId" in message:
            self.version = message["lastUpdateId"]
            self.bids = {Decimal(p): Decimal(q) for p, q in message["bids"]}
            self.asks = {Decimal(p): Decimal(q) for p, q in message["asks"]}
            for update in self.early:
                self.apply(update)
        elif self.version is None and message.get("e") == "depthUpdate":
            self.early.append(message)
        elif message.get("e") == "depthUpdate" and message["u"] > (self.version or 0):
            self.version = message["u"]
            for side, changes in ((self.bids, message["b"]), (self.asks, message["a"])):
                for price, size in changes:
                    if Decimal(size):
                        side[Decimal(price)] = Decimal(size)
                    else:
                        side.pop(Decimal(price), None)

    def top(self) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        return (
            sorted(self.bids.items(), reverse=True)[:LEVELS],
            sorted(self.asks.items())[:LEVELS],
        )


@pytest.mark.parametrize(("names", "symbol"), STREAMS, ids=lambda v: "+".join(v)[:40] if isinstance(v, list) else v)
def test_a_recorded_capture_has_exactly_its_trades_and_books(tmp_path: Path, names: list[str], symbol: str) -> None:
    files = [argument for name in names for argument in ("--capture", str(FOLDER / name))]
    settings = {"RECORDER__RECORD__STREAMS": '["trade","depth","bbo","kline","ticker"]'}
    with exchange(tmp_path, *files, "--speed", str(SPEED)) as market, recorder(tmp_path, market, **settings) as run:
        market.wait_for_event("finished", 240)
        market.wait_for_frames(0)
        assert run.stop() == 0, run.log()
    lake = api.open_lake(run.data)

    stored = lake.sql(
        "SELECT trade_id, epoch_ms(exchange_time), price, size, buyer_is_maker FROM trade ORDER BY trade_id"
    ).fetchall()
    assert stored == trades(names)

    versions = {
        version: (list(zip(bp, bs, strict=True)), list(zip(ap, az, strict=True)))
        for version, bp, bs, ap, az in lake.sql(
            f"SELECT version, bid_prices, bid_sizes, ask_prices, ask_sizes FROM depth WHERE symbol = '{symbol}'"
        ).fetchall()
    }
    lines = list(messages(names))
    first, last = lines[0][0], lines[-1][0]
    snapshot_at = next(at for at, m in lines if "lastUpdateId" in m)
    chooser = random.Random(symbol)
    moments = sorted(chooser.randrange(snapshot_at + TICK_NS, last) for _ in range(MOMENTS))
    ticks = [first + (moment - first) // TICK_NS * TICK_NS for moment in moments]
    arrivals = [at for at, _ in lines]
    book, done, wrong = Book(), 0, []
    for tick in ticks:
        until = bisect_right(arrivals, tick)
        for _, message in lines[done:until]:
            book.apply(message)
        done = max(done, until)
        if versions.get(book.version or 0) != book.top():
            wrong.append((tick, book.version))
    assert not wrong, f"{len(wrong)} of {MOMENTS} books differ, first: {wrong[:3]}"
    report(run.data, lake, names)


def report(data: Path, lake: "api.Lake", names: list[str]) -> None:
    """The first real churn that we see; `pytest -s` shows it."""
    print(f"\n{' + '.join(names)}")  # noqa: T201
    for view, table in (
        ("trade", "trade"),
        ("depth", "depth"),
        ("bbo", "bbo"),
        ("kline_update", "kline"),
        ("ticker", "ticker"),
    ):
        rows = lake.sql(f"SELECT count(*) FROM {view}").fetchall()[0][0]
        size = sum(f.stat().st_size for level in ("hot", "sealed") for f in (data / level / table).rglob("*.parquet"))
        print(f"  {table:8} {rows:8,} rows {size / 1024:10,.0f} KiB {size / max(rows, 1):8.1f} bytes a row")  # noqa: T201
