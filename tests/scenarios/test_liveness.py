"""Streams that die under a healthy socket, lines that are cut and replaced; the venue's time runs fast.

`PACE` seconds of the exchange and of capture's rules pass in one of ours. Faults are made at the exchange's
own registry and sockets, and what it put on the sockets is held against the journal.
"""

import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from recorder.capture import session
from recorder.capture.clock import LEAST_MARGIN_NS
from recorder.capture.tempo import Options as Timing
from recorder.capture.tempo import Tempo
from recorder.exchange.app import Exchange, Options, serve
from recorder.exchange.connection import Connection
from recorder.exchange.registry import Key, Registry, Subscription
from recorder.journal.format import Kind
from tests.capture.test_run import SYMBOLS, Running, events, recording, records, settings

pytestmark = pytest.mark.slow
PACE = 10.0
SECOND = 1_000_000_000
BUSY, OTHER = SYMBOLS


@dataclass
class Market:
    """The exchange, what may be done to it, and what it has sent."""

    exchange: Exchange
    ledger: Path
    deaf: set[tuple[Connection, Key]] = field(default_factory=set)  # where a subscription is acknowledged and void

    def lines(self, api: str) -> list[Connection]:
        return [one for one in self.exchange.server._connections if one.api == api]

    def registry(self, api: str) -> Registry:
        return self.exchange.hub.v1_clients if api == "v1" else self.exchange.hub.v2_clients

    def mute(self, api: str, *keys: Key, for_good: bool = False) -> None:
        """These streams say nothing more on the present connections, until they are subscribed again or for good."""
        for connection in self.lines(api):
            for key in keys:
                self.registry(api).remove(connection, key)
                if for_good:
                    self.deaf.add((connection, key))

    def keys(self, api: str) -> list[Key]:
        return [key for streams in self.registry(api)._topics.values() for key in streams]

    def cut(self, api: str) -> None:
        for connection in self.lines(api):
            connection.cut("test")

    def trades(self) -> dict[str, set[int]]:
        """Ids by symbol of all trades that were sent, by whichever line."""
        found: dict[str, set[int]] = {}
        for line in self.ledger.read_bytes().splitlines():
            entry = json.loads(line)
            _collect(entry.get("frame", {}), found)
        return found


def _collect(frame: Any, found: dict[str, set[int]]) -> None:
    if isinstance(frame, dict) and frame.get("topic") == "trade" and "data" in frame:
        symbol = frame.get("symbol") or frame["params"]["symbol"]
        rows = frame["data"] if isinstance(frame["data"], list) else [frame["data"]]
        found.setdefault(symbol, set()).update(int(row["v"]) for row in rows)


def kept_trades(folder: Path) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for record in records(folder):
        if record.kind == Kind.TEXT:
            _collect(json.loads(record.payload), found)
    return found


@asynccontextmanager
async def market(folder: Path, rate: float = 3.0, speed: float = PACE) -> AsyncIterator[Market]:
    ledger = folder / "ledger.ndjson"
    async with serve(Options(symbols=SYMBOLS, rate=rate, speed=speed, ledger=ledger)) as exchange:
        made = Market(exchange, ledger)
        for registry in (exchange.hub.v1_clients, exchange.hub.v2_clients):
            _guard(registry, made)
        yield made


def _guard(registry: Registry, made: Market) -> None:
    add = registry.add

    def guarded(subscription: Subscription) -> bool:
        return False if (subscription.connection, subscription.key) in made.deaf else add(subscription)

    registry.add = guarded  # type: ignore[method-assign]


def gaps(folder: Path, channel: str, symbol: str | None = None) -> list[dict[str, Any]]:
    """The last word on each gap."""
    found = {
        (gap["channel"], gap["symbol"], gap["from_ns"]): gap
        for gap in events(folder, "gap", channel=channel)
        if symbol in (None, gap["symbol"])
    }
    return list(found.values())


def all_live(run: Running) -> bool:
    return run.state.live == 5 * len(SYMBOLS)


async def settle(run: Running) -> None:
    """Until every stream has spoken a few times."""
    await run.until(all_live)
    lines = run.state.lines.values()
    await run.until(lambda _: all(t.frames >= 5 for line in lines for t in line.topics.values()), 30)


async def until_spoken(run: Running, channel: str, symbol: str, more: int = 5) -> None:
    def frames() -> int:
        return sum(
            t.frames for line in run.state.lines.values() for t in line.topics.values() if _is(t, channel, symbol)
        )

    target = frames() + more
    await run.until(lambda _: frames() >= target, 30)


def _is(topic: Any, channel: str, symbol: str) -> bool:
    return bool(topic.channel == channel and topic.symbol == symbol)


