"""A lake with the hours we choose: a capture that appends frames of the past, and what the lake must then hold.

Capture, writer and sealer are apart, as in the real thing: capture only knows the journal, the writer is a
PartMaker, the sealer a pass. `Truth` is what capture acknowledged; `check` holds a lake against it.
"""

import json
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from recorder.journal.format import HOUR_NS, Kind, Line, pack
from recorder.journal.reader import closed_segments, read_segment, segment_name, segments
from recorder.journal.recover import recover
from recorder.lake import views
from recorder.lake.layout import init_lake
from recorder.lake.parts import PartMaker
from recorder.lake.rows import decode_rows
from recorder.lake.seal import seal
from recorder.lake.seal_pass import SealReport
from recorder.lake.views import WHERE, lake_sql

REC = "alpha"
VENUE = "hashkey"
MINUTE = 60 * 1_000_000_000
DAY_START = 20_500 * 24 * HOUR_NS  # midnight of some day in 2026
START = DAY_START + 22 * HOUR_NS
TABLES = ("bbo", "depth", "trade")
Rows = Counter[tuple[str, str, int, str]]  # table, symbol, seq (trade: id), price


def make_lake(root: Path) -> Path:
    init_lake(root, {"lake.sql": lake_sql()})
    (root / "journal" / REC).mkdir()
    return root


