"""The pace of a replay: rows become the frames that made them, gaps become disconnects, and nobody misses a row."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from recorder.exchange.replay_rows import units
from tests.exchange.bench import Client, Frame
from tests.exchange.replay_bench import Stage, lake, line
from tests.lake.helpers import START_NS, Row, at, bbo, book, candle, gap, ns, trade

MS = 1_000_000
START_MS = START_NS // MS


def pushes(client: Client, topic: str) -> list[Frame]:
    return [frame for frame in client.heard() if frame.get("topic") == topic and "data" in frame]


def v2_trade(seq: int, seconds: float, price: str = "10.50", **more: Any) -> Row:
    return trade(seq, seconds, price, source="ws_v2", **more)


# -- frames


async def test_a_book_goes_out_on_v2_as_it_came(tmp_path: Path) -> None:
    stage = Stage(lake(tmp_path, depth=[book(5, 1, ["10.5", "10"], ["11"], version=77)]))
    client = stage.client("v2")
    client.sub("depth", "BTCUSD")
    await stage.play()
    (frame,) = pushes(client, "depth")
    assert frame == {
        "topic": "depth",
        "params": {"symbol": "BTCUSD"},
        "data": {
            "s": "BTCUSD",
            "t": START_MS + 1000,
            "v": "77_8",
            "b": [["10.5", "1"], ["10", "2"]],
            "a": [["11", "1"]],
        },
        "site": "hk",
    }


async def test_v1_gets_the_last_book_of_each_300_ms(tmp_path: Path) -> None:
    rows = [book(seq, 0.1 * seq, ["10"], ["11"], version=seq) for seq in range(1, 10)]
    stage = Stage(lake(tmp_path, depth=rows))
    client = stage.client("v1")
    assert client.sub("depth", "BTCUSD") == []  # nothing is known yet, and clients want a row in a first push
    await stage.play()
    frames = pushes(client, "depth")
    assert [frame["data"][0]["v"] for frame in frames] == ["4_18", "7_18", "9_18"]  # counted from the first row
    assert [frame["f"] for frame in frames] == [True, False, False]


async def test_what_v1_itself_brought_keeps_its_rows_and_its_send_time(tmp_path: Path) -> None:
    more = {"send_ms": 123_456, "quote_volume": Decimal("1.50"), "trade_count": 3, "taker_buy_volume": Decimal(0)}
    rows = [candle(4, 1, 0, "10.50", **more), candle(4, 1, 60, "11", idx=1, send_ms=123_456)]
    stage = Stage(lake(tmp_path, kline=rows))
    v1, v2 = stage.client("v1"), stage.client("v2")
    v1.sub("kline_1m", "BTCUSD")
    v2.sub("kline", "BTCUSD", klineType="1m")
    await stage.play()
    (frame,) = pushes(v1, "kline")
    assert frame["sendTime"] == 123_456
    first, second = frame["data"]
    assert first == {
        "t": START_MS, "s": "BTCUSD", "sn": "BTCUSD", "c": "10.5", "h": "10.5", "l": "10.5", "o": "10.5", "v": "1",
        "qv": "1.5", "et": 0, "td": 3, "tb": "0",
    }  # fmt: skip
    assert "td" not in second
    assert [frame["data"] for frame in pushes(v2, "kline")] == [
        {key: row[key] for key in ("t", "s", "sn", "c", "h", "l", "o", "v")} for row in (first, second)
    ]


async def test_trades_come_one_by_one_on_v2_and_in_batches_on_v1(tmp_path: Path) -> None:
    rows = [v2_trade(seq, 0.05 * seq) for seq in range(1, 8)]
    stage = Stage(lake(tmp_path, trade=rows))
    v1, v2 = stage.client("v1"), stage.client("v2")
    for client in (v1, v2):
        client.sub("trade", "BTCUSD")
    await stage.play()
    singles = [frame["data"] for frame in pushes(v2, "trade")]
    assert singles[0] == {"v": "1", "t": START_MS + 50, "p": "10.5", "q": "1", "m": False}
    batches = [[row["v"] for row in frame["data"]] for frame in pushes(v1, "trade")]
    assert batches == [["1", "2", "3", "4", "5", "6", "7"]]  # V1 ticks 300 ms after the first row
    assert [row["v"] for row in singles] == batches[0]


async def test_history_that_only_v1_brought_is_no_news_on_v2(tmp_path: Path) -> None:
    sent = START_MS + 5000
    old = trade(1, 5, "10", exchange_time=at(-60), send_ms=sent, trade_id=1)
    new = trade(1, 5, "11", exchange_time=at(4.9), send_ms=sent, idx=1, trade_id=2)
    stage = Stage(lake(tmp_path, trade=[old, new]))
    v1, v2 = stage.client("v1"), stage.client("v2")
    for client in (v1, v2):
        client.sub("trade", "BTCUSD")
    await stage.play()
    assert [[row["v"] for row in frame["data"]] for frame in pushes(v1, "trade")] == [["1", "2"]]
    assert [frame["data"]["v"] for frame in pushes(v2, "trade")] == ["2"]


async def test_a_trade_that_rest_filled_in_has_no_id_and_is_not_pushed(tmp_path: Path) -> None:
    rows = [v2_trade(1, 1), trade(2, 2, "10", source="rest", trade_id=None)]
    stage = Stage(lake(tmp_path, trade=rows))
    v1, v2 = stage.client("v1"), stage.client("v2")
    for client in (v1, v2):
        client.sub("trade", "BTCUSD")
    await stage.play()
    assert len(pushes(v2, "trade")) == 1
    assert [len(frame["data"]) for frame in pushes(v1, "trade")] == [1]
    assert len(stage.hub.played["BTCUSD"].trades) == 2  # REST knows both
    (again,) = stage.client("v1").sub("trade", "BTCUSD")
    assert [row["v"] for row in again["data"]] == ["1"]


async def test_an_empty_side_of_a_quote_is_zero(tmp_path: Path) -> None:
    stage = Stage(lake(tmp_path, bbo=[bbo(1, 1, "10.0", None, version=4)]))
    client = stage.client("v2")
    client.sub("bbo", "BTCUSD")
    await stage.play()
    assert [frame["data"] for frame in pushes(client, "bbo")] == [
        {"s": "BTCUSD", "b": "10", "bz": "1", "a": "0", "az": "0", "t": START_MS + 1000, "v": "4"}
    ]


async def test_what_two_connections_brought_is_played_once(tmp_path: Path) -> None:
    twice = [book(seq, 1 + seq / 10, ["10"], ["11"], version=seq // 2, exchange_time=at(1), conn=1 + seq % 2)
             for seq in range(10, 16)]  # fmt: skip
    both = [line(1, 0.1, "connect", 2, conn=1), line(2, 0.2, "connect", 2, conn=2)]
    stage = Stage(lake(tmp_path, depth=[book(0, 0, ["10"], ["11"]), *twice], session=both))
    client = stage.client("v2")
    client.sub("depth", "BTCUSD")
    await stage.play()
    assert [frame["data"]["v"] for frame in pushes(client, "depth")] == ["0_8", "5_8", "6_8", "7_8"]


async def test_an_interval_that_was_not_recorded_is_made_of_the_trades(tmp_path: Path) -> None:
    stage = Stage(lake(tmp_path, trade=[v2_trade(1, 1)], kline=[candle(2, 2, 0, "10")]))
    client = stage.client("v2")
    client.sub("kline", "BTCUSD", klineType="5m")
    await stage.play()
    assert [(frame["data"]["o"], frame["data"]["v"]) for frame in pushes(client, "kline")] == [("10.5", "1")]


async def test_a_symbol_that_stayed_silent_stays_silent(tmp_path: Path) -> None:
    """The recorder had this interval; that this symbol has none of it is what happened."""
    other = candle(2, 2, 0, "10", symbol="ETHUSD")
    stage = Stage(lake(tmp_path, trade=[v2_trade(1, 1)], kline=[other]))
    v1, v2 = stage.client("v1"), stage.client("v2")
    v1.sub("kline_1m", "BTCUSD")
    v2.sub("kline", "BTCUSD", klineType="1m")
    await stage.play()
    assert pushes(v1, "kline") + pushes(v2, "kline") == []


async def test_nothing_is_played_while_rest_answers(tmp_path: Path) -> None:
    """And the answer waits for readers, so that it is not ahead of what its asker was pushed."""
    stage = Stage(lake(tmp_path, depth=[book(seq, seq / 10, ["10"], ["11"]) for seq in range(100)]))
    client = stage.client("v2", 1 << 30)
    client.sub("depth", "BTCUSD")
    client.wire.unread = 1 << 25

    async def ask() -> None:
        await stage.until(lambda: stage.hub.frames > 0)

        async def answer() -> None:
            async with stage.hub.standing():
                assert client.wire.unread == 0
                played = stage.hub.frames
                await asyncio.sleep(0.02)
                assert stage.hub.frames == played < 100

        answering = asyncio.create_task(answer())
        await asyncio.sleep(0.02)
        client.wire.unread = 0
        await answering

    await stage.play(ask)
    assert stage.hub.frames == 100


async def test_a_late_subscriber_on_v1_gets_what_was_shown_last(tmp_path: Path) -> None:
    stage = Stage(
        lake(
            tmp_path,
            depth=[book(1, 1, ["10"], ["11"])],
            kline=[candle(2, 2, 0, "10"), candle(3, 3, 60, "11")],
            trade=[v2_trade(4, 3), v2_trade(5, 4)],
        )
    )
    stage.client("v1").sub("realtimes", "BTCUSD")
    await stage.play()
    client = stage.client("v1")
    assert client.sub("depth", "BTCUSD")[0]["data"][0]["v"] == "1_18"
    assert [row["c"] for row in client.sub("kline_1m", "BTCUSD", limit=2)[0]["data"]] == ["10", "11"]
    assert [row["v"] for row in client.sub("trade", "BTCUSD")[0]["data"]] == ["4", "5"]


async def test_what_came_before_the_range_is_known_and_not_told(tmp_path: Path) -> None:
    root = lake(tmp_path, depth=[book(1, 1, ["10"], ["11"]), book(2, 9, ["10"], ["12"])], trade=[v2_trade(3, 2)])
    stage = Stage(root, start=at(5))
    client = stage.client("v1")
    assert client.sub("depth", "BTCUSD")[0]["data"][0]["v"] == "1_18"
    assert len(client.sub("trade", "BTCUSD")[0]["data"]) == 1
    await stage.play()
    assert [[row["v"] for row in frame["data"]] for frame in client.heard()] == [["2_18"]]


async def test_grouped_books_are_made_of_the_recorded_one(tmp_path: Path) -> None:
    stage = Stage(lake(tmp_path, depth=[book(1, 1, ["10.6", "10.2", "9.9"], ["11.1"])]))
    client = stage.client("v1")
    client.sub("mergedDepth", "BTCUSD", dumpScale=-1)
    await stage.play()
    (frame,) = pushes(client, "mergedDepth")
    assert (frame["data"][0]["b"], frame["data"][0]["a"]) == ([["10", "3"], ["9", "3"]], [["12", "1"]])


# -- gaps


def two_runs(*more: Row) -> list[Row]:
    """A recorder that was killed after 2 s and came back at 10 s."""
    return [
        line(1, 0, "start"),
        line(2, 0.1, "connect", 2, conn=1),
        line(3, 0.2, "connect", 1, conn=2),
        line(30, 10, "start", session="s2"),
        line(31, 10.1, "connect", 2, conn=1, session="s2"),
        line(32, 10.2, "connect", 1, conn=2, session="s2"),
        *more,
    ]


def killed(root: Path, **tables: list[Row]) -> Path:
    books = [book(10, 1, ["10"], ["11"]), book(11, 2, ["10"], ["11"]), book(40, 11, ["10"], ["12"])]
    first = book(0, -1, ["9"], ["11"])
    return lake(root, **({"depth": [first, *books], "session": two_runs()} | tables))


async def test_a_recorder_that_was_down_is_a_disconnect_and_those_who_come_back_miss_nothing(tmp_path: Path) -> None:
    stage = Stage(killed(tmp_path))
    v1, v2 = stage.client("v1"), stage.client("v2")
    v2.sub("depth", "BTCUSD")
    v1.sub("trade", "BTCUSD")

    async def come_back() -> None:
        await stage.until(lambda: v1.wire.aborted and v2.wire.aborted)
        assert [frame["data"]["v"] for frame in pushes(v2, "depth")] == ["0_8", "10_8", "11_8"]
        assert stage.hub.played["BTCUSD"].shown is not None
        stage.client("v1").sub("trade", "BTCUSD")
        await asyncio.sleep(0.02)
        assert not stage.hub.finished.is_set()  # one of two is missing
        stage.client("v2").sub("depth", "BTCUSD")

    await stage.play(come_back)
    assert [frame["data"]["v"] for frame in pushes(stage.clients[3], "depth")] == ["40_8"]


async def test_the_door_is_closed_while_the_line_was_down(tmp_path: Path) -> None:
    stage = Stage(killed(tmp_path), speed=8.0, start=at(1.9))
    client = stage.client("v2")
    client.sub("depth", "BTCUSD")

    async def look() -> None:
        await stage.until(lambda: stage.hub.down == {"v1", "v2"})
        assert client.wire.aborted
        assert stage.clock.now() < ns(10)
        await stage.until(lambda: not stage.hub.down)
        assert stage.clock.now() >= ns(10)
        stage.client("v2").sub("depth", "BTCUSD")

    await stage.play(look)


async def test_a_long_gap_can_be_cut_short(tmp_path: Path) -> None:
    stage = Stage(killed(tmp_path), speed=4.0, longest_gap_seconds=0.05, start=at(1.9))
    client = stage.client("v2")
    client.sub("depth", "BTCUSD")
    took: list[float] = []

    async def look() -> None:
        loop = asyncio.get_running_loop()
        await stage.until(lambda: bool(stage.hub.down))
        began = loop.time()
        await stage.until(lambda: not stage.hub.down)
        took.append(loop.time() - began)
        stage.client("v2").sub("depth", "BTCUSD")

    await stage.play(look)
    assert took[0] < 1.5  # at this speed the gap would take 2 s


async def test_only_the_line_that_was_lost_is_cut(tmp_path: Path) -> None:
    session = [
        line(1, 0, "start"),
        line(2, 0.1, "connect", 2, conn=1),
        line(3, 0.2, "connect", 1, conn=2),
        line(20, 3, "disconnect", 2, conn=1),
        line(25, 5, "connect", 2, conn=3),
    ]
    rows = [candle(seq, seq - 20, 0, str(seq)) for seq in (21, 22, 23, 24, 26)]
    stage = Stage(killed(tmp_path, session=session, kline=rows))
    v1, v2 = stage.client("v1"), stage.client("v2")
    v1.sub("kline_1m", "BTCUSD")
    v2.sub("depth", "BTCUSD")

    async def come_back() -> None:
        await stage.until(lambda: v2.wire.aborted)
        stage.client("v2").sub("depth", "BTCUSD")

    await stage.play(come_back)
    assert not v1.wire.aborted
    assert [frame["data"][0]["c"] for frame in pushes(v1, "kline")] == ["21", "22", "23", "24", "26"]
    assert [frame["data"]["v"] for frame in pushes(stage.clients[2], "depth")] == ["40_8"]


async def test_a_connection_that_is_replaced_is_no_gap(tmp_path: Path) -> None:
    session = [
        line(2, -2, "connect", 2, conn=1),
        line(12, 3, "connect", 2, conn=5),
        line(13, 3.1, "disconnect", 2, conn=1),
    ]
    stage = Stage(killed(tmp_path, session=session))
    client = stage.client("v2")
    client.sub("depth", "BTCUSD")
    await stage.play()
    assert not client.wire.aborted
    assert len(pushes(client, "depth")) == 4


@pytest.mark.parametrize("healed", [True, False])
async def test_after_a_gap_v1_says_only_what_is_still_true(tmp_path: Path, healed: bool) -> None:
    trades = [v2_trade(12, 1), v2_trade(13, 2), v2_trade(50, 12)]
    missing = [gap(49, 11, "trade", 2, 11, "process down", healed=healed)]
    stage = Stage(killed(tmp_path, trade=trades, kline=[candle(14, 1, 0, "10")], gap=missing))
    v1 = stage.client("v1")
    for topic in ("kline_1m", "trade", "depth"):
        v1.sub(topic, "BTCUSD")
    firsts: list[Frame] = []

    async def come_back() -> None:
        await stage.until(lambda: v1.wire.aborted)
        client = stage.client("v1")
        for topic in ("kline_1m", "trade", "depth"):
            firsts.extend(client.sub(topic, "BTCUSD"))

    await stage.play(come_back)
    candles, trades_told = (frame["data"] for frame in firsts)  # of the book nothing is known
    assert candles == []
    assert [row["v"] for row in trades_told] == (["12", "13"] if healed else [])  # a history that joins, or a hole


async def test_those_who_never_come_back_are_waited_for_only_so_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage(killed(tmp_path), patience_seconds=0.05)
    gone, other = stage.client("v2"), stage.client("v1")
    gone.sub("depth", "BTCUSD")
    other.sub("trade", "BTCUSD")

    async def one_comes_back() -> None:
        await stage.until(lambda: other.wire.aborted)
        stage.client("v1").sub("trade", "BTCUSD")

    await stage.play(one_comes_back)
    assert "1 v2 streams were not subscribed to again; going on" in capsys.readouterr().err


async def test_a_row_proves_that_its_line_was_up(tmp_path: Path) -> None:
    """A recorder's events may be lost; its rows are not."""
    session = [line(2, -2, "connect", 2, conn=1), line(12, 2.5, "disconnect", 2, conn=1)]
    stage = Stage(killed(tmp_path, session=session))
    client = stage.client("v2")
    client.sub("depth", "BTCUSD")

    async def come_back() -> None:
        await stage.until(lambda: client.wire.aborted)
        stage.client("v2").sub("depth", "BTCUSD")

    await stage.play(come_back)
    assert [frame["data"]["v"] for frame in pushes(stage.clients[1], "depth")] == ["40_8"]


