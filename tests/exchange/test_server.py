"""The network side: real sockets, short limits, and everything else waited for."""

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from recorder.exchange import ExchangeError, Options, serve

PATIENCE_SECONDS = 10


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 the ledger is a file and has no event
            await asyncio.sleep(0.01)


def ledger_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def receive(line: aiohttp.ClientWebSocketResponse) -> aiohttp.WSMessage:
    return await asyncio.wait_for(line.receive(), PATIENCE_SECONDS)


async def test_rest_and_both_sockets_are_on_one_port() -> None:
    async with serve(Options(symbols=("BTCUSD",))) as exchange, aiohttp.ClientSession() as session:
        async with session.get(f"{exchange.rest}/quote/v1/depth?symbol=BTCUSD") as reply:
            assert reply.status == 200
            assert "traceid" in reply.headers
        async with session.get(f"{exchange.rest}/nope") as reply:
            assert (reply.status, await reply.text()) == (404, "<html><body><h2>404 Not found</h2></body></html>")
        for url in (exchange.ws_v1, exchange.ws_v2):
            async with session.ws_connect(url, compress=15) as line:
                assert not line.compress  # no extension is agreed to
                await line.send_str('{"ping":1}')
                assert set(json.loads((await receive(line)).data)) == {"pong"}


async def test_protocol_pings_are_answered() -> None:
    async with (
        serve(Options(symbols=("BTCUSD",))) as exchange,
        aiohttp.ClientSession() as session,
        session.ws_connect(exchange.ws_v1, autoping=False) as line,
    ):
        await line.ping(b"hello")
        answer = await receive(line)
        assert (answer.type, answer.data) == (aiohttp.WSMsgType.PONG, b"hello")


async def test_the_ledger_is_what_a_client_received(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    options = Options(symbols=("BTCUSD", "ETHUSD"), ledger=path, speed=10)
    received: dict[str, list[Any]] = {"v1": [], "v2": []}
    async with serve(options) as exchange, aiohttp.ClientSession() as session:
        for api, url in (("v1", exchange.ws_v1), ("v2", exchange.ws_v2)):
            async with session.ws_connect(url) as line:
                for topic in ("depth", "trade", "bbo", "realtimes", "nope"):
                    for symbol in ("BTCUSD", "ETHUSD"):
                        request = {"topic": topic, "event": "sub", "symbol": symbol, "params": {"symbol": symbol}}
                        await line.send_json(request)
                await line.send_json({"ping": 1})
                while len(received[api]) < 100:
                    received[api].append(json.loads((await receive(line)).data))
        lines = ledger_lines(path)
    for number, api in ((1, "v1"), (2, "v2")):
        sent = [line["frame"] for line in lines if line["conn"] == number and "frame" in line]
        assert sent[: len(received[api])] == received[api]
        assert {line["api"] for line in lines if line["conn"] == number and "frame" in line} == {api}
    assert {"accept", "close"} <= {line["event"] for line in lines if "event" in line}


@pytest.mark.parametrize(
    ("api", "subscribe", "pings", "stays"),
    [
        ("v1", False, False, False),  # silent in both directions
        ("v1", True, False, True),  # data keeps it open
        ("v1", False, True, True),
        ("v2", True, False, False),  # data does not count, only the client
        ("v2", True, True, True),
    ],
)
async def test_a_silent_line_is_cut_without_a_close_frame(
    tmp_path: Path, api: str, subscribe: bool, pings: bool, stays: bool
) -> None:
    options = Options(
        symbols=("BTCUSD",), speed=10, ledger=tmp_path / "ledger", idle_v1_seconds=0.4, idle_v2_seconds=0.4
    )
    async with serve(options) as exchange, aiohttp.ClientSession() as session:
        url = exchange.ws_v1 if api == "v1" else exchange.ws_v2
        async with session.ws_connect(url) as line:
            if subscribe:
                await line.send_json(
                    {"topic": "depth", "event": "sub", "symbol": "BTCUSD", "params": {"symbol": "BTCUSD"}}
                )
            loop = asyncio.get_running_loop()
            begun, pinged = loop.time(), 0.0
            while not line.closed and loop.time() - begun < 1.0:
                if pings and loop.time() - pinged > 0.1:
                    await line.send_str('{"ping":1}')
                    pinged = loop.time()
                try:
                    await line.receive(timeout=0.05)
                except TimeoutError:
                    continue
            assert line.closed is not stays
            if not stays:
                assert line.close_code == 1006
                assert loop.time() - begun >= 0.35
                events = [one for one in ledger_lines(tmp_path / "ledger") if "event" in one]
                assert (events[-1]["event"], events[-1]["reason"]) == ("cut", "idle")


async def test_a_client_that_does_not_read_is_dropped_and_others_go_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    options = Options(symbols=("BTCUSD",), speed=200, ledger=path, buffer_limit=64 * 1024)
    async with serve(options) as exchange, aiohttp.ClientSession() as session:
        host, port = exchange.rest.removeprefix("http://").split(":")
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(lazy, (host, int(port)))
            hello = (
                "GET /quote/ws/v2 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            request = b'{"topic":"depth","event":"sub","params":{"symbol":"BTCUSD"}}'
            masked = bytes((0x81, 0x80 | len(request))) + b"\0\0\0\0" + request
            await loop.sock_sendall(lazy, hello.encode() + masked)
            async with session.ws_connect(exchange.ws_v2) as line:
                await line.send_str(request.decode())

                async def read() -> None:
                    while True:
                        assert (await receive(line)).type is aiohttp.WSMsgType.TEXT

                reader = asyncio.create_task(read())
                await until(lambda: '"slow reader"' in path.read_text())
                assert not reader.done()
                reader.cancel()
    assert [one["conn"] for one in ledger_lines(path) if one.get("reason") == "slow reader"] == [1]


async def test_a_port_that_is_taken_is_an_error_with_a_remedy() -> None:
    async with serve(Options(symbols=("BTCUSD",))) as exchange:
        port = int(exchange.rest.rpartition(":")[2])
        with pytest.raises(ExchangeError, match=rf"{port}.*choose another --port"):
            async with serve(Options(symbols=("BTCUSD",), port=port)):
                pass


async def test_closing_drops_every_client(tmp_path: Path) -> None:
    async with (
        serve(Options(symbols=("BTCUSD",), ledger=tmp_path / "ledger")) as exchange,
        aiohttp.ClientSession() as session,
        session.ws_connect(exchange.ws_v1) as line,
    ):
        await line.send_str('{"ping":1}')
        await receive(line)
        await exchange.close()
        await receive(line)
        assert line.close_code == 1006
        assert ledger_lines(tmp_path / "ledger")[-1]["event"] == "cut"
