"""What V1 says unasked: envelopes, cadences, and that its streams agree with one another."""

from collections import defaultdict

import pytest

from tests.exchange.bench import START_MS, Bench, Frame, levels, market

ENVELOPE = {"symbol", "symbolName", "topic", "params", "data", "f", "sendTime", "site", "shared"}


def bench(*symbols: str, rate: float = 1.0) -> Bench:
    return Bench(market(*symbols, rate=rate))


@pytest.mark.parametrize("topic", ["kline_1m", "realtimes", "trade", "depth", "mergedDepth", "diffMergedDepth"])
async def test_every_push_has_the_envelope_of_the_venue(topic: str) -> None:
    one = bench(rate=5)
    client = one.client("v1")
    (first,) = client.sub(topic, "BTCUSD", dumpScale=2)
    await one.run(3000)
    later = client.heard()
    assert later
    assert set(first) == ENVELOPE | {"channelId"}
    books = "epth" in topic
    assert all(set(frame) == ENVELOPE | ({"channelId"} if books else set()) for frame in later)
    assert [frame["f"] for frame in (first, *later)] == [True, *[False] * len(later)]
    assert {frame["topic"] for frame in later} == {topic.split("_")[0]}
    assert {(frame["symbol"], frame["site"], frame["shared"]) for frame in later} == {("BTCUSD", "hk", False)}


async def test_trades_begin_with_sixty_of_history_and_continue_in_batches_of_300_ms() -> None:
    one = bench(rate=20)
    v1, v2 = one.client("v1"), one.client("v2")
    (first,) = v1.sub("trade", "BTCUSD")
    v2.sub("trade", "BTCUSD")
    assert len(first["data"]) == 60
    assert [set(row) for row in first["data"]] == [{"v", "t", "p", "q", "m"}] * 60
    v2.heard()
    for _ in range(30):
        await one.run(100)
    batches = [frame["data"] for frame in v1.heard()]
    assert 1 < len(batches) <= 10
    assert max(map(len, batches)) > 1
    assert [row for batch in batches for row in batch] == [frame["data"] for frame in v2.heard()]


async def test_a_book_comes_at_most_each_300_ms_and_only_when_it_changed() -> None:
    one = bench("BTCUSD", "BTCFDUSD")
    client = one.client("v1")
    client.sub("depth", "BTCUSD,BTCFDUSD")
    await one.run(30_000)
    told: defaultdict[str, list[str]] = defaultdict(list)
    for frame in client.heard():
        told[frame["symbol"]].append(frame["data"][0]["v"])
    assert 90 <= len(told["BTCUSD"]) <= 100
    assert len(told["BTCFDUSD"]) < 15
    for versions in told.values():
        assert len(versions) == len(set(versions))


async def test_deltas_applied_to_their_snapshot_equal_the_depth_of_the_same_version() -> None:
    one = bench("BTCUSD", rate=3)
    client = one.client("v1")
    (snapshot,) = client.sub("diffMergedDepth", "BTCUSD", dumpScale=2)
    client.sub("depth", "BTCUSD")
    await one.run(10_000)
    assert equal_versions(snapshot, client.heard()) > 25


def equal_versions(snapshot: Frame, frames: list[Frame]) -> int:
    """Apply the deltas; returns how many equal versions were compared, all of them equal."""
    data = snapshot["data"][0]
    assert snapshot["f"] and data["o"] == 0 and data["s"] == "BTCUSD"
    sides = {side: levels(data[side]) for side in "ba"}
    states, books, counters = {data["v"].split("_")[0]: dict(sides)}, {}, []
    for frame in frames:
        data = frame["data"][0]
        version, scale = data["v"].split("_")
        if frame["topic"] == "depth":
            books[version] = {side: levels(data[side]) for side in "ba"}
            continue
        assert "s" not in data and scale == "2" and not frame["f"]
        counters.append(data["o"])
        for side in "ba":
            changed = sides[side] | levels(data[side])
            sides[side] = {price: size for price, size in changed.items() if size != "0"}
            assert len(sides[side]) <= 100
        states[version] = dict(sides)
    assert counters == list(range(counters[0], counters[0] + len(counters)))
    same = states.keys() & books.keys()
    assert all(states[version] == books[version] for version in same)
    return len(same)


async def test_a_late_subscriber_of_deltas_gets_the_state_the_others_have_reached() -> None:
    one = bench("BTCUSD", rate=3)
    early, late = one.client("v1"), one.client("v1")
    (first,) = early.sub("diffMergedDepth", "BTCUSD", dumpScale=2)
    await one.run(3050)  # 50 ms after a tick: the book has moved on, the stream has not
    told = early.heard()
    (second,) = late.sub("diffMergedDepth", "BTCUSD", dumpScale=2)
    await one.run(3000)
    assert [frame["data"] for frame in late.heard()] == [frame["data"] for frame in early.heard()]
    sides = {side: levels(first["data"][0][side]) for side in "ba"}
    for frame in told:
        for side in "ba":
            sides[side] = {
                price: size for price, size in (sides[side] | levels(frame["data"][0][side])).items() if size != "0"
            }
    assert sides == {side: levels(second["data"][0][side]) for side in "ba"}