@pytest.mark.parametrize(
    ("api", "key", "channel"),
    [
        ("v2", Key("depth", BUSY), "depth"),
        ("v2", Key("bbo", BUSY), "bbo"),
        ("v1", Key("kline", BUSY, "1m"), "kline"),
        ("v1", Key("realtimes", BUSY), "ticker"),
    ],
    ids=lambda value: value.topic if isinstance(value, Key) else "",
)
async def test_a_muted_stream_is_found_in_time_subscribed_anew_and_leaves_a_gap_until_it_speaks(
    tmp_path: Path, api: str, key: Key, channel: str
) -> None:
    async with market(tmp_path) as venue, recording(settings(venue.exchange, tmp_path), Timing(Tempo(PACE))) as run:
        await settle(run)
        venue.mute(api, key)
        muted_ns = max(t.last_ns for line in run.state.lines.values() for t in line.topics.values())
        await run.until_event("gap", channel=channel, symbol=BUSY, seconds=30)
        await until_spoken(run, channel, BUSY)
        assert all_live(run)
    (suspect, *_) = events(tmp_path, "suspect", channel=channel)
    assert suspect["symbol"] == BUSY
    assert events(tmp_path, "resubscribe", channel=channel, symbol=BUSY)
    assert events(tmp_path, "reconnect") == []
    (gap,) = gaps(tmp_path, channel)
    assert (gap["reason"], gap["symbol"], gap["healed"]) == ("stale", BUSY, False)
    assert gap["from_ns"] <= muted_ns
    assert (gap["to_ns"] - gap["from_ns"]) * PACE <= 62 * SECOND
    assert [other for name in ("depth", "bbo", "kline", "ticker") for other in gaps(tmp_path, name, OTHER)] == []


async def test_a_muted_trade_stream_on_one_line_costs_nothing_since_the_other_brings_them(tmp_path: Path) -> None:
    async with market(tmp_path) as venue, recording(settings(venue.exchange, tmp_path), Timing(Tempo(PACE))) as run:
        await settle(run)
        venue.mute("v2", Key("trade", BUSY))
        await run.until_event("resubscribe", channel="trade", symbol=BUSY, seconds=30)
        await until_spoken(run, "trade", BUSY)
    assert gaps(tmp_path, "trade") == []
    missing = {s: ids - kept_trades(tmp_path).get(s, set()) for s, ids in venue.trades().items()}
    assert not any(len(ids) > 2 for ids in missing.values()), "those in flight when it was stopped"


async def test_a_stream_that_stays_dead_gets_a_new_connection_and_no_other_stream_a_gap(tmp_path: Path) -> None:
    async with market(tmp_path) as venue, recording(settings(venue.exchange, tmp_path), Timing(Tempo(PACE))) as run:
        await settle(run)
        venue.mute("v2", Key("depth", BUSY), for_good=True)
        await run.until_event("reconnect", reason="stale", seconds=40)
        await run.until_event("gap", channel="depth", symbol=BUSY, seconds=60)
        await until_spoken(run, "depth", BUSY)
    assert len(gaps(tmp_path, "depth", BUSY)) == 1
    assert [gap for channel in ("trade", "bbo", "kline", "ticker") for gap in gaps(tmp_path, channel)] == []
    assert gaps(tmp_path, "depth", OTHER) == []
    assert events(tmp_path, "disconnect", reason="replaced")


async def test_a_line_that_brings_nothing_but_pongs_is_replaced_and_all_its_streams_have_a_gap(tmp_path: Path) -> None:
    async with market(tmp_path) as venue, recording(settings(venue.exchange, tmp_path), Timing(Tempo(PACE))) as run:
        await settle(run)
        venue.mute("v2", *venue.keys("v2"), for_good=True)
        await run.until_event("disconnect", reason="replaced", seconds=30)
        await run.until_event("gap", 2 * len(SYMBOLS), reason="stale", seconds=30)
    for gap in (*gaps(tmp_path, "depth"), *gaps(tmp_path, "bbo")):
        assert gap["reason"] == "stale"
        assert (gap["to_ns"] - gap["from_ns"]) * PACE <= 30 * SECOND
    assert [gap for channel in ("trade", "kline", "ticker") for gap in gaps(tmp_path, channel)] == []


