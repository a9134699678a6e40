"""Small recordings in the format of the real ones, and where the real ones are, if they are."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

REAL = Path(os.environ.get("RECORDER_CAPTURES", Path(__file__).resolve().parents[3] / "shared/data/real/hftbacktest"))
BEGIN = 1_723_161_254_000_000_000  # ns
AHEAD_MS = 1_270  # the recorder's clock was behind the exchange's

Rows = list[tuple[str, str]]


class Tape:
    """Writes a spot recording line by line; `at` is in ms after the first line."""

    def __init__(self, begin: int = BEGIN) -> None:
        self.begin = begin
        self.lines: list[str] = []

    def line(self, at: int, message: dict[str, Any]) -> None:
        self.lines.append(f"{self.begin + at * 1_000_000} {json.dumps(message, separators=(',', ':'))}")

    def time(self, at: int) -> int:
        """Exchange time (ms) of what is received at `at`."""
        return self.begin // 1_000_000 + at + AHEAD_MS

    def snapshot(self, at: int, last: int, bids: Rows, asks: Rows) -> None:
        self.line(at, {"lastUpdateId": last, "bids": bids, "asks": asks})

    def update(self, at: int, first: int, last: int, bids: Rows, asks: Rows) -> None:
        data = {"e": "depthUpdate", "E": self.time(at), "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": asks}
        self.line(at, {"stream": "btcusdt@depth@100ms", "data": data})

    def trade(self, at: int, number: int, price: str, size: str, maker: bool) -> None:
        data = {
            "e": "trade", "E": self.time(at), "s": "BTCUSDT", "t": number, "p": price, "q": size,
            "T": self.time(at) - 1, "m": maker, "M": True,
        }  # fmt: skip
        self.line(at, {"stream": "btcusdt@trade", "data": data})

    def quote(self, at: int, update: int, bid: tuple[str, str], ask: tuple[str, str]) -> None:
        data = {"u": update, "s": "BTCUSDT", "b": bid[0], "B": bid[1], "a": ask[0], "A": ask[1]}
        self.line(at, {"stream": "btcusdt@bookTicker", "data": data})

    def write(self, path: Path) -> Path:
        with gzip.open(path, "wt") as file:
            file.write("".join(line + "\n" for line in self.lines))
        return path


def short() -> Tape:
    """Two updates before the snapshot (one of them newer than it), then trades, quotes and updates."""
    tape = Tape()
    tape.update(0, 95, 99, [("100.00000000", "9.00000000")], [])
    tape.update(20, 100, 102, [("100.00000000", "2.00000000")], [("101.50000000", "0.50000000")])
    tape.snapshot(
        40, 100, [("100.00000000", "1.00000000"), ("99.00000000", "3.00000000")], [("101.00000000", "4.00000000")]
    )
    tape.quote(50, 103, ("100.00000000", "2.00000000"), ("101.00000000", "3.50000000"))
    tape.trade(60, 7001, "101.00000000", "0.50000000", False)
    tape.update(120, 103, 110, [("99.00000000", "0.00000000")], [("101.00000000", "3.50000000")])
    tape.trade(250, 7002, "100.00000000", "0.25000000", True)
    tape.update(320, 111, 115, [("100.00000000", "1.75000000")], [])
    return tape
