"""Each fault alone, as a client and the ledger see it: first on the bench, then on real sockets."""

import asyncio
import contextlib
import gzip
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from recorder.exchange import Exchange, ExchangeError, Options, Script, random_script, serve
from recorder.exchange.fault_frames import ERRORS
from recorder.exchange.faults import KINDS, script_of
from recorder.exchange.rest import Rest, answer, routes
from tests.exchange.bench import Bench, Client, Frame, market, unpack
from tests.exchange.test_server import PATIENCE_SECONDS, ledger_lines, receive, until

Line = dict[str, Any]


def script(**entry: Any) -> Script:
    return script_of([{"at": 1} | entry])


class Case:
    """A bench with a script, its ledger, and a V1 and a V2 client of BTCUSD and ETHUSD."""

    def __init__(self, folder: Path, faults: Script, *symbols: str) -> None:
        self.path = folder / "ledger"
        self.bench = Bench(market(*(symbols or ("BTCUSD", "ETHUSD")), rate=5), self.path, faults)
        self.v1, self.v2 = self.bench.client("v1"), self.bench.client("v2")
        for symbol in symbols or ("BTCUSD", "ETHUSD"):
            for topic in ("depth", "trade"):
                self.v1.sub(topic, symbol)
            self.v1.sub("diffMergedDepth", symbol, dumpScale=2)
            for topic in ("depth", "trade", "bbo"):
                self.v2.sub(topic, symbol)

    async def run(self, seconds: float) -> None:
        await self.bench.run(round(seconds * 1000))

    def lines(self) -> list[Line]:
        return ledger_lines(self.path)

    def events(self, *kinds: str) -> list[Line]:
        return [line for line in self.lines() if line.get("event") in kinds]

    def sent(self, conn: int) -> list[Frame]:
        return [line["frame"] for line in self.lines() if line["conn"] == conn and "event" not in line]

    def withheld(self) -> list[Line]:
        return self.events("withheld")


def pushes(client: Client, topic: str = "", symbol: str = "") -> list[Frame]:
    """What a client has heard since the last look, of one stream."""
    return [
        frame
        for frame in client.heard()
        if "data" in frame
        and topic in ("", frame["topic"])
        and symbol in ("", frame.get("symbol") or frame["params"]["symbol"])
    ]


async def test_without_a_script_nothing_stands_between() -> None:
    bench = Bench(market())
    assert bench.client("v1").connection._gate is None


async def test_mute_silences_one_stream_of_a_healthy_socket_and_keeps_what_it_took(tmp_path: Path) -> None:
    case = Case(tmp_path, script(kind="mute", symbol="BTCUSD", topic="depth", api="v2", **{"for": 2}))
    await case.run(1)
    case.v2.heard()
    await case.run(1.9)
    heard = {(frame["topic"], frame["params"]["symbol"]) for frame in case.v2.heard()}
    assert heard >= {("depth", "ETHUSD"), ("trade", "BTCUSD")}
    assert ("depth", "BTCUSD") not in heard
    assert case.v2.say({"ping": 1})
    assert pushes(case.v1, "depth", "BTCUSD")
    taken = case.withheld()
    assert taken and {(line["conn"], line["withheld"]["topic"], line["fault"]) for line in taken} == {(2, "depth", 1)}
    await case.run(1)
    assert pushes(case.v2, "depth", "BTCUSD")
    begin, end = case.events("mute")
    assert (begin["phase"], begin["symbol"], end["phase"]) == ("begin", "BTCUSD", "end")


async def test_a_mute_that_begins_with_the_subscription_takes_its_first_push(tmp_path: Path) -> None:
    bench = Bench(market(), tmp_path / "ledger", script_of([{"after": "subscribed", "kind": "mute", "topic": "trade"}]))
    client = bench.client("v1")
    assert client.sub("depth", "BTCUSD")
    assert client.sub("trade", "BTCUSD") == []


async def test_only_pongs_remain(tmp_path: Path) -> None:
    case = Case(tmp_path, script(kind="mute_all_but_pongs", api="v1"))
    await case.run(1)
    case.v1.heard()
    case.v2.heard()
    await case.run(2)
    assert case.v1.heard() == []
    assert case.v1.sub("realtimes", "BTCUSD") == []
    assert case.v1.say("not JSON") == []
    assert list(case.v1.say({"ping": 1})[0]) == ["pong"]
    assert case.v2.heard()