async def test_an_acknowledged_symbol_that_is_dead_everywhere_is_left_in_peace(tmp_path: Path) -> None:
    async with market(tmp_path) as venue, recording(settings(venue.exchange, tmp_path), Timing(Tempo(PACE))) as run:
        await settle(run)
        venue.exchange.hub.delist(OTHER)
        looks = run.state.looks
        await run.until(lambda run: run.state.looks >= looks + 4, 30)
        await until_spoken(run, "depth", BUSY, 100)
    assert events(tmp_path, "suspect", symbol=OTHER) == []
    assert events(tmp_path, "resubscribe", symbol=OTHER) == []
    assert events(tmp_path, "reconnect") == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut again and again, a line would wait ever longer before it comes back."""
    monkeypatch.setattr(session, "LAST_DELAY", 1.0)


@pytest.mark.usefixtures("impatient")
async def test_one_of_two_trade_lines_cut_a_hundred_times_costs_no_trade_and_no_gap(tmp_path: Path) -> None:
    async with (
        market(tmp_path, rate=5) as venue,
        recording(settings(venue.exchange, tmp_path), Timing(Tempo(PACE))) as run,
    ):
        await run.until(all_live)
        for number in range(100):
            api = "v2" if number < 50 else "v1"
            if number == 50:
                await certain(run)  # the other line is next
            line = run.state.lines[2 if api == "v2" else 1]
            conn = line.conn
            venue.cut(api)
            await run.until(lambda _, line=line, conn=conn: line.conn != conn and _is_whole(line))  # type: ignore[misc]
        await until_spoken(run, "trade", BUSY)
        sent = venue.trades()  # before we stop: what is on its way then does not count
        await until_spoken(run, "trade", OTHER, 3)
    assert gaps(tmp_path, "trade") == []
    kept = kept_trades(tmp_path)
    assert {symbol: ids - kept[symbol] for symbol, ids in sent.items()} == {symbol: set() for symbol in SYMBOLS}
    assert len(events(tmp_path, "disconnect", reason="disconnect")) >= 100


async def certain(run: Running) -> None:
    """Until every line has been heard for longer than the margin before the end of a line."""
    await run.until(lambda run: all(_is_whole(line) for line in run.state.lines.values()), 30)
    later_ns = time.time_ns() + LEAST_MARGIN_NS + 50_000_000
    await run.until(lambda run: all(line.last_ns > later_ns for line in run.state.lines.values()), 30)


def _is_whole(line: Any) -> bool:
    return line.connected and all(topic.is_proved for topic in line.topics.values())


@pytest.mark.usefixtures("impatient")
async def test_when_both_lines_are_cut_the_history_heals_the_trades_and_nothing_else(tmp_path: Path) -> None:
    async with (
        market(tmp_path, rate=5) as venue,
        recording(settings(venue.exchange, tmp_path), Timing(Tempo(PACE))) as run,
    ):
        await settle(run)
        for _ in range(5):
            lives = len(events(tmp_path, "live", channel="trade"))
            venue.cut("v1")
            venue.cut("v2")
            await run.until_event("live", lives + 2 * len(SYMBOLS), channel="trade", seconds=30)
            await certain(run)
        sent = venue.trades()
        await until_spoken(run, "trade", OTHER, 3)
    found = gaps(tmp_path, "trade")
    assert len(found) >= 2
    assert all(gap["healed"] for gap in found)
    assert not any(gap["healed"] for channel in ("depth", "bbo") for gap in gaps(tmp_path, channel))
    kept = kept_trades(tmp_path)
    assert {symbol: ids - kept[symbol] for symbol, ids in sent.items()} == {symbol: set() for symbol in SYMBOLS}


async def test_a_connection_that_is_old_is_replaced_without_a_moment_between(tmp_path: Path) -> None:
    timing = Timing(Tempo(PACE), rotate_seconds=20.0)
    async with market(tmp_path) as venue, recording(settings(venue.exchange, tmp_path), timing) as run:
        await run.until(all_live)
        await run.until_event("disconnect", 4, reason="replaced", seconds=60)
        books = _books(venue.ledger)
        await until_spoken(run, "depth", BUSY)
    assert events(tmp_path, "gap") == []
    assert {event["reason"] for event in events(tmp_path, "reconnect")} == {"age"}
    kept = _frames_of_books(json.loads(r.payload) for r in records(tmp_path) if r.kind == Kind.TEXT)
    first = {symbol: min(version for name, version in kept if name == symbol) for symbol in SYMBOLS}
    assert {book for book in books if book[1] >= first[book[0]]} - kept == set()


async def test_with_redundancy_either_of_the_two_lines_may_be_cut_and_no_book_has_a_gap(tmp_path: Path) -> None:
    async with (
        market(tmp_path) as venue,
        recording(settings(venue.exchange, tmp_path, redundancy=2), Timing(Tempo(PACE))) as run,
    ):
        await run.until(all_live)
        await certain(run)
        for number in range(10):
            line = run.state.lines[2 if number % 2 else 3]
            cut, conn = venue.lines("v2"), line.conn
            streams = {"depth", "bbo", "trade"} if number % 2 else {"depth", "bbo"}
            _connection_of(venue, cut, streams).cut("test")
            await run.until(lambda _, line=line, conn=conn: line.conn != conn)  # type: ignore[misc]
            await certain(run)
        books = _books(venue.ledger)
        await until_spoken(run, "depth", BUSY)
    assert [gap for channel in ("depth", "bbo") for gap in gaps(tmp_path, channel)] == []
    kept = _frames_of_books(json.loads(r.payload) for r in records(tmp_path) if r.kind == Kind.TEXT)
    assert books - kept == set()


def _connection_of(venue: Market, among: list[Connection], streams: set[str]) -> Connection:
    """The one that has subscribed to exactly these topics."""
    topics = venue.registry("v2")._topics
    return next(
        one
        for one in among
        if streams == {topic for topic, keys in topics.items() if any(one in subs for subs in keys.values())}
    )


def _books(ledger: Path) -> set[tuple[str, int]]:
    return _frames_of_books(json.loads(line).get("frame") for line in ledger.read_bytes().splitlines())


def _frames_of_books(frames: Iterable[Any]) -> set[tuple[str, int]]:
    return {
        (frame["params"]["symbol"], int(frame["data"]["v"].split("_")[0]))
        for frame in frames
        if isinstance(frame, dict) and frame.get("topic") == "depth" and "data" in frame
    }
