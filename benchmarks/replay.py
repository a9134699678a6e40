"""Replay at full speed: frames a second from one lake to one bare client, and the memory of the replay.

The lake has 38 symbols in the venue's proportions: books of up to 100 levels a side (2.6 kB a frame on average),
quotes, trades and candles, about 230 frames a second of market time. The client reads bytes and counts frames, no more.
Goal: 20,000 frames a second. A second run, of books only, shows what they cost; the third reads sealed files.
"""

import base64
import json
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import psutil

from benchmarks._market import HEAD, HOUR, START_NS, Book
from recorder.exchange.instruments import VENUE
from recorder.exchange.listing import exchange_info
from recorder.journal.format import Kind, Line, pack
from recorder.journal.reader import segment_name
from recorder.lake.layout import init_lake
from recorder.lake.parts import make_parts
from recorder.lake.reader import open_lake

SECONDS = int(os.environ.get("BENCH_SECONDS", "900"))  # of market time
SYMBOLS = tuple(listing.instrument.symbol for listing in VENUE)
RATES = {"depth": 84, "bbo": 100, "trade": 12, "kline": 35}  # a second
SEGMENT = 50_000_000  # bytes of payload


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_lake(root)
        measure("the venue's mix", root, ("depth", "bbo", "trade", "kline"))
        measure("books only", root, ("depth",))
        from recorder.lake.seal_all import seal_all

        seal_all(root, "main")
        measure("the mix, sealed", root, ("depth", "bbo", "trade", "kline"))


# -- the lake