async def test_a_half_open_line_says_and_reads_nothing_and_others_go_on(tmp_path: Path) -> None:
    case = Case(tmp_path, script(kind="half_open", api="v1", **{"for": 3}))
    await case.run(1)
    case.v1.heard()
    case.v2.heard()
    await case.run(2.9)
    assert case.v1.heard() == []
    assert (case.v1.wire.aborted, case.v1.wire.reading) == (False, False)
    assert case.v2.heard()
    assert {line["conn"] for line in case.withheld()} == {1}
    await case.run(0.2)
    assert case.v1.wire.aborted
    assert [(line["conn"], line["phase"]) for line in case.events("half_open")] == [(1, "begin"), (1, "end")]
    assert case.events("cut")[0]["reason"] == "half_open"


async def test_delayed_frames_are_in_the_ledger_when_they_are_sent(tmp_path: Path) -> None:
    case = Case(tmp_path, script(kind="delay", api="v2", seconds=0.5, **{"for": 1}))
    plain = Case(tmp_path / "..", script_of([]))
    for one in (case, plain):
        await one.run(1)
        one.v2.heard()
        await one.run(0.45)
    assert case.v2.heard() == []
    assert plain.v2.heard()
    for one in (case, plain):
        await one.run(5)
    assert not case.withheld()
    assert case.sent(2) == plain.sent(2)  # all of it, in the same order
    plain.path.unlink()


@pytest.mark.parametrize(
    ("entry", "check"),
    [
        ({"kind": "duplicate", "topic": "trade", "count": 3}, 3),
        ({"kind": "reorder", "topic": "trade", "count": 3}, 0),
        ({"kind": "list_wrapped", "topic": "trade", "count": 3, "size": 2}, 0),
        ({"kind": "binary_gzip", "topic": "trade", "count": 3}, 0),
        ({"kind": "empty_data", "topic": "trade", "count": 3}, 3),
    ],
)
async def test_frames_that_are_changed_are_still_all_there(tmp_path: Path, entry: Line, check: int) -> None:
    (tmp_path / "plain").mkdir()
    case = Case(tmp_path, script(**entry))
    plain = Case(tmp_path / "plain", script_of([]))
    for one in (case, plain):
        await one.run(8)
    numbers: list[list[str]] = []
    for one in (case, plain):
        frames = [frame for frame in one.sent(2) if frame["topic"] == "trade" and frame.get("data")]
        numbers.append([str(frame["data"]["v"]) for frame in frames])
    assert len(set(numbers[0])) == len(set(numbers[1])) > 5
    hits = [line for line in case.events(entry["kind"]) if line["phase"] == "hit"]
    assert len(hits) == 3
    assert case.events(entry["kind"])[-1]["phase"] == "end"
    total = sum(len(case.sent(conn)) - len(plain.sent(conn)) for conn in (1, 2))
    assert total == check
    if entry["kind"] == "reorder":
        firsts = [frame["data"][0]["t"] for frame in case.sent(1) if frame["topic"] == "trade" and frame["f"] is False]
        assert numbers[0] != numbers[1] or firsts != sorted(firsts)  # it met V2 or V1
    assert not case.withheld()


async def test_gzip_comes_as_binary_and_lists_as_lists(tmp_path: Path) -> None:
    case = Case(
        tmp_path,
        script_of([{"at": 1, "kind": "binary_gzip", "api": "v2"}, {"at": 1, "kind": "list_wrapped", "api": "v1"}]),
    )
    await case.run(0.9)
    case.v1.wire.written.clear()
    case.v2.wire.written.clear()
    await case.run(2)
    binary = [body for kind, body in map(unpack, case.v2.wire.written) if kind == 0x82]
    assert len(binary) == 1 and binary[0][:2] == b"\x1f\x8b"
    assert json.loads(gzip.decompress(binary[0])) in case.sent(2)
    lists = [body for _, body in map(unpack, case.v1.wire.written) if body[:1] == b"["]
    assert len(lists) == 1 and len(json.loads(lists[0])) == 2
    assert all(frame in case.sent(1) for frame in json.loads(lists[0]))


