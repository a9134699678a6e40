"""A replay over the network: REST as of the moment, clients of others, faults on top, and the process itself."""

import asyncio
import json
import math
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from recorder.errors import LakeError
from recorder.exchange import ExchangeError
from recorder.exchange.faults import Script, load
from recorder.exchange.instruments import CONTRACTS, VENUE
from recorder.exchange.listing import row
from recorder.exchange.replay import Replay, ReplayOptions, replay, serve_replay
from tests.exchange.replay_bench import lake, line
from tests.lake.helpers import START_NS, Row, at, bbo, book, candle, ns, trade

START_MS = START_NS // 1_000_000
PATIENCE_SECONDS = 20
RAW = {one.instrument.symbol: row(one.instrument) for one in (*VENUE, *CONTRACTS)}


def instrument(seq: int, seconds: float, symbol: str = "BTCUSD", **changed: Any) -> Row:
    raw = RAW[symbol] | changed
    kind = "perpetual" if symbol.endswith("PERPETUAL") else "spot"
    own = {"base": "BTC", "quote": "USD", "kind": kind, "status": raw["status"], "raw": json.dumps(raw)}
    return {"seq": seq, "receive_ns": ns(seconds), "symbol": symbol, "conn": 0, "source": "rest"} | own


def ticker(seq: int, seconds: float, last: str) -> Row:
    prices = {name: Decimal(last) for name in ("open", "high", "low", "last")}
    amounts = {"volume": Decimal("2.50"), "quote_volume": Decimal("25")}
    return {"seq": seq, "receive_ns": ns(seconds), "exchange_time": at(seconds), "send_ms": 5} | prices | amounts


def small(root: Path) -> Path:
    """Five seconds of one symbol, on V2 but for candles and tickers."""
    more: Row = {"source": "ws_v2"}
    return lake(
        root,
        depth=[book(10 * n, n, [f"{100 + n}.50", "99"], ["111"], version=n) for n in range(6)],
        trade=[trade(10 * n + 1, n, f"{100 + n}.25", trade_id=n, **more) for n in range(6)],
        bbo=[bbo(10 * n + 2, n, f"{100 + n}.50", "111", version=n) for n in range(6)],
        kline=[candle(10 * n + 3, n, 0 if n < 3 else 60, f"{100 + n}") for n in range(6)],
        ticker=[ticker(10 * n + 4, n, f"{100 + n}") for n in range(6)],
        instrument=[instrument(5, 0.5), instrument(26, 2.5, status="HALT")],
    )


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


async def played(running: Replay, session: aiohttp.ClientSession, topic: str = "depth") -> list[dict[str, Any]]:
    """Subscribe to a topic of V2, and read until all is played."""
    async with session.ws_connect(running.ws_v2) as socket:
        await socket.send_json({"topic": topic, "event": "sub", "params": {"symbol": "BTCUSD"}})
        await asyncio.wait_for(running.hub.finished.wait(), PATIENCE_SECONDS)
        await socket.send_str('{"ping":1}')
        heard: list[dict[str, Any]] = []
        while not heard or "pong" not in heard[-1]:
            heard.append(json.loads((await socket.receive(timeout=PATIENCE_SECONDS)).data))
    return [frame for frame in heard if "data" in frame]


def options(root: Path, **more: Any) -> ReplayOptions:
    return ReplayOptions(root, **({"speed": math.inf, "settle_seconds": 0.01} | more))