async def test_a_merged_book_is_grouped_and_says_its_scale() -> None:
    one = bench("BTCUSD")
    (frame,) = one.client("v1").sub("mergedDepth", "BTCUSD", dumpScale=-2)
    data = frame["data"][0]
    assert frame["params"]["dumpScale"] == "-2"
    assert data["v"].endswith("_-2")
    assert all(float(price) % 10 == 0 for price, _ in data["b"] + data["a"])
    assert float(data["b"][0][0]) < float(data["a"][0][0])


async def test_v1_and_v2_show_the_same_book_under_the_same_version() -> None:
    one = bench("BTCUSD")
    v1, v2 = one.client("v1"), one.client("v2")
    v1.sub("depth", "BTCUSD")
    v2.sub("depth", "BTCUSD")
    v2.heard()
    await one.run(10_000)
    slow = {frame["data"][0]["v"].split("_")[0]: frame["data"][0] for frame in v1.heard()}
    fast = {frame["data"]["v"].split("_")[0]: frame["data"] for frame in v2.heard()}
    assert len(slow) > 20
    assert slow.keys() <= fast.keys()
    for version, book in slow.items():
        assert (book["b"], book["a"], book["t"]) == tuple(fast[version][key] for key in ("b", "a", "t"))


async def test_a_candle_is_told_to_its_last_trade_before_the_next_one_and_a_quiet_one_is_flat() -> None:
    one = bench("BTCUSD", "BTCFDUSD", rate=2)
    client, trades = one.client("v1"), one.client("v1")
    trades.sub("trade", "BTCUSD")
    client.sub("kline_1m", "BTCUSD,BTCFDUSD")
    client.heard()
    await one.run(180_000)
    rows: defaultdict[tuple[str, int], list[Frame]] = defaultdict(list)
    for frame in client.heard():
        for row in frame["data"]:
            rows[frame["symbol"], row["t"]].append(row)
    counts: defaultdict[int, int] = defaultdict(int)
    for frame in trades.heard():
        for trade in frame["data"]:
            counts[trade["t"] // 60_000 * 60_000] += 1
    complete = sorted(open_time for symbol, open_time in rows if symbol == "BTCUSD")[1:-1]
    assert len(complete) >= 1
    for open_time in complete:
        told = rows["BTCUSD", open_time]
        assert told[-1]["td"] == counts[open_time]
        assert [row["td"] for row in told] == sorted(row["td"] for row in told)
    quiet = [told[0] for (symbol, opened), told in rows.items() if symbol == "BTCFDUSD" and opened > START_MS]
    assert len(quiet) == 3
    assert any(row["v"] == "0" and row["o"] == row["c"] and row["td"] == 0 for row in quiet)


async def test_tickers_come_at_most_each_500_ms_and_only_after_trades() -> None:
    one = bench("BTCUSD", "BTCFDUSD", rate=3)
    client = one.client("v1")
    client.sub("realtimes", "BTCUSD,BTCFDUSD")
    client.heard()
    await one.run(10_000)
    symbols = [frame["symbol"] for frame in client.heard()]
    assert 10 <= symbols.count("BTCUSD") <= 20
    assert symbols.count("BTCFDUSD") <= 1


async def test_a_mark_price_is_a_list_first_and_then_an_object_without_a_symbol() -> None:
    one = bench("BTCUSDT-PERPETUAL")
    client = one.client("v1")
    (first,) = client.sub("markPrice", "BTCUSDT-PERPETUAL")
    await one.run(2000)
    later = client.heard()
    assert first["symbol"] == "BTCUSDT-PERPETUAL"
    assert isinstance(first["data"], list)
    assert len(later) == 2
    for frame in later:
        assert "symbol" not in frame
        assert list(frame["data"]) == ["exchangeId", "symbolId", "price", "time"]
        assert frame["data"]["time"] % 1000 == 0


async def test_an_index_comes_each_second() -> None:
    one = bench("BTCUSDT-PERPETUAL")
    client = one.client("v1")
    (first,) = client.sub("index", "BTCUSDT")
    await one.run(3000)
    later = client.heard()
    assert len(later) == 3
    assert {type(frame["data"]) for frame in (first, *later)} == {list}


async def test_what_has_nothing_yet_answers_with_an_empty_list() -> None:
    client = bench("BBTCUSD-PERPETUAL").client("v1")
    symbol = "BBTCUSD-PERPETUAL"
    assert [client.sub(topic, symbol)[0]["data"] for topic in ("trade", "realtimes", "kline_1m")] == [[], [], []]
    (book,) = client.sub("depth", symbol)
    assert (book["data"][0]["b"], book["data"][0]["a"], book["data"][0]["v"]) == ([], [], "34719093_18")
