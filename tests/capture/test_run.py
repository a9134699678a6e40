"""Capture as a whole, against the simulated exchange and against networks that break."""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from recorder.capture import rest, session
from recorder.capture import run as run_module
from recorder.capture.run import capture
from recorder.capture.state import CaptureState
from recorder.capture.tempo import Options as Timing
from recorder.config import Settings
from recorder.errors import BusyError, LakeError, VenueError
from recorder.exchange.app import Exchange, Options, serve
from recorder.exchange.faults import script_of
from recorder.journal.format import Kind, Record
from recorder.journal.reader import closed_segments, read_segment, segments
from tests.capture.servers import Proxy

SYMBOLS = ("BTCUSD", "ETHUSD")
STREAMS = ["trade", "depth", "kline", "bbo", "ticker"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "FIRST_DELAY", 0.05)
    monkeypatch.setattr(rest, "FIRST_DELAY", 0.05)


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    async with serve(Options(symbols=SYMBOLS, rate=3)) as running:
        yield running


def settings(exchange: Exchange, folder: Path, v2_port: int | None = None, **record: Any) -> Settings:
    ws_v2 = exchange.ws_v2
    if v2_port is not None:
        ws_v2 = f"ws://127.0.0.1:{v2_port}{urlsplit(ws_v2).path}"
    return Settings.model_validate(
        {
            "venue": {"rest_url": exchange.rest, "ws_v1_url": exchange.ws_v1, "ws_v2_url": ws_v2},
            "record": {"symbols": ["*"], "streams": STREAMS, **record},
            "data": {"dir": str(folder)},
            "journal": {"segment_seconds": 0.5},
        }
    )


class Running:
    def __init__(self, state: CaptureState, task: "asyncio.Task[None]", stop: asyncio.Event, folder: Path) -> None:
        self.state, self.task, self.stop, self.folder = state, task, stop, folder

    async def until(self, condition: Callable[["Running"], bool], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not condition(self):
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.02)

    async def until_event(self, name: str, count: int = 1, seconds: float = 10, **fields: Any) -> None:
        await self.until(lambda run: len(events(run.folder, name, **fields)) >= count, seconds)


@asynccontextmanager
async def recording(config: Settings, options: Timing | None = None) -> AsyncIterator[Running]:
    """A capture that runs; it is told to stop at the end."""
    started: asyncio.Queue[CaptureState] = asyncio.Queue()
    stop = asyncio.Event()
    task = asyncio.create_task(capture(config, stop, on_started=started.put_nowait, options=options))
    getting = asyncio.create_task(started.get())
    await asyncio.wait({task, getting}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        getting.cancel()
        task.result()
    run = Running(getting.result(), task, stop, config.data.dir)
    try:
        yield run
    finally:
        stop.set()
        if not task.cancelled():
            await asyncio.wait({task})


def records(folder: Path, only_closed: bool = False) -> list[Record]:
    listed = (closed_segments if only_closed else segments)(folder / "journal" / "main")
    return [record for path in listed for record in read_segment(path)]


def events(folder: Path, name: str = "", **fields: Any) -> list[dict[str, Any]]:
    found = [json.loads(record.payload) for record in records(folder) if record.kind == Kind.EVENT]
    return [
        event
        for event in found
        if (not name or event["event"] == name) and all(event.get(key) == value for key, value in fields.items())
    ]


async def test_every_stream_becomes_live_and_stopping_leaves_all_in_closed_segments(
    exchange: Exchange, tmp_path: Path
) -> None:
    async with recording(settings(exchange, tmp_path)) as run:
        await run.until_event("live", 6 * len(SYMBOLS))
        await run.until(lambda run: run.state.lines[2].frames > 20)
        assert (run.state.unknown_frames, run.state.faults, run.state.journal_state) == (0, 0, "ok")
    everything = records(tmp_path)
    assert [r.seq for r in everything] == list(range(1, len(everything) + 1))
    assert [json.loads(r.payload)["event"] for r in everything[len(records(tmp_path, only_closed=True)) :]] == [
        "segment"
    ]
    assert [e["event"] for e in events(tmp_path)][:2] == ["segment", "start"]
    assert Counter(e["reason"] for e in events(tmp_path, "lost")) == {"stopped": 5 * len(SYMBOLS)}
    assert events(tmp_path, "stop")[0]["reason"] == "stopped"
    kinds = {(r.kind, r.line) for r in everything}
    assert kinds == {(0, 1), (0, 2), (2, 0), (3, 3), (4, 1), (4, 2)}
    assert len(events(tmp_path, "clock")) >= 2


async def test_a_cancelled_capture_writes_everything_before_it_ends(exchange: Exchange, tmp_path: Path) -> None:
    async with recording(settings(exchange, tmp_path)) as run:
        await run.until(lambda run: run.state.lines[2].frames > 5)
        run.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run.task
    assert len(events(tmp_path, "stop")) == 1
    assert len(events(tmp_path, "disconnect", reason="stopped")) == 2
    assert records(tmp_path, only_closed=True)[-1].kind == Kind.EVENT


async def test_symbols_that_come_and_go_are_followed_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "REFRESH_SECONDS", 0.5)
    script = script_of(
        [{"at": 2, "kind": "list", "symbol": "SOLUSD"}, {"at": 4, "kind": "delist", "symbol": SYMBOLS[1]}]
    )
    async with (
        serve(Options(symbols=SYMBOLS, rate=10, faults=script)) as exchange,
        recording(settings(exchange, tmp_path)) as run,
    ):
        await run.until_event("live", symbol="SOLUSD", channel="ticker")
        await run.until_event("unsubscribe", len(STREAMS), symbol=SYMBOLS[1])
        assert run.state.symbols == (SYMBOLS[0], "SOLUSD")
    assert {event["channel"] for event in events(tmp_path, "live", symbol="SOLUSD")} == set(STREAMS)