async def test_all_is_played_and_then_it_goes_on_answering(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    ledger = tmp_path / "ledger"
    async with serve_replay(options(small(tmp_path / "lake"), ledger=ledger)) as running:
        frames = await played(running, session)
    assert [frame["data"]["v"] for frame in frames] == [f"{n}_2" for n in range(6)]  # the decimals of its tick
    assert '"event": "finished"' in ledger.read_text()


async def test_rest_is_as_of_the_moment(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    async def get(running: Replay, path: str, **params: str) -> Any:
        async with session.get(running.rest + path, params=params) as reply:
            assert reply.status == 200, await reply.text()
            return await reply.json()

    root = small(tmp_path / "lake")
    async with serve_replay(options(root, start=at(2.2))) as running:  # nobody listens: time stands at the first row
        btc = {"symbol": "BTCUSD"}
        assert await get(running, "/api/v1/time") == {"serverTime": START_MS + 3000}
        assert await get(running, "/quote/v1/depth", **btc, limit="1") == {
            "t": START_MS + 2000,
            "b": [["102.5", "1"]],
            "a": [["111", "1"]],
        }
        merged = await get(running, "/quote/v1/depth/merged", **btc, scale="-1")
        assert merged["b"] == [["102", "1"], ["99", "2"]]
        trades = await get(running, "/quote/v1/trades", **btc)
        assert [row["p"] for row in trades] == ["100.25", "101.25", "102.25"]
        candles = await get(running, "/quote/v1/klines", **btc, interval="1m")
        assert candles == [[START_MS, "102", "102", "102", "102", "1", 0, "0", 0, "0", "0"]]
        (day,) = await get(running, "/quote/v1/ticker/24hr", **btc)
        assert (day["c"], day["b"], day["a"], day["v"], day["it"]) == ("102", "102.5", "111", "2.5", "SPOT")
        (best,) = await get(running, "/quote/v1/ticker/bookTicker", **btc)
        assert (best["b"], best["bq"], best["aq"], best["t"]) == ("102.5", "1", "2", START_MS + 2000)
        assert await get(running, "/quote/v1/ticker/price") == [{"s": "BTCUSD", "p": "102.25"}]
        info = await get(running, "/api/v1/exchangeInfo")
        assert [one["status"] for one in info["symbols"]] == ["HALT"]  # the replay stands at 3 s
        assert {coin["coinId"] for coin in info["coins"]} == {"BTC", "USD"}
        await played(running, session)
        assert (await get(running, "/quote/v1/depth", **btc))["t"] == START_MS + 5000
        assert len(await get(running, "/quote/v1/klines", **btc, interval="1m")) == 2
        assert len(await get(running, "/quote/v1/klines", **btc, interval="5m")) == 1  # made of the trades


async def test_exchange_info_is_the_recorded_object_of_that_time(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with serve_replay(options(small(tmp_path / "lake"))) as running:
        statuses = []
        for _ in range(2):
            async with session.get(f"{running.rest}/api/v1/exchangeInfo", params={"symbol": "BTCUSD"}) as reply:
                told = await reply.json()
            assert told.pop("site") == "hk"
            statuses.append(told.pop("status"))
            assert told == {key: value for key, value in RAW["BTCUSD"].items() if key != "status"}
            if len(statuses) == 1:
                await played(running, session)
    assert statuses == ["TRADING", "HALT"]


async def test_while_the_line_is_down_new_sockets_are_refused(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    runs = [line(1, -1, "connect", 2), line(2, -1, "connect", 1, conn=2), line(3, 60, "start", session="s2")]
    root = lake(tmp_path / "lake", depth=[book(2, 0, ["1"], ["2"]), book(9, 61, ["1"], ["2"])], session=runs)
    async with serve_replay(options(root, speed=20.0)) as running, session.ws_connect(running.ws_v2) as socket:
        await socket.send_json({"topic": "depth", "event": "sub", "params": {"symbol": "BTCUSD"}})
        while (await socket.receive(timeout=PATIENCE_SECONDS)).type is aiohttp.WSMsgType.TEXT:
            pass
        for url in (running.ws_v1, running.ws_v2):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(url)
            assert refused.value.status == 503


async def test_faults_come_on_top(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    script = tmp_path / "faults.toml"
    script.write_text('[[fault]]\nkind = "mute"\nat = 1.5\nfor = 2\ntopic = "depth"\n')
    for faults in (script, load(script)):
        assert isinstance(faults, Path | Script)
        async with serve_replay(options(small(tmp_path / faults.__class__.__name__), faults=faults)) as running:
            frames = await played(running, session)
        assert [frame["data"]["v"] for frame in frames] == ["0_2", "1_2", "4_2", "5_2"]


@pytest.mark.parametrize(
    ("venue", "word", "listed"),
    [("hashkey-mena", "mena", "MENA"), ("hashkey-mena-sandbox", "mena", "MENA"), ("hashkey-global", None, "BMU")],
)
async def test_it_speaks_as_the_site_that_was_recorded(
    tmp_path: Path, session: aiohttp.ClientSession, venue: str, word: str | None, listed: str
) -> None:
    own: Row = {"venue": venue, "source": "ws_v2"}
    root = lake(
        tmp_path / "lake",
        depth=[book(2 * n, n, ["1.5"], ["2"]) | own for n in range(3)],
        trade=[trade(2 * n + 1, n, "1", **own) for n in range(3)],
        instrument=[instrument(9, 0) | own],
    )
    asked = {"site": word.upper()} if word else {}  # as a client of that site asks
    async with serve_replay(options(root)) as running, session.ws_connect(running.ws_v2) as v2:
        async with session.get(running.rest + "/api/v1/exchangeInfo", params=asked) as reply:
            assert (await reply.json())["site"] == listed
        for event in ("cancel", "sub"):
            await v2.send_json({"topic": "depth", "event": event, "params": {"symbol": "BTCUSD"}} | asked)
        frames = [json.loads((await v2.receive(timeout=PATIENCE_SECONDS)).data) for _ in range(5)]
        async with session.ws_connect(running.ws_v1) as v1:
            await v1.send_json({"topic": "depth", "event": "sub", "symbol": "BTCUSD"} | asked)
            frames.append(json.loads((await v1.receive(timeout=PATIENCE_SECONDS)).data))
        async with session.get(running.rest + "/quote/v1/depth", params={"symbol": "BTCUSD"} | asked) as reply:
            assert (await reply.json())["b"] == [["1.5", "1"]]
        async with session.get(running.rest + "/quote/v1/depth", params={"symbol": "BTCUSD", "site": "XX"}) as reply:
            assert reply.status == (400 if word else 200)
    assert [frame.get("site") for frame in frames] == [word] * 6
    assert [frame.get("code", "push") for frame in frames] == ["0", "0", "push", "push", "push", "push"]


def test_a_wrong_wish_is_refused_before_anything_listens(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="no such directory"):
        replay(ReplayOptions(tmp_path / "none"))
    with pytest.raises(ExchangeError, match="give a number above 0 or the word max"):
        replay(ReplayOptions(small(tmp_path / "lake"), speed=0))


async def test_the_process_says_where_it_listens_and_when_it_is_done(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    command = (sys.executable, "-m", "recorder", "replay", "--speed", "max", "--data", str(small(tmp_path / "lake")))
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    try:
        urls = json.loads(await process.stdout.readline())
        assert set(urls) == {"rest", "ws_v1", "ws_v2"}
        async with session.ws_connect(urls["ws_v2"]) as socket:
            await socket.send_json({"topic": "bbo", "event": "sub", "params": {"symbol": "BTCUSD"}})
            for _ in range(7):  # the acknowledgement and six quotes
                assert (await socket.receive(timeout=PATIENCE_SECONDS)).type is aiohttp.WSMsgType.TEXT
            assert await process.stderr.readline() == b"replay finished\n"
            await socket.send_str('{"ping":1}')
            assert "pong" in (await socket.receive(timeout=PATIENCE_SECONDS)).data
    finally:
        process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0
    assert await process.stderr.read() == b""