async def test_a_skipped_counter_jumps_and_the_push_is_withheld(tmp_path: Path) -> None:
    case = Case(tmp_path, script(kind="skip_counter", symbol="BTCUSD"))
    case.v1.heard()
    await case.run(4)
    counters = [frame["data"][0]["o"] for frame in pushes(case.v1, "diffMergedDepth", "BTCUSD")]
    steps = [later - earlier for earlier, later in pairwise(counters)]
    assert sorted(set(steps)) == [1, 2] and steps.count(2) == 1
    (line,) = case.withheld()
    assert line["withheld"]["data"][0]["o"] == counters[steps.index(2)] + 1


async def test_history_is_repeated_unasked(tmp_path: Path) -> None:
    case = Case(tmp_path, script(kind="repeat_history"))
    case.v1.heard()
    await case.run(2)
    firsts = [frame for frame in pushes(case.v1) if frame["f"]]
    assert [(frame["topic"], frame["symbol"], len(frame["data"])) for frame in firsts] == [
        ("trade", "BTCUSD", 60),
        ("trade", "ETHUSD", 60),
    ]
    assert [line["conn"] for line in case.events("repeat_history")] == [1, 1]


async def test_every_shape_of_error_comes_and_the_socket_stays(tmp_path: Path) -> None:
    case = Case(tmp_path, script(kind="error_frame", api="v1"))
    await case.run(2)
    errors = [frame for frame in case.v1.heard() if "code" in frame]
    assert len(errors) == len(ERRORS)
    assert {type(frame["code"]) for frame in errors} == {str, int}
    assert {key for frame in errors for key in ("desc", "msg") if key in frame} == {"desc", "msg"}
    assert [frame for frame in case.sent(1) if "code" in frame] == errors
    assert not case.v1.wire.aborted


@pytest.mark.parametrize("replace", [False, True])
async def test_garbage_is_told_by_its_event_and_what_it_replaced_is_withheld(tmp_path: Path, replace: bool) -> None:
    case = Case(tmp_path, script(kind="garbage", api="v2", replace=replace))
    await case.run(0.9)
    case.v2.wire.written.clear()
    await case.run(1)
    broken = []
    for _, body in map(unpack, case.v2.wire.written):
        try:
            json.loads(body)
        except ValueError:
            broken.append(body)
    assert len(broken) == 3
    assert sum(line.get("phase") in (None, "hit") for line in case.events("garbage")) == 3
    assert len(case.withheld()) == replace


async def test_an_oversized_frame_does_not_count_as_a_slow_reader(tmp_path: Path) -> None:
    case = Case(tmp_path, script(kind="oversized", bytes=3 << 20, api="v2"))
    await case.run(1)
    case.v2.wire.unread = 3 << 20  # of which nothing has been read yet
    await case.run(1)
    assert max(len(body) for _, body in map(unpack, case.v2.wire.written)) == 3 << 20
    assert (case.events("oversized")[0]["conn"], case.events("oversized")[0]["bytes"]) == (2, 3 << 20)
    assert not case.v2.wire.aborted


@pytest.mark.parametrize("kind", ["clock_offset", "clock_step"])
async def test_a_wrong_clock_is_seen_in_pongs_send_times_and_rest_only(tmp_path: Path, kind: str) -> None:
    case = Case(tmp_path, script(kind=kind, ms=-7000, **({"for": 1} if kind == "clock_offset" else {})))
    rest = routes(Rest(case.bench.hub))
    for seconds, off in ((0.9, 0), (0.9, -7000), (0.9, -7000 if kind == "clock_step" else 0)):
        case.v1.heard()
        await case.run(seconds)
        now = case.bench.clock.now_ms()
        last = pushes(case.v1, "depth")[-1]
        assert now + off - 300 <= last["sendTime"] <= now + off
        assert 0 <= now - last["data"][0]["t"] < 1000
        for client in (case.v1, case.v2):
            assert client.say({"ping": 1})[-1]["pong"] == now + off
        body = answer(rest["/api/v1/time"], {}).body
        assert isinstance(body, bytes)
        assert json.loads(body)["serverTime"] == now + off


async def test_cut_and_close_choose_their_lines_and_say_so(tmp_path: Path) -> None:
    case = Case(
        tmp_path,
        script_of([{"at": 1, "kind": "cut", "api": "v1"}, {"at": 2, "kind": "cut", "conn": 9}]),
    )
    await case.run(3)
    assert case.v1.wire.aborted and not case.v2.wire.aborted
    cut, missed = case.events("cut")
    assert (cut["conn"], cut["reason"], cut["fault"]) == (1, "fault", 1)
    assert (missed["conn"], missed["phase"]) == (0, "missed")