def make_lake(root: Path) -> None:
    init_lake(root)
    folder = root / "journal" / "main"
    folder.mkdir()
    paths: list[Path] = []
    parts: list[bytes] = []
    size, seq = 0, 1

    def add(at: int, conn: int, kind: int, line: int, payload: bytes) -> None:
        nonlocal size, seq
        parts.append(pack(seq, at, seq, HOUR, conn, kind, line, payload))
        size += len(payload)
        seq += 1

    def close() -> None:
        nonlocal size
        path = folder / segment_name(seq - len(parts))
        path.write_bytes(b"".join(parts))
        paths.append(path)
        parts.clear()
        size = 0

    add(START_NS, 0, Kind.EVENT, Line.OWN, HEAD)
    about = {"path": "/api/v1/exchangeInfo", "params": {}, "status": 200, "reason": "start", "sent_ns": START_NS}
    info = exchange_info((listing.instrument for listing in VENUE), START_NS // 1_000_000)
    add(START_NS, 0, Kind.REST, Line.REST, orjson.dumps(about) + b"\n" + orjson.dumps(info))
    for at, line, payload in frames():
        add(at, line, Kind.TEXT, line, payload)
        if size > SEGMENT:
            close()
            add(at, 0, Kind.EVENT, Line.OWN, HEAD)
    close()
    make_parts(root, "main", paths)


def frames() -> Iterator[tuple[int, int, bytes]]:
    """(arrival, line, frame) in order."""
    chance = random.Random(7)
    books = [
        Book(listing.instrument.symbol, chance, Decimal(1000 * (n + 1)), min(100, listing.temper.levels))
        for n, listing in enumerate(VENUE)
    ]
    weights = [listing.temper.changes for listing in VENUE]
    kinds = [kind for kind, rate in RATES.items() for _ in range(rate)]
    for second in range(SECONDS):
        chance.shuffle(kinds)
        chosen = chance.choices(books, weights, k=len(kinds))
        for place, (kind, book) in enumerate(zip(kinds, chosen, strict=True)):
            number = second * len(kinds) + place
            at = START_NS + number * 1_000_000_000 // len(kinds)
            yield at, 1 if kind == "kline" else 2, frame(kind, book, number, at)


def frame(kind: str, book: Book, number: int, at: int) -> bytes:
    ms, params = at // 1_000_000, {"symbol": book.symbol}
    if kind == "depth":
        return book.push(number, at, 8)
    bid, ask = book.bids[0], book.asks[0]
    row: dict[str, Any]
    if kind == "bbo":
        row = {"s": book.symbol, "b": bid[0], "bz": bid[1], "a": ask[0], "az": ask[1], "t": ms, "v": str(number)}
    elif kind == "trade":
        row = {"v": str(number), "t": ms, "p": bid[0], "q": bid[1], "m": True}
    else:
        row = {"t": ms // 60_000 * 60_000, "s": book.symbol, "c": bid[0], "h": ask[0], "l": bid[0], "o": bid[0],
               "v": str(number), "et": 0, "qv": str(number * 2), "td": number, "tb": "1", "tq": "2"}  # fmt: skip
        head = {"symbol": book.symbol, "symbolName": book.symbol, "topic": "kline", "params": {"klineType": "1m"}}
        return orjson.dumps({**head, "data": [row], "f": False, "sendTime": ms, "site": "hk"})
    return orjson.dumps({"topic": kind, "params": params, "data": row, "site": "hk"})


# -- the client


@dataclass
class Client:
    """A V2 socket without a library: as little work as can be."""

    line: socket.socket
    rest: bytes = b""

    @classmethod
    def open(cls, url: str) -> "Client":
        host, port = url.split("/")[2].split(":")
        line = socket.create_connection((host, int(port)))
        key = base64.b64encode(bytes(16)).decode()
        line.sendall(
            f"GET /quote/ws/v2 HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += line.recv(4096)
        return cls(line, head.partition(b"\r\n\r\n")[2])

    def subscribe(self, topic: str, symbol: str) -> None:
        params = {"symbol": symbol} | ({"klineType": "1m"} if topic == "kline" else {})
        body = orjson.dumps({"topic": topic, "event": "sub", "params": params})
        length = bytes((0x80 | len(body),)) if len(body) < 126 else b"\xfe" + struct.pack(">H", len(body))
        self.line.sendall(b"\x81" + length + bytes(4) + body)  # a mask of zeros

    def count(self, wanted: int) -> tuple[int, int, float]:
        """Read `wanted` frames: their bytes, the frames, and the seconds since the first."""
        seen, total, began, data = 0, 0, 0.0, self.rest
        while seen < wanted:
            more = self.line.recv(1 << 20)
            if not more:
                raise RuntimeError(f"cut off after {seen} of {wanted} frames")
            began = began or time.perf_counter()
            total += len(more)
            data += more
            at, end = 0, len(data)
            while end - at >= 2:
                length, body = data[at + 1], at + 2
                if length == 126:
                    body += 2
                    length = int.from_bytes(data[at + 2 : body], "big") if body <= end else end
                if body + length > end:
                    break
                at = body + length
                seen += 1
            data = data[at:]
        return total, seen, time.perf_counter() - began


def measure(what: str, root: Path, topics: tuple[str, ...]) -> None:
    lake = open_lake(root)
    views = {"kline": "kline_update"}
    wanted = sum(int(lake.sql(f"SELECT count(*) FROM {views.get(t, t)}").fetchall()[0][0]) for t in topics)
    lake.con.close()
    process = subprocess.Popen(
        [sys.executable, "-m", "recorder", "replay", "--data", str(root), "--speed", "max"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        client = Client.open(json.loads(process.stdout.readline())["ws_v2"])
        before = psutil.Process(process.pid).memory_info().rss
        asked = [(topic, symbol) for symbol in SYMBOLS for topic in topics]
        for topic, symbol in asked:
            client.subscribe(topic, symbol)
        client.count(len(asked))  # the acknowledgements
        total, frames, seconds = client.count(wanted)
        peak = psutil.Process(process.pid)
        status = Path(f"/proc/{process.pid}/status").read_text() if sys.platform == "linux" else ""
        high = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")]
        used = high[0] if high else peak.memory_info().rss
        cpu = peak.cpu_times()
    finally:
        process.terminate()
        process.wait()
    print(
        f"{what:16} {frames:8} frames {total / frames:6.0f} B each {seconds:7.2f} s {frames / seconds:8.0f} frames/s "
        f"{total / seconds / 1e6:6.0f} MB/s, peak {used / 1e6:4.0f} MB (begins with {before / 1e6:.0f}), "
        f"{(cpu.user + cpu.system) / frames * 1e6:4.0f} us CPU a frame"
    )


if __name__ == "__main__":
    main()
