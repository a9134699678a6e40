"""Bots as others write them run against `recorder replay` without a change: the command itself, in its own process."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ccxt.pro
import pytest
import websocket

from tests.exchange.test_replay import small

PATIENCE_SECONDS = 20


@contextmanager
def replaying(root: Path, speed: str) -> Iterator[dict[str, str]]:
    """`recorder replay` of a whole lake; gives its addresses."""
    command = [sys.executable, "-m", "recorder", "replay", "--data", str(root), "--speed", speed]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        _, told = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, told.decode()


@pytest.mark.slow
async def test_ccxt_consumes_it_unchanged(tmp_path: Path) -> None:
    """A client written by others against the real venue."""
    with replaying(small(tmp_path / "lake"), "2") as at:
        urls = {"api": {"public": at["rest"], "private": at["rest"], "ws": {"public": at["ws_v1"]}}}
        client = ccxt.pro.hashkey({"urls": urls})

        async def watched(watch: Any, last: float) -> list[float]:
            """The values that come, up to the last one of the lake."""
            seen: list[float] = []
            while not seen or seen[-1] != last:
                seen += [value for value in await watch() if value not in seen]
            return seen

        async def books() -> list[float]:
            return [bid[0] for bid in (await client.watch_order_book("BTC/USD"))["bids"][:1]]

        async def trades() -> list[float]:
            return [one["price"] for one in await client.watch_trades("BTC/USD")]

        async def candles() -> list[float]:
            return [one[4] for one in await client.watch_ohlcv("BTC/USD", "1m")]

        async def tickers() -> list[float]:
            ticker = await client.watch_ticker("BTC/USD")
            return [] if ticker["last"] is None else [ticker["last"]]

        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                found = await asyncio.gather(
                    watched(books, 105.5), watched(trades, 105.25), watched(candles, 105.0), watched(tickers, 105.0)
                )
                book = await client.fetch_order_book("BTC/USD")
        finally:
            await client.close()
    assert found[0] == [100.5, 101.5, 102.5, 103.5, 104.5, 105.5]
    assert found[1] == [100.25, 101.25, 102.25, 103.25, 104.25, 105.25]
    assert found[2][-1] == 105.0
    assert found[3] == [100.0, 101.0, 102.0, 103.0, 104.0, 105.0]
    assert book["bids"][0][0] == 105.5


class DocumentedClient:
    """What the venue's manual shows for Python: websocket-client, a subscription when open, a ping from a thread.

    It pings faster than each 10 s, so that a short test sees pongs, and hangs up at the last row.
    """

    def __init__(
        self, url: str, subscriptions: list[dict[str, Any]], wanted: dict[str, int], ping_seconds: float = 0.1
    ) -> None:
        self.heard: list[dict[str, Any]] = []
        self.errors: list[Exception] = []
        self._subscriptions = subscriptions
        self._wanted = wanted  # hang up when so many rows of each topic have come
        self._ping_seconds = ping_seconds
        self._app = websocket.WebSocketApp(
            url, on_open=self._on_open, on_message=self._on_message, on_error=self._on_error
        )

    def run(self) -> None:
        self._app.run_forever()

    def said(self, topic: str) -> list[dict[str, Any]]:
        """The data of all pushes of a topic."""
        frames = [frame["data"] for frame in self.heard if frame.get("topic") == topic and "data" in frame]
        return [row for data in frames for row in (data if isinstance(data, list) else [data])]

    def _on_open(self, app: websocket.WebSocketApp) -> None:
        for subscription in self._subscriptions:
            app.send(json.dumps(subscription))
        threading.Thread(target=self._ping, daemon=True).start()

    def _on_message(self, app: websocket.WebSocketApp, text: str) -> None:
        self.heard.append(json.loads(text))
        if all(len(self.said(topic)) >= count for topic, count in self._wanted.items()):
            app.close()

    def _on_error(self, app: websocket.WebSocketApp, error: Exception) -> None:
        self.errors.append(error)

    def _ping(self) -> None:
        while self._app.keep_running:
            self._app.send(json.dumps({"ping": int(time.time() * 1000)}))
            time.sleep(self._ping_seconds)


def listen(url: str, subscriptions: list[dict[str, Any]], wanted: dict[str, int]) -> DocumentedClient:
    """Until as many rows of each topic have come as are wanted."""
    client = DocumentedClient(url, subscriptions, wanted)
    running = threading.Thread(target=client.run, daemon=True)
    running.start()
    running.join(PATIENCE_SECONDS)
    assert not running.is_alive(), f"waited in vain; heard {client.heard}"
    return client


@pytest.mark.slow
def test_the_documented_python_client_consumes_v1(tmp_path: Path) -> None:
    wanted = [
        {"symbol": "BTCUSD", "topic": topic, "event": "sub", "params": {"binary": False}, "id": number}
        for number, topic in enumerate(("trade", "depth", "kline_1m", "realtimes"))
    ]
    with replaying(small(tmp_path / "lake"), "4") as at:
        client = listen(at["ws_v1"], wanted, {"trade": 6, "depth": 6, "kline": 6, "realtimes": 6})
    assert [row["p"] for row in client.said("trade")] == [f"{100 + n}.25" for n in range(6)]
    assert [row["b"][0][0] for row in client.said("depth")] == [f"{100 + n}.5" for n in range(6)]
    assert [row["c"] for row in client.said("kline")] == [f"{100 + n}" for n in range(6)]
    assert [row["c"] for row in client.said("realtimes")] == [f"{100 + n}" for n in range(6)]
    assert {frame["id"] for frame in client.heard if "data" in frame} == {0, 1, 2, 3}
    assert any("pong" in frame for frame in client.heard)
    assert not client.errors


@pytest.mark.slow
def test_the_documented_python_client_consumes_v2(tmp_path: Path) -> None:
    wanted = [
        {"topic": topic, "event": "sub", "params": {"symbol": "BTCUSD"} | more}
        for topic, more in (("trade", {}), ("depth", {}), ("bbo", {}), ("kline", {"klineType": "1m"}))
    ]
    with replaying(small(tmp_path / "lake"), "4") as at:
        client = listen(at["ws_v2"], wanted, {"trade": 6, "depth": 6, "bbo": 6, "kline": 6})
    assert [frame["msg"] for frame in client.heard if "code" in frame] == ["Success"] * 4
    assert [row["p"] for row in client.said("trade")] == [f"{100 + n}.25" for n in range(6)]
    assert [row["b"] for row in client.said("bbo")] == [f"{100 + n}.5" for n in range(6)]
    assert [row["c"] for row in client.said("kline")] == [f"{100 + n}" for n in range(6)]
    assert any("pong" in frame for frame in client.heard)
    assert not client.errors