async def test_a_restart_lowers_versions_and_renews_channels_and_counters(tmp_path: Path) -> None:
    case = Case(tmp_path, script(kind="restart", **{"for": 2}))
    (before,) = case.v1.sub("depth", "BTCUSD")[-1:]
    await case.run(3.5)
    assert case.v1.wire.aborted and case.v2.wire.aborted
    client = case.bench.client("v1")
    (after,) = client.sub("depth", "BTCUSD")
    versions = [int(frame["data"][0]["v"].split("_")[0]) for frame in (before, after)]
    assert versions[1] < versions[0]
    assert before["channelId"].rpartition("-")[2] != after["channelId"].rpartition("-")[2]
    await case.run(1)
    later = [int(frame["data"][0]["v"].split("_")[0]) for frame in pushes(client, "depth")]
    assert later == sorted(later) and later[0] > versions[1]
    assert [line["reason"] for line in case.events("cut")] == ["restart", "restart"]
    assert [line["phase"] for line in case.events("restart")] == ["begin", "end"]


async def test_a_delisted_symbol_is_acknowledged_and_sends_nothing_until_it_is_back(tmp_path: Path) -> None:
    case = Case(tmp_path, script(kind="delist", symbol="ETHUSD", **{"for": 70}))
    case.v1.sub("kline_1m", "ETHUSD"), case.v2.sub("kline", "ETHUSD", klineType="1m")
    await case.run(1)
    case.v1.heard()
    case.v2.heard()
    await case.run(65)  # over a minute: no flat candle either
    assert not pushes(case.v1, symbol="ETHUSD") and not pushes(case.v2, symbol="ETHUSD")
    (ack,) = case.v2.sub("depth", "ETHUSD")
    assert ack["code"] == "0"
    assert case.v1.sub("depth", "ETHUSD")[0]["code"] == "-100010"
    rest = Rest(case.bench.hub)
    assert [row["symbol"] for row in rest.exchange_info({})["symbols"]] == ["BTCUSD"]
    await case.run(6)
    assert len(rest.exchange_info({})["symbols"]) == 2
    assert case.v1.sub("depth", "ETHUSD")[0]["data"]


async def test_a_new_symbol_appears_and_trades_without_a_past(tmp_path: Path) -> None:
    case = Case(tmp_path, script(kind="list", symbol="SOLUSD"))
    assert case.v1.sub("trade", "SOLUSD")[0]["code"] == "-100010"
    await case.run(1)
    rest = Rest(case.bench.hub)
    assert "SOLUSD" in [row["symbol"] for row in rest.exchange_info({})["symbols"]]
    (first,) = [frame for frame in case.v1.sub("trade", "SOLUSD") if frame["f"]]
    assert first["data"] == []
    case.v2.sub("trade", "SOLUSD"), case.v2.sub("depth", "SOLUSD")
    await case.run(10)
    assert {frame["topic"] for frame in pushes(case.v2, symbol="SOLUSD")} == {"trade", "depth"}
    for path in ("/quote/v1/klines", "/quote/v1/ticker/24hr"):
        reply = answer(routes(rest)[path], {"symbol": "SOLUSD", "interval": "1m"})
        assert reply.status == 200


async def test_a_listed_symbol_is_the_same_in_every_run_and_changes_no_other(tmp_path: Path) -> None:
    stories = []
    for name, steps in (("one", [10.0]), ("two", [0.7, 0.4, 8.9])):
        (tmp_path / name).mkdir()
        case = Case(tmp_path / name, script(kind="list", symbol="SOLUSD"))
        for seconds in steps:
            await case.run(seconds)
        series = case.bench.source.series
        stories.append([(one.symbol, one.book.version, one.book.bids.text()) for one in series.values()])
    assert stories[0] == stories[1]
    plain = Bench(market(rate=5))
    await plain.run(10_000)
    book = plain.source.series["BTCUSD"].book
    assert stories[0][0] == ("BTCUSD", book.version, book.bids.text())


def test_a_script_of_unknown_symbols_is_refused_at_the_start() -> None:
    with pytest.raises(ExchangeError, match="NOPE is not traded here"):
        Bench(market(), None, script(kind="mute", symbol="NOPE"))


