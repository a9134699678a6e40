"""A recording in, the venue's frames out: books, trades, quotes and candles are the recording's own."""

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from recorder.exchange import Options, serve
from recorder.exchange.capture import CaptureSource
from recorder.exchange.decimals import plain
from recorder.exchange.series import Trade
from recorder.exchange.source import MS, Quoted, Traded
from tests.exchange.bench import Bench
from tests.exchange.recordings import BEGIN, REAL, Tape, short

LAST = 10**19


def source(tmp_path: Path, tape: Tape, name: str = "a.gz") -> CaptureSource:
    return CaptureSource([tape.write(tmp_path / name)])


def book(one: CaptureSource) -> tuple[int, int, object, object]:
    made = one.series["BTCUSDT"].book
    return made.version, made.time, json.loads(made.bids.text()), json.loads(made.asks.text())


def test_there_is_no_book_before_the_snapshot(tmp_path: Path) -> None:
    one = source(tmp_path, short())
    list(one.advance(BEGIN + 39 * MS))
    assert book(one) == (0, 0, [], [])


def test_updates_that_came_before_the_snapshot_count_only_if_they_are_newer(tmp_path: Path) -> None:
    tape = short()
    one = source(tmp_path, tape)
    list(one.advance(BEGIN + 40 * MS))
    assert book(one) == (102, tape.time(20), [["100", "2"], ["99", "3"]], [["101", "4"], ["101.5", "0.5"]])


def test_a_book_follows_its_updates(tmp_path: Path) -> None:
    tape = short()
    one = source(tmp_path, tape)
    list(one.advance(LAST))
    assert book(one) == (115, tape.time(320), [["100", "1.75"]], [["101", "3.5"], ["101.5", "0.5"]])


def test_trades_keep_their_id_time_and_side_and_quotes_their_update(tmp_path: Path) -> None:
    tape = short()
    events = list(source(tmp_path, tape).advance(LAST))
    trades = [json.loads(event.trade.row) for event in events if isinstance(event, Traded)]
    assert trades == [
        {"v": "7001", "t": tape.time(60) - 1, "p": "101", "q": "0.5", "m": False},
        {"v": "7002", "t": tape.time(250) - 1, "p": "100", "q": "0.25", "m": True},
    ]
    (quote,) = [event.quote for event in events if isinstance(event, Quoted)]
    assert (quote.version, quote.time) == (103, tape.time(20))  # spot quotes carry no time of their own


def test_a_book_that_loses_a_step_is_withdrawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tape = short()
    tape.update(400, 117, 120, [("50.00000000", "1.00000000")], [])
    one = source(tmp_path, tape)
    list(one.advance(LAST))
    assert book(one)[0] == 0
    assert "update 120 does not follow 115" in capsys.readouterr().err


def test_a_file_without_a_snapshot_has_trades_and_quotes_but_no_book(tmp_path: Path) -> None:
    tape = short()
    tape.lines = [line for line in tape.lines if "lastUpdateId" not in line]
    one = source(tmp_path, tape)
    assert len(list(one.advance(LAST))) == 3
    assert book(one)[0] == 0


def test_the_next_file_continues_the_book_of_the_one_before(tmp_path: Path) -> None:
    later = Tape(BEGIN + 1_000_000_000)
    later.update(0, 116, 130, [("100.00000000", "1.00000000")], [])
    one = CaptureSource([later.write(tmp_path / "b.gz"), short().write(tmp_path / "a.gz")])
    list(one.advance(LAST))
    assert book(one)[:3] == (130, later.time(0), [["100", "1"]])


