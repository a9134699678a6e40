"""Decode to Arrow against orjson.loads of the same depth frames (R), 200 levels a side. Required: at most 6 R."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import orjson

from recorder.venues.hashkey.decode import Context, decode

FRAMES = 600
LEVELS = 200
SYMBOLS = 20
CHANGED = 40  # of all levels, from one push to the next
REPEATS = 5
REQUIRED = 6.0


@dataclass(slots=True)
class Arrived:
    """A journal record as the decoder sees it."""

    seq: int
    payload: bytes
    receive_ns: int = 1_790_128_268_345_000_000
    conn: int = 1
    kind: int = 0
    line: int = 1


def depth_frames(count: int = FRAMES, levels: int = LEVELS, symbols: int = SYMBOLS) -> list[bytes]:
    """V1 `depth` pushes as the venue sends them: some levels change from one to the next of a symbol."""
    chance = random.Random(7)
    books = [_Book(chance, f"SYM{i}USD", Decimal(1000 * (i + 1)), levels) for i in range(symbols)]
    return [books[i % symbols].push(i) for i in range(count)]


class _Book:
    def __init__(self, chance: random.Random, symbol: str, mid: Decimal, levels: int) -> None:
        self.chance = chance
        self.symbol = symbol
        step = Decimal("0.01")
        self.bids = [[f"{mid - (i + 1) * step:f}", self._size()] for i in range(levels)]
        self.asks = [[f"{mid + (i + 1) * step:f}", self._size()] for i in range(levels)]

    def _size(self) -> str:
        return f"{self.chance.randint(1, 3 * 10**5) / 10**5:.5f}".rstrip("0").rstrip(".")

    def push(self, number: int) -> bytes:
        for level in self.chance.choices(self.bids + self.asks, k=CHANGED):
            level[1] = self._size()
        time_ms = 1_790_128_268_345 + number
        row = {"e": 301, "s": self.symbol, "t": time_ms, "v": f"{2_546_770_814 + number}_18"}
        frame = {
            "symbol": self.symbol,
            "symbolName": self.symbol,
            "topic": "depth",
            "params": {"realtimeInterval": "24h", "binary": "false"},
            "data": [{**row, "b": self.bids, "a": self.asks, "o": 0}],
            "f": False,
            "sendTime": time_ms + 73,
            "channelId": "92e9fefffe175075-00000001-00041081-26cd5ee464861299-452b8b0e",
            "site": "hk",
            "shared": False,
        }
        return orjson.dumps(frame)


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU of the fastest of some runs."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def parse_all(frames: list[bytes]) -> None:
    for frame in frames:
        orjson.loads(frame)


def main() -> None:
    frames = depth_frames()
    records = [Arrived(seq, frame) for seq, frame in enumerate(frames)]
    base = cpu_seconds(lambda: parse_all(frames))
    ours = cpu_seconds(lambda: decode(records, Context("hashkey")))
    ratio = ours / base
    each = 1e6 / len(frames)
    size = sum(map(len, frames)) // len(frames)
    print(f"depth frames of {size} bytes, {LEVELS} levels a side: R = {base * each:.1f} us")
    print(f"decode to Arrow: {ours * each:.1f} us a frame = {ratio:.2f} R (required: at most {REQUIRED:.0f} R)")


if __name__ == "__main__":
    main()