async def test_the_same_script_on_the_same_market_says_the_same_frames(tmp_path: Path) -> None:
    told = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        faults = random_script(11, 20, count=12, kinds=[kind for kind in KINDS if kind not in ("half_open", "refuse")])
        case = Case(tmp_path / name, faults)
        await case.run(20)
        told.append([(line["conn"], line.get("event"), line.get("frame")) for line in case.lines()])
    assert told[0] == told[1]


DUE: dict[int, set[str]] = {}  # by connection: what a faultless venue says, which is the same for every mixture


def core(frame: Frame) -> str:
    return json.dumps([frame["topic"], frame["data"]])


async def due(folder: Path) -> dict[int, set[str]]:
    if not DUE:
        plain = Case(folder, script_of([]))
        for _ in range(25):
            await plain.run(1)
        DUE.update({conn: {core(frame) for frame in plain.sent(conn) if frame.get("data")} for conn in (1, 2)})
    return DUE


@pytest.mark.parametrize("seed", range(12))
async def test_the_ledger_has_every_frame_that_was_due_once(tmp_path: Path, seed: int) -> None:
    """What a faultless venue says = what was sent + what was withheld, whatever the mixture; and what was
    sent is what arrived."""
    kinds = ["mute", "mute_all_but_pongs", "delay", "reorder", "skip_counter", "binary_gzip", "list_wrapped",
             "empty_data", "duplicate", "error_frame", "half_open", "slow_rest", "http"]  # fmt: skip
    (tmp_path / "plain").mkdir()
    case = Case(tmp_path, random_script(seed, 20, count=10, kinds=kinds))
    arrived: dict[int, list[Frame]] = {1: [], 2: []}
    for _ in range(25):
        await case.run(1)
        for conn, client in ((1, case.v1), (2, case.v2)):
            raw, client.wire.written = client.wire.written, []
            for kind, body in map(unpack, raw):
                found = json.loads(gzip.decompress(body) if kind == 0x82 else body)
                arrived[conn] += found if isinstance(found, list) else [found]
    cut = {line["conn"] for line in case.events("cut")}
    for conn in {1, 2} - cut:
        sent = case.sent(conn)
        assert arrived[conn] == sent[-len(arrived[conn]) :]  # all but the first pushes, heard before

        said = {core(frame) for frame in sent if frame.get("data")}
        kept = {
            core(line["withheld"]) for line in case.withheld() if line["conn"] == conn and line["withheld"].get("data")
        }
        assert (await due(tmp_path / "plain"))[conn] == said | kept


# -- on real sockets

HANDSHAKE = (
    b"GET /quote/ws/v1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@asynccontextmanager
async def running(
    folder: Path, faults: Script, **options: Any
) -> AsyncIterator[tuple[Exchange, aiohttp.ClientSession, Path]]:
    path = folder / "ledger"
    wanted = Options(symbols=("BTCUSD", "ETHUSD"), ledger=path, faults=faults, **options)
    async with serve(wanted) as exchange, aiohttp.ClientSession() as session:
        yield exchange, session, path


async def subscribed(line: aiohttp.ClientWebSocketResponse) -> None:
    for symbol in ("BTCUSD", "ETHUSD"):
        request = {"topic": "depth", "event": "sub", "symbol": symbol, "params": {"symbol": symbol}}
        await line.send_json(request)


async def read_to_the_end(line: aiohttp.ClientWebSocketResponse) -> list[aiohttp.WSMessage]:
    found = []
    while not line.closed:
        found.append(await receive(line))
    return found


@pytest.mark.parametrize("reset", [False, True])
async def test_a_cut_line_ends_without_a_close_frame(tmp_path: Path, reset: bool) -> None:
    faults = script_of([{"after": "subscribed", "at": 0.3, "kind": "cut", "reset": reset}])
    async with running(tmp_path, faults) as (exchange, session, path), session.ws_connect(exchange.ws_v1) as line:
        await subscribed(line)
        await read_to_the_end(line)
        assert line.close_code == 1006
        assert [one["reason"] for one in ledger_lines(path) if one.get("event") == "cut"] == ["fault"]


async def test_a_close_is_a_close_frame_with_code_and_reason(tmp_path: Path) -> None:
    faults = script_of([{"after": "subscribed", "at": 0.3, "kind": "close", "code": 1012, "reason": "maintenance"}])
    async with running(tmp_path, faults) as (exchange, session, path), session.ws_connect(exchange.ws_v2) as line:
        await subscribed(line)
        messages = await read_to_the_end(line)
        assert messages[-1].type is aiohttp.WSMsgType.CLOSE
        assert (line.close_code, messages[-1].extra) == (1012, "maintenance")
        (close,) = [one for one in ledger_lines(path) if one.get("event") == "close"]
        assert (close["code"], close["text"], close["reason"]) == (1012, "maintenance", "fault")


@pytest.mark.parametrize("mode", ["503", "drop", "hang"])
async def test_refused_handshakes_end_with_the_fault(tmp_path: Path, mode: str) -> None:
    faults = script_of([{"at": 0, "kind": "refuse", "api": "v1", "mode": mode, "for": 0.6}])
    async with running(tmp_path, faults) as (exchange, session, path):
        begun = time.monotonic()
        host, port = exchange.rest.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(HANDSHAKE)
        if mode == "503":
            assert (await asyncio.wait_for(reader.readline(), PATIENCE_SECONDS)).startswith(b"HTTP/1.1 503 ")
        else:
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), PATIENCE_SECONDS) == b""
        assert (time.monotonic() - begun > 0.4) is (mode == "hang")
        writer.close()
        async with session.ws_connect(exchange.ws_v2):
            pass  # the other API is open
        await until(lambda: '"phase": "end"' in path.read_text())
        async with session.ws_connect(exchange.ws_v1) as line:
            await line.send_str('{"ping":1}')
            await receive(line)
        assert any(one.get("phase") == "hit" and one["api"] == "v1" for one in ledger_lines(path))