async def test_a_step_of_our_wall_clock_is_told(
    exchange: Exchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, step = time.time_ns, 0
    monkeypatch.setattr(run_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(time, "time_ns", lambda: real() + step)
    async with recording(settings(exchange, tmp_path)) as run:
        await run.until(lambda run: run.state.live > 0)
        step = -3_000_000_000
        await run.until_event("clock_step")
    (told,) = events(tmp_path, "clock_step")
    assert told["step_ns"] == pytest.approx(step, abs=500_000_000)


async def test_the_next_run_ends_the_gaps_of_the_stop_and_goes_on_counting(exchange: Exchange, tmp_path: Path) -> None:
    for _ in range(2):
        async with recording(settings(exchange, tmp_path)) as run:
            await run.until(lambda run: run.state.live == 5 * len(SYMBOLS))
    gaps = list({(gap["channel"], gap["symbol"]): gap for gap in events(tmp_path, "gap")}.values())
    assert Counter(gap["reason"] for gap in gaps) == {"stopped": 5 * len(SYMBOLS)}
    (first_stop, _) = events(tmp_path, "stop")
    assert first_stop["session"] != gaps[0]["session"]
    assert all(0 < gap["to_ns"] - gap["from_ns"] < 10e9 for gap in gaps)
    seqs = [r.seq for r in records(tmp_path)]
    assert seqs == list(range(1, len(seqs) + 1))


REST_IS_DOWN = """
[[fault]]
at = 0
kind = "http"
answer = 503
for = 600
"""


async def test_a_restart_records_what_the_last_run_did_although_rest_is_down(
    exchange: Exchange, tmp_path: Path
) -> None:
    """With ["*"], and without waiting for exchangeInfo; when it comes, what is no longer listed is let go."""
    (tmp_path / "faults.toml").write_text(REST_IS_DOWN)
    async with recording(settings(exchange, tmp_path)) as run:
        await run.until(lambda run: run.state.live == 5 * len(SYMBOLS))
    async with serve(Options(symbols=SYMBOLS, faults=tmp_path / "faults.toml")) as broken:
        config = settings(exchange, tmp_path)
        down = config.model_copy(update={"venue": config.venue.model_copy(update={"rest_url": broken.rest})})
        async with recording(down) as run:
            await run.until(lambda run: run.state.live == 5 * len(SYMBOLS) and run.state.rest_ok is False)
            trades_before = len(trade_pushes(tmp_path))
            await run.until(lambda run: len(trade_pushes(run.folder)) > trades_before)
            assert sorted(run.state.symbols) == sorted(SYMBOLS)
    exchange.hub.delist(SYMBOLS[1])
    async with recording(settings(exchange, tmp_path)) as run:
        await run.until_event("unsubscribe", 5, symbol=SYMBOLS[1])
        assert run.state.symbols == SYMBOLS[:1]


def trade_pushes(folder: Path) -> list[Record]:
    return [r for r in records(folder) if r.kind == Kind.TEXT and b'"topic":"trade"' in r.payload.replace(b" ", b"")]


async def test_a_cut_line_is_a_gap_of_what_only_it_brings_and_trades_go_on_by_the_other(
    exchange: Exchange, tmp_path: Path
) -> None:
    async with (
        Proxy(urlsplit(exchange.ws_v2).port or 0).running() as proxy,
        recording(settings(exchange, tmp_path, proxy.port)) as run,
    ):
        symbols = len(SYMBOLS)
        await run.until_event("live", 6 * symbols)
        proxy.cut()
        await run.until_event("gap", 2 * symbols)
    assert events(tmp_path, "disconnect")[0]["reason"] == "disconnect"
    assert {event["channel"] for event in events(tmp_path, "lost", reason="disconnect")} == {"depth", "bbo"}
    for gap in events(tmp_path, "gap"):
        frames = [r for r in records(tmp_path) if r.line == 2 and r.kind == 0]
        inside = [
            r
            for r in frames
            if gap["from_ns"] + 100_000_000 < r.receive_ns < gap["to_ns"] and r.seq > gap["seq_before"]
        ]
        assert all(
            b'"msg":"Success"' in r.payload or b"pong" in r.payload or gap["symbol"].encode() not in r.payload
            for r in inside
        )
        assert gap["seq_before"] < gap["seq_after"]


async def test_a_half_open_line_is_found_out_and_its_gap_begins_before_it_fell_silent(
    exchange: Exchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(session, "PING_SECONDS", 0.3)
    async with (
        Proxy(urlsplit(exchange.ws_v2).port or 0).running() as proxy,
        recording(settings(exchange, tmp_path, proxy.port)) as run,
    ):
        await run.until_event("live", 6 * len(SYMBOLS))
        all_live_ns = time.time_ns()
        await run.until(lambda run: run.state.lines[2].last_ns > all_live_ns + 200_000_000)
        proxy.is_mute = True
        await run.until_event("lost", reason="silent")
        proxy.is_mute = False
        await run.until_event("gap", reason="silent")
    (gap, *_) = events(tmp_path, "gap", reason="silent")
    last = max(r.receive_ns for r in records(tmp_path) if r.line == 2 and r.kind == 0 and r.seq <= gap["seq_before"])
    assert 100_000_000 <= last - gap["from_ns"] <= 1_000_000_000
    assert gap["to_ns"] - last > 0.9e9


async def test_a_venue_that_cannot_be_reached_is_tried_for_ever_and_told(tmp_path: Path) -> None:
    config = Settings.model_validate(
        {
            "venue": {
                "rest_url": "http://127.0.0.1:1",
                "ws_v1_url": "ws://127.0.0.1:1/quote/ws/v1",
                "ws_v2_url": "ws://127.0.0.1:1/quote/ws/v2",
            },
            "record": {"symbols": ["BTCUSD"]},
            "data": {"dir": str(tmp_path)},
        }
    )
    async with recording(config) as run:
        await run.until_event("error", 4, line=2)
        await run.until(lambda run: run.state.rest_ok is False)
        assert not run.task.done()
    assert events(tmp_path, "gap") == events(tmp_path, "lost") == []


async def test_named_symbols_of_which_none_exists_end_the_start_with_close_names(
    exchange: Exchange, tmp_path: Path
) -> None:
    symbol = SYMBOLS[0]
    with pytest.raises(VenueError, match=rf"lists none of: {symbol}T \(close: {symbol}"):
        async with recording(settings(exchange, tmp_path, symbols=[symbol + "T"])) as run:
            await run.task
    assert events(tmp_path, "stop")[0]["reason"].startswith("error: hashkey lists none of")


async def test_one_unknown_symbol_among_others_is_an_error_event_and_the_rest_is_recorded(
    exchange: Exchange, tmp_path: Path
) -> None:
    symbol = SYMBOLS[0]
    async with recording(settings(exchange, tmp_path, symbols=[symbol, "NOPE"], streams=["bbo"])) as run:
        await run.until_event("live", symbol=symbol)
        await run.until_event("error", symbol="NOPE", detail="-100011 Parameter error!")
        await run.until_event("unsubscribe", symbol="NOPE")


async def test_a_second_recorder_on_the_same_data_is_refused(exchange: Exchange, tmp_path: Path) -> None:
    config = settings(exchange, tmp_path)
    async with recording(config) as run:
        with pytest.raises(BusyError, match=f"process {os.getpid()}"):
            await capture(config)
        assert not run.task.done()


async def test_data_that_cannot_be_written_is_refused_in_words(exchange: Exchange, tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where the folder should be")
    with pytest.raises(LakeError, match="cannot be created"):
        await capture(settings(exchange, tmp_path))


VICTIM = """
import asyncio, sys
from recorder.capture.run import capture
from recorder.config import Settings
asyncio.run(capture(Settings.model_validate_json(sys.argv[1]), on_started=lambda state: print("up", flush=True)))
"""


async def test_after_kill_9_everything_that_was_live_has_a_gap_from_the_last_sign_of_life(
    exchange: Exchange, tmp_path: Path
) -> None:
    config = settings(exchange, tmp_path)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", VICTIM, config.model_dump_json(), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(20):
            while len(events(tmp_path, "live")) < 6 * len(SYMBOLS):  # noqa: ASYNC110 -- another process writes
                await asyncio.sleep(0.05)
    finally:
        process.kill()
        await process.wait()
    last_ns = records(tmp_path)[-1].receive_ns
    async with recording(config) as run:
        await run.until_event("gap", 4 * len(SYMBOLS), healed=False)
        await run.until_event("gap", len(SYMBOLS), healed=True)
    for gap in events(tmp_path, "gap"):
        assert gap["reason"] == "process down"
        assert gap["from_ns"] < last_ns < gap["to_ns"]
    assert {gap["channel"] for gap in events(tmp_path, "gap", healed=True)} == {"trade"}
