"""An exchange on the bench: the real hub and protocol, a clock we turn by hand, and no network."""

import asyncio
import gzip
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recorder.exchange.clock import Clock
from recorder.exchange.connection import Connection
from recorder.exchange.faults import Script
from recorder.exchange.hub import Hub
from recorder.exchange.injector import Injector
from recorder.exchange.instruments import choose
from recorder.exchange.ledger import Ledger
from recorder.exchange.market import Market
from recorder.exchange.source import MS, Source
from recorder.exchange.v1_requests import V1Requests
from recorder.exchange.v2_requests import V2Requests

START_MS = 1_790_128_268_000  # 2026-09-23, when frames of the reference were recorded
Frame = dict[str, Any]


def market(*symbols: str, seed: int = 1, rate: float = 1.0) -> Market:
    return Market(choose(symbols or ("BTCUSD", "ETHUSD"), 0), seed, START_MS, rate)


class Wire(asyncio.Transport):
    """A transport that keeps what is written; `unread` plays a client that does not read."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.unread = 0
        self.aborted = False
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def pause_reading(self) -> None:
        self.reading = False

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def get_write_buffer_size(self) -> int:
        return self.unread


def unpack(raw: bytes) -> tuple[int, bytes]:
    """(kind, body) of one unmasked frame; checks that its length is told right."""
    kind, length = raw[0], raw[1]
    if length == 126:
        length, body = struct.unpack(">H", raw[2:4])[0], raw[4:]
    elif length == 127:
        length, body = struct.unpack(">Q", raw[2:10])[0], raw[10:]
    else:
        body = raw[2:]
    assert length == len(body)
    return kind, body


class Client:
    """One client: says frames, hears frames."""

    def __init__(
        self,
        hub: Hub,
        api: str,
        number: int,
        ledger: Ledger,
        buffer_limit: int = 1 << 20,
        faults: Injector | None = None,
    ) -> None:
        self.wire = Wire()
        epoch = faults.epoch if faults else 0
        self.connection = Connection(number, api, self.wire, ledger, buffer_limit, faults, epoch)
        self._requests = V1Requests(hub) if api == "v1" else V2Requests(hub)

    def say(self, frame: Frame | str) -> list[Frame]:
        """Send a frame; returns what came back at once."""
        self._requests.handle(self.connection, frame if isinstance(frame, str) else json.dumps(frame))
        return self.heard()

    def sub(self, topic: str, symbol: str, **params: Any) -> list[Frame]:
        """Subscribe in the manner of this socket's version."""
        if self.connection.api == "v1":
            asked = {"symbol": symbol, "topic": topic, "event": "sub"}
            return self.say(asked | ({"params": params} if params else {}))
        return self.say({"topic": topic, "event": "sub", "params": {"symbol": symbol, **params}})

    def heard(self) -> list[Frame]:
        """All frames since the last call."""
        raw, self.wire.written = self.wire.written, []
        frames = []
        for kind, body in map(unpack, raw):
            frames.append(json.loads(gzip.decompress(body) if kind == 0x82 else body))
        return frames


class Bench:
    """A hub whose time moves only when `run` is called."""

    def __init__(self, source: Source, ledger: Path | None = None, script: Script | None = None) -> None:
        self._monotonic = 0
        self.clock = Clock(source.start_ns, 1.0, lambda: self._monotonic)
        self.ledger = Ledger(ledger)
        self.source = source
        self.hub = Hub(source, self.clock, self.ledger)
        self.faults = None if script is None else Injector(script, self.hub, self.ledger)
        self.clock.begin()
        self._clients = 0

    def client(self, api: str, buffer_limit: int = 1 << 20) -> Client:
        self._clients += 1
        return Client(self.hub, api, self._clients, self.ledger, buffer_limit, self.faults)

    async def run(self, ms: int) -> None:
        """Let `ms` of exchange time pass."""
        if self.faults is None:
            self._monotonic += ms * MS
            await self.hub.catch_up()
            return
        for passed in range(0, ms, 10):  # faults happen at the clock's time, so let it tick
            self._monotonic += min(10, ms - passed) * MS
            self.faults.step()
            await self.hub.catch_up()


def levels(rows: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Price to size."""
    return dict(rows)