async def test_a_half_open_line_stays_up_in_silence_and_ends_when_its_client_goes(tmp_path: Path) -> None:
    faults = script_of([{"after": "subscribed", "at": 0.2, "kind": "half_open", "conn": 1}])
    async with running(tmp_path, faults, idle_v1_seconds=0.5) as (exchange, session, path):
        line = await session.ws_connect(exchange.ws_v1)
        other = await session.ws_connect(exchange.ws_v1)
        await subscribed(line)
        await subscribed(other)
        await until(lambda: '"half_open"' in path.read_text())
        while True:
            try:
                await line.receive(timeout=0.8)  # longer than the idle rule, which a dead peer does not apply
            except TimeoutError:
                break
        await line.send_str('{"ping":1}')
        with pytest.raises(TimeoutError):
            await line.receive(timeout=0.2)
        assert not line.closed
        assert (await receive(other)).type is aiohttp.WSMsgType.TEXT
        await until(lambda: '"withheld"' in path.read_text())
        assert line._writer is not None and line._writer.transport is not None
        line._writer.transport.abort()  # as a recorder does that has given up
        await until(lambda: any(one.get("event") == "close" and one["conn"] == 1 for one in ledger_lines(path)))
        assert not other.closed
        await other.close()
    events = [one for one in ledger_lines(path) if one["conn"] == 1]
    assert events[-1]["event"] == "close"  # and nothing is withheld after it


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (429, 429, b'{"code":"0003"'),
        (418, 418, b'{"code":"0003"'),
        (500, 500, b'{"code":"-1000"'),
        (503, 503, b'{"code":"-1000"'),
        ("empty", 200, b""),
        ("html", 200, b"<html>"),
    ],
)
async def test_rest_answers_with_something_else_on_the_path_as_often_as_told(
    tmp_path: Path, answer: int | str, status: int, body: bytes
) -> None:
    faults = script_of([{"at": 0, "kind": "http", "answer": answer, "path": "/quote/v1/trades", "retry_after": 5}])
    async with running(tmp_path, faults) as (exchange, session, path):
        async with session.get(f"{exchange.rest}/api/v1/ping") as reply:
            assert await reply.read() == b"{}"
        async with session.get(f"{exchange.rest}/quote/v1/trades?symbol=BTCUSD") as reply:
            assert (reply.status, (await reply.read())[: len(body)]) == (status, body)
            assert reply.content_type == "application/json"
            assert reply.headers["Retry-After"] == "5"
        async with session.get(f"{exchange.rest}/quote/v1/trades?symbol=BTCUSD") as reply:
            assert (reply.status, len(await reply.json())) == (200, 100)
        phases = [one["phase"] for one in ledger_lines(path) if one.get("event") == "http"]
        assert phases == ["begin", "hit", "end"]