async def test_books_are_pushed_on_ticks_counted_from_the_first_line(tmp_path: Path) -> None:
    bench = Bench(source(tmp_path, short()))
    v1, v2 = bench.client("v1"), bench.client("v2")
    (first,) = v1.sub("depth", "BTCUSDT")
    assert first["data"] == []
    v2.sub("depth", "BTCUSDT")
    v1.sub("trade", "BTCUSDT")
    v1.sub("kline_1m", "BTCUSDT")
    v2.heard()
    versions = []
    for _ in range(5):
        await bench.run(100)
        versions.append([frame["data"]["v"] for frame in v2.heard()])
    assert versions == [["102_0"], ["110_0"], [], ["115_0"], []]
    frames = v1.heard()
    assert [frame["data"][0]["v"] for frame in frames if frame["topic"] == "depth"] == ["110_18"]
    assert [[row["v"] for row in frame["data"]] for frame in frames if frame["topic"] == "trade"] == [["7001", "7002"]]
    (candle,) = [frame["data"][0] for frame in frames if frame["topic"] == "kline"]
    assert (candle["o"], candle["c"], candle["v"], candle["td"], candle["tb"]) == ("101", "100", "0.75", 2, "0.5")
    assert frames[-1]["sendTime"] == BEGIN // MS + 300  # the recording's own clock


async def test_it_begins_when_clients_are_ready_and_says_when_it_is_done(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    options = Options(captures=(short().write(tmp_path / "a.gz"),), speed=20, ledger=ledger, settle_seconds=0.05)
    async with serve(options) as exchange, aiohttp.ClientSession() as session:
        async with session.get(f"{exchange.rest}/api/v1/time") as reply:
            assert await reply.json() == {"serverTime": BEGIN // MS}  # it stands still
        async with session.ws_connect(exchange.ws_v2) as line:
            for topic in ("trade", "depth"):
                await line.send_json({"topic": topic, "event": "sub", "params": {"symbol": "BTCUSDT"}})
            heard = [json.loads((await line.receive(timeout=10)).data) for _ in range(7)]
            await exchange.pace
            await line.send_str('{"ping":1}')
            assert "pong" in json.loads((await line.receive(timeout=10)).data)
    assert [frame["data"]["v"] for frame in heard if frame.get("topic") == "trade" and "data" in frame] == [
        "7001",
        "7002",
    ]
    assert '{"conn": 0, "event": "finished"' in ledger.read_text()


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the real recordings are not on this machine")
@pytest.mark.parametrize(
    "names",
    [
        ["spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz"],
        ["usdm_btcusdt_20240808.gz"],
        ["cm_ethusd_perp_20240808.gz"],
    ],
)
def test_a_real_recording_is_rebuilt_exactly(names: list[str]) -> None:
    """Against a second rebuild that is as plain as can be: dictionaries, sorted when looked at."""
    served = CaptureSource([REAL / name for name in names])
    (series,) = served.series.values()
    trades: list[Trade] = []
    minutes: defaultdict[int, int] = defaultdict(int)
    sides: dict[str, dict[float, str]] = {"b": {}, "a": {}}
    version, compared = 0, 0
    early: list[dict[str, Any]] = []

    def apply(data: dict[str, Any]) -> None:
        for side in "ba":
            for price, size in data[side]:
                sides[side].pop(float(price), None)
                if float(size):
                    sides[side][float(price)] = size

    for name in names:
        with gzip.open(REAL / name, "rt") as file:
            for number, line in enumerate(file):
                at, text = line.split(" ", 1)
                message = json.loads(text)
                events = list(served.advance(int(at)))
                if "lastUpdateId" in message:
                    version = message["lastUpdateId"]
                    apply({"b": message["bids"], "a": message["asks"]})
                    waiting = [data for data in early if data["u"] > version]
                elif message["data"].get("e") == "depthUpdate":
                    waiting = [message["data"]] if version else []
                    early.append(message["data"])
                else:
                    waiting = []
                    trades += [event.trade for event in events if isinstance(event, Traded)]
                for data in waiting:
                    apply(data)
                    version = data["u"]
                if number % 500 == 0 and version:
                    compared += 1
                    assert series.book.version == version
                    for side, ours in (("b", series.book.bids), ("a", series.book.asks)):
                        best = sorted(sides[side].items(), reverse=side == "b")[:100]
                        shown = [(float(price), float(size)) for price, size in json.loads(ours.text())]
                        assert shown == [(price, float(size)) for price, size in best]
    assert compared > 50
    assert len(trades) > 1000
    for trade in trades:
        minutes[trade.time // 60_000 * 60_000] += trade.size
    candles = {candle.open_time: candle.volume for candle in series.candles("1m")}
    assert candles == minutes
    assert plain(sum(minutes.values()), series.instrument.size_scale) != "0"
