"""Frames and rows of a made-up market for the storage benchmarks: 20 symbols, books of 200 levels a side."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import orjson

from recorder.journal.format import HOUR_NS, Kind, Line, Record, pack
from recorder.journal.reader import segment_name

SYMBOLS = tuple(f"SYM{n:02}USD" for n in range(20))
LEVELS = 200
HOUR = 497_000  # since 1970; 2026-09-12 08:00
START_NS = HOUR * HOUR_NS
HEAD = orjson.dumps({"event": "segment", "format": 1, "venue": "hashkey", "session": "bench", "open": [], "live": []})


@dataclass
class Book:
    """Levels whose sizes change; prices stay where they are, as most do from push to push."""

    symbol: str
    chance: random.Random
    mid: Decimal
    levels: int = LEVELS
    bids: list[list[str]] = field(init=False)
    asks: list[list[str]] = field(init=False)

    def __post_init__(self) -> None:
        step = Decimal("0.01")
        self.bids = [[f"{self.mid - (n + 1) * step:f}", self.size()] for n in range(self.levels)]
        self.asks = [[f"{self.mid + (n + 1) * step:f}", self.size()] for n in range(self.levels)]

    def size(self) -> str:
        return f"{self.chance.randint(1, 3 * 10**5) / 10**5:.5f}".rstrip("0").rstrip(".")

    def push(self, number: int, at_ns: int, changed: int) -> bytes:
        """A V2 frame, after `changed` of all levels got another size."""
        for level in self.chance.choices(self.bids + self.asks, k=changed):
            level[1] = self.size()
        row = {"s": self.symbol, "t": at_ns // 1_000_000, "v": f"{10_000 + number}_18", "b": self.bids, "a": self.asks}
        return orjson.dumps({"topic": "depth", "params": {"symbol": self.symbol}, "data": row, "site": "hk"})


def depth_pushes(count: int, changed: int, span_ns: int = HOUR_NS, seed: int = 7) -> Iterator[tuple[int, bytes]]:
    """(arrival, frame), the symbols in turn, evenly over `span_ns` from START_NS."""
    chance = random.Random(seed)
    books = [Book(symbol, chance, Decimal(1000 * (n + 1))) for n, symbol in enumerate(SYMBOLS)]
    for number in range(count):
        at = START_NS + number * span_ns // count
        yield at, books[number % len(books)].push(number, at, changed)


def records_of(pushes: Iterator[tuple[int, bytes]]) -> list[Record]:
    """As the journal gives them to the decoder, after the head of a segment."""
    head = Record(1, START_NS, 1, HOUR, 0, Kind.EVENT, Line.OWN, HEAD)
    return [head, *(Record(seq, at, seq, HOUR, 1, Kind.TEXT, Line.WS_V2, f) for seq, (at, f) in enumerate(pushes, 2))]


def write_segments(folder: Path, pushes: Iterator[tuple[int, bytes]], seconds: float = 15) -> list[Path]:
    """Segments of `seconds` of arrival each."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    parts: list[bytes] = []
    seq, end = 1, -1
    for at, frame in pushes:
        if at >= end:
            if parts:
                paths[-1].write_bytes(b"".join(parts))
            end = at - (at - START_NS) % int(seconds * 1e9) + int(seconds * 1e9)
            paths.append(folder / segment_name(seq))
            parts = [pack(seq, at, seq, at // HOUR_NS, 0, Kind.EVENT, Line.OWN, HEAD)]
            seq += 1
        parts.append(pack(seq, at, seq, at // HOUR_NS, 1, Kind.TEXT, Line.WS_V2, frame))
        seq += 1
    if parts:
        paths[-1].write_bytes(b"".join(parts))
    return paths


def walk(chance: random.Random, price: int) -> int:
    """The next price in ticks."""
    return max(100, price + chance.choice((-1, 0, 0, 0, 1)))
