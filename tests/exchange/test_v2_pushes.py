from itertools import pairwise

from tests.exchange.bench import Bench, Frame, market


async def heard(topic: str, symbol: str, ms: int, rate: float = 1.0, **params: str) -> list[Frame]:
    bench = Bench(market(symbol, rate=rate))
    client = bench.client("v2")
    (ack,) = client.sub(topic, symbol, **params)
    assert ack["code"] == "0"
    assert client.heard() == []  # no snapshot, no history
    await bench.run(ms)
    frames = client.heard()
    assert frames
    for frame in frames:
        assert set(frame) == {"topic", "params", "data", "site"}
        assert frame["params"] == {"symbol": symbol, **params}
        assert frame["topic"] == topic
        assert frame["site"] == "hk"
    return frames


async def test_a_book_comes_each_100_ms_when_it_changed() -> None:
    frames = await heard("depth", "BTCUSD", 20_000)
    versions = [frame["data"]["v"] for frame in frames]
    assert 130 < len(frames) <= 200
    assert len(set(versions)) == len(versions)
    assert versions == sorted(versions)


async def test_each_trade_is_a_frame_and_its_symbol_is_only_in_the_parameters() -> None:
    frames = await heard("trade", "BTCUSD", 20_000, rate=3)
    assert [set(frame["data"]) for frame in frames] == [{"v", "t", "p", "q", "m"}] * len(frames)


async def test_a_quote_comes_at_once_and_never_twice_the_same() -> None:
    frames = await heard("bbo", "BTCUSD", 20_000)
    tops = [tuple(frame["data"][key] for key in ("b", "bz", "a", "az")) for frame in frames]
    assert all(earlier != later for earlier, later in pairwise(tops))
    assert all(frame["data"]["v"].isdigit() for frame in frames)


async def test_a_trade_is_at_the_quote_told_before_it() -> None:
    bench = Bench(market("BTCUSD", rate=10))
    client = bench.client("v2")
    client.sub("bbo", "BTCUSD")
    client.sub("trade", "BTCUSD")
    await bench.run(20_000)
    quote, checked = None, 0
    for frame in client.heard():
        data = frame["data"]
        if frame["topic"] == "bbo":
            quote = data
        elif quote is not None:
            assert data["p"] == (quote["b"] if data["m"] else quote["a"])
            checked += 1
    assert checked > 50


async def test_candles_come_with_each_trade_and_flat_when_a_minute_begins_quietly() -> None:
    frames = await heard("kline", "BTCFDUSD", 150_000, klineType="1m")
    flat = [frame["data"] for frame in frames if frame["data"]["v"] == "0"]
    assert len({row["t"] for row in flat}) >= 2
    assert all(row["o"] == row["h"] == row["l"] == row["c"] for row in flat)


async def test_tickers_come_with_each_trade() -> None:
    frames = await heard("realtimes", "BTCUSD", 10_000, rate=3)
    assert len(frames) > 10
    assert "e" not in frames[0]["data"]


async def test_marks_come_each_second_for_contracts() -> None:
    frames = await heard("markPrice", "BTCUSDT-PERPETUAL", 3000)
    assert [frame["data"]["t"] % 1000 for frame in frames] == [0, 0, 0]


async def test_contract_sizes_are_whole_contracts() -> None:
    frames = await heard("depth", "BTCUSDT-PERPETUAL", 1000)
    assert all(size.isdigit() for frame in frames for _, size in frame["data"]["b"] + frame["data"]["a"])
    assert frames[0]["data"]["v"].endswith("_1")


async def test_an_empty_side_is_sent_as_zeros() -> None:
    frames = await heard("bbo", "SOLHKD", 60_000, rate=50)
    empty = [frame["data"] for frame in frames if frame["data"]["a"] == "0"]
    assert empty
    assert all(row["az"] == "0" and row["b"] != "0" for row in empty)
