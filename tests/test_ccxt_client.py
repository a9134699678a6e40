"""A client written by others against the real venue works here unchanged: ccxt's own HashKey classes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import ccxt.pro
import pytest

from recorder.exchange import Options, serve

PATIENCE_SECONDS = 20


@pytest.fixture
async def client() -> AsyncIterator[Any]:
    async with serve(Options(symbols=("BTCUSD", "ETHUSDT", "BTCUSDT-PERPETUAL"), speed=5)) as exchange:
        urls = {"api": {"public": exchange.rest, "private": exchange.rest, "ws": {"public": exchange.ws_v1}}}
        made = ccxt.pro.hashkey({"urls": urls})
        try:
            yield made
        finally:
            await made.close()


async def soon(waiting: Any) -> Any:
    return await asyncio.wait_for(waiting, PATIENCE_SECONDS)


async def test_it_reads_our_markets_and_currencies(client: Any) -> None:
    markets = await soon(client.load_markets())
    assert set(markets) == {"BTC/USD", "ETH/USDT", "BTC/USDT:USDT"}
    assert markets["BTC/USD"]["precision"] == {"amount": 1e-05, "price": 0.01} | {
        key: value for key, value in markets["BTC/USD"]["precision"].items() if key not in ("amount", "price")
    }
    assert markets["BTC/USDT:USDT"]["contractSize"] == 0.001
    assert {"BTC", "ETH", "USD", "USDT"} <= set(client.currencies)


async def test_it_asks_for_books_trades_candles_and_tickers(client: Any) -> None:
    book = await soon(client.fetch_order_book("BTC/USD"))
    assert book["bids"][0][0] < book["asks"][0][0]
    assert len(await soon(client.fetch_trades("BTC/USD", limit=50))) == 50
    assert len(await soon(client.fetch_ohlcv("BTC/USD", "1m", limit=20))) == 20
    assert (await soon(client.fetch_ticker("BTC/USD")))["last"] > 0


@pytest.mark.parametrize("symbol", ["BTC/USD", "BTC/USDT:USDT"])
async def test_it_watches_trades_books_tickers_and_candles(client: Any, symbol: str) -> None:
    trades = await soon(client.watch_trades(symbol))
    assert all(trade["side"] in ("buy", "sell") and trade["price"] > 0 for trade in trades)
    assert len(trades) == 60
    while (await soon(client.watch_trades(symbol)))[-1]["timestamp"] <= trades[-1]["timestamp"]:
        pass
    seen: set[int] = set()
    while len(seen) < 3:
        book = await soon(client.watch_order_book(symbol))
        assert book["bids"][0][0] < book["asks"][0][0]
        seen.add(book["timestamp"])
    assert (await soon(client.watch_ticker(symbol)))["last"] > 0
    candles = await soon(client.watch_ohlcv(symbol, "1m"))
    assert len(candles[-1]) == 6