def bbo_frame(symbol: str, at_ns: int, price: str) -> bytes:
    row = {"s": symbol, "t": at_ns // 1_000_000, "b": price, "bz": "1.5", "a": f"{price}1", "az": "2"}
    return json.dumps({"topic": "bbo", "params": {"symbol": symbol}, "data": row}).encode()


def trade_frame(symbol: str, at_ns: int, price: str, trade_id: int) -> bytes:
    row = {"v": str(trade_id), "t": at_ns // 1_000_000, "p": price, "q": "0.1", "m": False}
    return json.dumps({"topic": "trade", "params": {"symbol": symbol}, "data": row}).encode()


def depth_frame(symbol: str, at_ns: int, price: str, levels: int = 3) -> bytes:
    bids = [[f"{float(price) - level:.2f}", "1"] for level in range(levels)]
    asks = [[f"{float(price) + 1 + level:.2f}", "2"] for level in range(levels)]
    row = {"e": 301, "s": symbol, "t": at_ns // 1_000_000, "v": "123_18", "b": bids, "a": asks, "o": 0}
    return json.dumps({"symbol": symbol, "topic": "depth", "data": [row]}).encode()


@dataclass
class Capture:
    """Appends to the journal as the capture process does, at times that the test gives."""

    root: Path
    seq: int = 1
    now: int = START
    truth: Rows = field(default_factory=Counter)
    trades: int = 0
    open_path: Path | None = None
    hour: int = 0

    @property
    def folder(self) -> Path:
        return self.root / "journal" / REC

    def moved_to(self, root: Path) -> "Capture":
        """The same capture on a copy of its lake."""
        place = None if self.open_path is None else root / self.open_path.relative_to(self.root)
        return Capture(root, self.seq, self.now, self.truth.copy(), self.trades, place, self.hour)

    def rotate(self) -> None:
        head = json.dumps({"event": "segment", "format": 1, "venue": VENUE, "session": "s", "open": [], "live": []})
        self.open_path = self.folder / segment_name(self.seq)
        self._write(head.encode(), Kind.EVENT, Line.OWN)

    def append(self, rounds: int = 1, symbols: tuple[str, ...] = ("BTCUSD", "ETHUSD"), step: int = MINUTE) -> None:
        """A round is a quote, a book and a trade of each symbol; the trade comes on both lines."""
        for _ in range(rounds):
            self.now += step
            if self.open_path is None or self.now // HOUR_NS > self.hour:
                self.rotate()
            for symbol in symbols:
                price = f"{1000 + self.seq}.5"
                self._keep("bbo", symbol, self._write(bbo_frame(symbol, self.now, price), 0, Line.WS_V2), price)
                price = f"{1000 + self.seq}.5"
                self._keep("depth", symbol, self._write(depth_frame(symbol, self.now, price), 0, Line.WS_V1), price)
                self.trades += 1
                price = f"{1000 + self.seq}.5"
                for line in (Line.WS_V2, Line.WS_V1):
                    self._write(trade_frame(symbol, self.now, price, self.trades), 0, line)
                self._keep("trade", symbol, self.trades, price)

    def _keep(self, table: str, symbol: str, number: int, price: str) -> None:
        self.truth[table, symbol, number, f"{float(price):.2f}"] += 1

    def _write(self, payload: bytes, kind: int, line: int) -> int:
        assert self.open_path is not None
        self.hour = max(self.hour, self.now // HOUR_NS)
        seq = self.seq
        record = pack(seq, self.now + seq, seq, self.hour, 1 if kind == 0 else 0, kind, line, payload)
        with self.open_path.open("ab") as file:
            file.write(record)
        self.seq += 1
        return seq

    def die_and_start_again(self, torn: bytes = b"") -> None:
        """Leave `torn` at the end of the newest segment, then recover and go on in a new one."""
        if torn and (found := segments(self.folder)):
            with found[-1].open("ab") as file:
                file.write(torn)
        recovery = recover(self.folder, self.seq)
        self.seq = max(self.seq, recovery.next_seq)
        self.rotate()


def write(root: Path) -> int:
    """One start of the writer: parts of all closed segments."""
    maker = PartMaker(root, REC)
    return maker.make(closed_segments(root / "journal" / REC))


def run_sealer(root: Path, grace: float = 0) -> SealReport:
    """One pass of the sealer; without grace what was merged is cleaned at once."""
    report = seal(root, REC, gc_grace_seconds=grace, now_ns=soon())
    assert not report.failed, report.failed
    return report


QUERY = """
SELECT 'bbo', symbol, seq, printf('%.2f', bid_price::DOUBLE) FROM bbo
UNION ALL SELECT 'depth', symbol, seq, printf('%.2f', bid_prices[1]::DOUBLE) FROM depth
UNION ALL SELECT 'trade', symbol, trade_id, printf('%.2f', price::DOUBLE) FROM trade
"""


@cache
def _views() -> duckdb.DuckDBPyConnection:
    """One connection for all lakes of a test: making the views takes longer than asking them."""
    con = duckdb.connect()
    with tempfile.TemporaryDirectory() as folder:
        con.execute("SET VARIABLE lake = ?", [str(make_lake(Path(folder) / "lake"))])
        con.execute(lake_sql())
    con.execute("SET parquet_metadata_cache = false")
    return con


def lake_rows(root: Path) -> Rows:
    """What the lake's own views say."""
    con = _views()
    con.execute("SET VARIABLE lake = ?", [str(root)])
    con.execute(WHERE)
    for table in TABLES:
        con.execute(views.files_sql(table))
    return Counter(tuple(row) for row in con.sql(QUERY).fetchall())


def journal_rows(root: Path) -> Rows:
    """What is in the journal and in no file."""
    records = [record for path in segments(root / "journal" / REC) for record in read_segment(path)]
    found: Rows = Counter()
    for table, rows in decode_rows(root, REC, records).items():
        price = {"bbo": "bid_price", "depth": "bid_price", "trade": "price"}[table]
        number = "trade_id" if table == "trade" else "seq"
        columns: list[list[Any]] = [rows.column(name).to_pylist() for name in ("symbol", number, price)]
        for symbol, seq, value in zip(*columns, strict=True):
            found[table, symbol, seq, f"{value:.2f}"] += 1
    return found


def check(truth: Rows, found: Rows, what: str) -> None:
    """0 lost, 0 doubled, 0 invented."""
    lost, extra = truth - found, found - truth
    doubled = [row for row in extra if row in truth]
    invented = [row for row in extra if row not in truth]
    assert not lost, f"{what}: {len(lost)} lost, as {next(iter(lost))}"
    assert not doubled, f"{what}: {len(doubled)} doubled, as {doubled[0]}"
    assert not invented, f"{what}: {len(invented)} invented, as {invented[0]}"


def soon() -> int:
    """A moment after all that this pass will write."""
    return time.time_ns() + MINUTE


def files(root: Path, pattern: str) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.glob(pattern))


def age(path: Path, seconds: float) -> None:
    """Make a file look `seconds` older."""
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))