async def test_slow_rest_takes_exchange_time(tmp_path: Path) -> None:
    faults = script_of([{"at": 0, "kind": "slow_rest", "seconds": 4}])
    async with running(tmp_path, faults, speed=10) as (exchange, session, _):
        begun = time.monotonic()
        async with session.get(f"{exchange.rest}/api/v1/ping") as reply:
            assert reply.status == 200
        assert 0.35 < time.monotonic() - begun < 2


async def test_a_restart_takes_everything_away_and_brings_it_back(tmp_path: Path) -> None:
    faults = script_of([{"after": "subscribed", "at": 0.3, "kind": "restart", "for": 0.7}])
    async with running(tmp_path, faults) as (exchange, session, path):
        line = await session.ws_connect(exchange.ws_v2)
        await subscribed(line)
        await read_to_the_end(line)
        with pytest.raises(aiohttp.ClientError):
            await session.ws_connect(exchange.ws_v2)
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"{exchange.rest}/api/v1/ping")
        await until(lambda: '"restart"' in path.read_text() and '"phase": "end"' in path.read_text())
        async with session.ws_connect(exchange.ws_v2) as again, session.get(f"{exchange.rest}/api/v1/ping") as reply:
            assert reply.status == 200
            await subscribed(again)
            await receive(again)


async def test_the_script_runs_on_the_exchanges_clock(tmp_path: Path) -> None:
    faults = script_of([{"at": 10, "kind": "mute", "for": 20}, {"at": 40, "kind": "cut"}])
    async with running(tmp_path, faults, speed=50) as (exchange, session, path):
        begun = time.monotonic()
        async with session.ws_connect(exchange.ws_v1) as line:
            await subscribed(line)
            await read_to_the_end(line)
        assert 0.6 < time.monotonic() - begun < 3
        begin, end = [one["at_ns"] for one in ledger_lines(path) if one.get("event") == "mute"]
        assert 0.3e9 < end - begin < 1.5e9


async def test_oversized_and_invalid_frames_reach_a_real_client(tmp_path: Path) -> None:
    faults = script_of(
        [
            {"after": "subscribed", "at": 0.2, "kind": "oversized", "bytes": 20 << 20},
            {"after": "subscribed", "at": 0.6, "kind": "garbage", "shape": "invalid_utf8"},
        ]
    )
    async with running(tmp_path, faults) as (exchange, session, _):
        line = await session.ws_connect(exchange.ws_v1, max_msg_size=0)
        await subscribed(line)
        messages = await read_to_the_end(line)
        sizes = [len(one.data) for one in messages if one.type is aiohttp.WSMsgType.TEXT]
        assert max(sizes) == 20 << 20
        assert line.close_code == 1007  # the client's verdict on what is not UTF-8


async def test_a_script_that_fails_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from recorder.exchange.fault_plan import Plan

    def broken(self: Plan) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(Plan, "next_time", broken)
    with pytest.raises(RuntimeError, match="broken"):
        async with running(tmp_path, script(kind="cut")):
            await asyncio.sleep(0.05)


async def test_a_mixture_of_everything_leaves_a_venue_that_still_serves(tmp_path: Path) -> None:
    faults = random_script(5, 60, count=60, spare=["SOLUSD"], longest_seconds=3)
    async with running(tmp_path, faults, speed=30) as (exchange, session, path):
        loop = asyncio.get_running_loop()
        end = loop.time() + 2.6
        while loop.time() < end:
            try:
                async with session.ws_connect(exchange.ws_v1, max_msg_size=0) as line:
                    await subscribed(line)
                    while loop.time() < end and not line.closed:
                        await line.receive(timeout=0.3)
            except (aiohttp.ClientError, TimeoutError, OSError):
                await asyncio.sleep(0.02)
        assert exchange.havoc is not None and not exchange.havoc.done()
        assert not exchange.pace.done()
        async with asyncio.timeout(PATIENCE_SECONDS), session.get(f"{exchange.rest}/api/v1/ping") as reply:
            assert reply.status == 200
    lines = ledger_lines(path)  # every line is JSON
    planned = {one["fault"] for one in lines if one.get("event") == "planned"}
    assert planned == set(range(1, 61))
    happened = {one["fault"] for one in lines if "fault" in one and one["event"] not in ("planned", "withheld")}
    assert happened == planned