# -- readers


async def test_it_waits_for_a_reader_that_is_behind(tmp_path: Path) -> None:
    stage = Stage(lake(tmp_path, depth=[book(seq, seq / 10, ["10"], ["11"]) for seq in range(100)]))
    client = stage.client("v2", 1 << 30)
    client.sub("depth", "BTCUSD")
    client.wire.unread = 1 << 25

    async def read() -> None:
        await stage.until(lambda: stage.hub.frames > 0)
        await asyncio.sleep(0.05)
        assert stage.hub.frames < 100
        client.wire.unread = 0

    await stage.play(read)
    assert len(pushes(client, "depth")) == 100


async def test_a_reader_that_reads_nothing_at_all_is_dropped(tmp_path: Path) -> None:
    stage = Stage(
        lake(tmp_path, depth=[book(seq, seq / 10, ["10"], ["11"]) for seq in range(100)]), stalled_seconds=0.05
    )
    stuck, other = stage.client("v2", 1 << 30), stage.client("v2")
    for client in (stuck, other):
        client.sub("depth", "BTCUSD")
    stuck.wire.unread = 1 << 25
    await stage.play()
    assert stuck.wire.aborted
    assert len(pushes(other, "depth")) == 100


async def test_at_full_speed_time_stands_while_nobody_listens(tmp_path: Path) -> None:
    stage = Stage(lake(tmp_path, depth=[book(seq, seq / 10, ["10"], ["11"]) for seq in range(100)]))
    first = stage.client("v2", 1 << 30)
    first.sub("depth", "BTCUSD")
    first.wire.unread = 1 << 25  # so that it goes while the replay waits for it

    async def leave() -> None:
        await stage.until(lambda: stage.hub.frames > 0)
        first.connection.closed()
        stage.hub.v2_clients.remove_all(first.connection)
        await asyncio.sleep(0.05)
        second = stage.client("v2")
        assert not stage.hub.finished.is_set()
        second.sub("depth", "BTCUSD")

    await stage.play(leave)
    heard = [frame["data"]["v"] for client in stage.clients for frame in pushes(client, "depth")]
    assert len(heard) >= 100 - 32
    assert heard[-1] == "99_8"


async def test_the_same_lake_tells_the_same_story_at_any_speed(tmp_path: Path) -> None:
    root = lake(
        tmp_path,
        depth=[book(seq, seq / 20, ["10"], ["11"]) for seq in range(1, 40)],
        trade=[v2_trade(100 + seq, seq / 15, str(seq + 1)) for seq in range(1, 30)],
    )

    async def story(speed: float) -> list[Frame]:
        stage = Stage(root, speed=speed)
        v1, v2 = stage.client("v1"), stage.client("v2")
        for topic in ("depth", "trade", "kline_1m", "realtimes"):
            v1.sub(topic, "BTCUSD")
        for topic in ("depth", "trade", "realtimes"):
            v2.sub(topic, "BTCUSD")
        await stage.play()
        return v1.heard() + v2.heard()

    assert await story(20.0) == await story(float("inf"))


def test_numbers_are_whole_units() -> None:
    assert units(Decimal("10.5")) == 10_500_000_000_000
