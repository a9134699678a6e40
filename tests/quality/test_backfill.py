"""One run of backfill, against a venue that says what we want, on lakes that are known row by row."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from recorder.capture import rest as capture_rest
from recorder.config import Data, Record, Settings, Venue
from recorder.errors import BusyError
from recorder.journal.lock import Lock
from recorder.lake.reader import open_lake
from recorder.quality import backfill as module
from recorder.quality import backfill_ask
from recorder.quality.backfill import KLINES, TRADES, Backfill, Report, run
from recorder.quality.reconcile import TOO_MANY
from tests.lake.helpers import START_NS, Row, candle, clock, empty_lake, event, gap, ns, trade, write

MINUTE_MS = 60_000
START_MS = START_NS // 1_000_000
Answer = Callable[[dict[str, str]], Any]


@dataclass
class Market:
    """What the venue answers by path, and what it was asked."""

    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.asked.append((request.path, query))
        found = self.answers[request.path](query)
        if isinstance(found, web.Response):
            return found
        return web.json_response(found)

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


@asynccontextmanager
async def serving(**answers: Answer) -> AsyncIterator[Market]:
    market = Market({KLINES: lambda _: [], TRADES: lambda _: []})
    market.answers |= {{"klines": KLINES, "trades": TRADES}[name]: answer for name, answer in answers.items()}
    app = web.Application()
    app.router.add_get("/{path:.*}", market.answer)
    async with TestServer(app) as server:
        market.url = str(server.make_url("")).rstrip("/")
        yield market


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = empty_lake(tmp_path / "data")
    for folder in ("journal", "closed"):
        (root / folder).mkdir()
    return root


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INTERVAL_SECONDS", 0.0)


async def go(
    root: Path, market: Market, seconds: float, streams: tuple[str, ...] = ("trade", "kline"), **more: Any
) -> Report:
    """A run at so many seconds after START."""
    record = Record.model_validate({"symbols": ["BTCUSD"], "streams": streams, "kline_intervals": ["1m"]})
    settings = Settings(venue=Venue(rest_url=market.url), record=record, data=Data(dir=root, recorder="alpha"))
    return await run(settings, now=lambda: ns(seconds), **more)


def story(*, gaps: list[Row], end: float = 300) -> dict[str, list[Row]]:
    """A recorder that lives from 0 to `end`, with V1 reconnected at the end of each gap."""
    session = [event(1, 0, "start"), event(2, 0.5, "connect", detail={"conn": 1, "line": 1})]
    session += [event(3 + k, 1, "live", channel, detail={"conn": 1}) for k, channel in enumerate(("trade", "kline"))]
    seq = 100
    for row in gaps:
        back = row["to_ns"] / 1e9 - START_NS / 1e9
        session.append(event(seq, back, "connect", detail={"conn": seq, "line": 1}))
        session.append(event(seq + 1, back, "live", row["channel"], detail={"conn": seq}))
        row["seq"], row["receive_ns"] = seq + 2, row["to_ns"]
        seq += 10
    return {"session": [*session, event(9000, end, "note")], "gap": gaps, "clock": [clock(8000, end - 1)]}


def record(root: Path, tables: dict[str, list[Row]]) -> None:
    for name, rows in tables.items():
        if rows:
            write(root, name, rows)


def query(root: Path, text: str) -> list[tuple[Any, ...]]:
    return open_lake(root).sql(text).fetchall()


def status(root: Path, channel: str) -> list[tuple[float, float, str]]:
    rows = query(
        root,
        f"SELECT epoch_ns(from_time), epoch_ns(to_time), status FROM coverage WHERE channel = '{channel}' "
        "ORDER BY from_time",
    )
    return [((low - START_NS) / 1e9, (high - START_NS) / 1e9, word) for low, high, word in rows]


def rest_trade(seconds: float, price: str) -> dict[str, Any]:
    return {"t": START_MS + round(seconds * 1000), "p": price, "q": "1", "ibm": False}


def rest_candle(minute: int, price: str = "5") -> list[Any]:
    return [START_MS + minute * MINUTE_MS, *[price] * 4, "1", 0, price, 1, "1", price]


def candles_of(query: dict[str, str]) -> list[list[Any]]:
    """A venue that does not care for the range: the running candle and one too early come with it."""
    first = (int(query["startTime"]) - START_MS) // MINUTE_MS
    last = (int(query["endTime"]) - START_MS) // MINUTE_MS
    return [rest_candle(minute) for minute in range(first - 1, last + 2)]


HEARD = [trade(20, 5, "10"), trade(21, 95, "11"), trade(22, 205, "14"), trade(23, 206, "15")]
MARKET = [rest_trade(s, p) for s, p in ((5, "10"), (95, "11"), (120, "12"), (130, "12"), (205, "14"), (206, "15"))]


async def test_lost_trades_are_stored_without_id_and_the_gap_is_healed(root: Path) -> None:
    record(root, story(gaps=[gap(0, 0, "trade", 100, 200, "disconnect")]) | {"trade": HEARD})
    async with serving(trades=lambda _: MARKET) as market:
        report = await go(root, market, 300, streams=("trade",))
        assert [one.from_ns for one in report.healed] == [ns(100)]
        assert status(root, "trade") == [(1, 100, "ok"), (100, 200, "healed"), (200, 300, "ok")]
        stored = (
            "SELECT epoch_ms(exchange_time), price::INT, trade_id, source FROM trade WHERE source = 'rest' ORDER BY 1"
        )
        expected = [(START_MS + 120_000, 12, None, "rest"), (START_MS + 130_000, 12, None, "rest")]
        assert query(root, stored) == expected
        again = await go(root, market, 310, streams=("trade",))
    assert (again.requests, again.rows, again.healed) == (0, 0, [])
    assert query(root, stored) == expected


async def test_a_run_that_dies_before_it_could_say_healed_costs_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(root, story(gaps=[gap(0, 0, "trade", 100, 200, "disconnect")]) | {"trade": HEARD})

    async def die(_: Backfill) -> None:
        raise RuntimeError("power")

    async with serving(trades=lambda _: MARKET) as market:
        with monkeypatch.context() as patch:
            patch.setattr(Backfill, "_publish", die)
            with pytest.raises(RuntimeError, match="power"):
                await go(root, market, 300, streams=("trade",))
        assert query(root, "SELECT count(*) FROM trade") == [(6,)]
        report = await go(root, market, 310, streams=("trade",))
    assert len(report.healed) == 1
    assert query(root, "SELECT count(*) FROM trade") == [(6,)]


async def test_a_gap_that_the_venue_no_longer_reaches_back_to_is_left_open_with_the_reason_and_not_tried_again(
    root: Path,
) -> None:
    record(root, story(gaps=[gap(0, 0, "trade", 100, 200, "disconnect")]) | {"trade": HEARD})
    async with serving(trades=lambda _: MARKET[3:]) as market:
        report = await go(root, market, 300, streams=("trade",))
        assert [(one.detail, one.is_final) for one in report.left] == [(TOO_MANY, True)]
        told = "SELECT channel, symbol, detail ->> 'detail' FROM session WHERE event = 'backfill'"
        assert query(root, told) == [("trade", "BTCUSD", TOO_MANY)]
        assert query(root, "SELECT count(*) FROM trade WHERE source = 'rest'") == [(1,)], "what there is, is taken"
        assert status(root, "trade")[1] == (100, 200, "gap")
        assert (await go(root, market, 310, streams=("trade",))).requests == 0
        asked_for = await go(root, market, 320, streams=("trade",), start="2026-03-01T12:01:00Z")
        assert asked_for.requests == 1, "a person may try again"
    assert query(root, told) == [("trade", "BTCUSD", TOO_MANY)]


async def test_trades_wait_for_the_history_that_v1_sends(root: Path) -> None:
    tables = story(gaps=[gap(0, 0, "trade", 100, 200, "disconnect")]) | {"trade": HEARD}
    for row in tables["session"]:
        if row["event"] == "connect" and row["seq"] >= 100:
            row["detail"] = row["detail"].replace('"line": 1', '"line": 2')
    record(root, tables)
    async with serving(trades=lambda _: MARKET) as market:
        assert (await go(root, market, 300, streams=("trade",))).requests == 0


async def test_closed_candles_are_confirmed_and_the_running_one_is_left_alone(root: Path) -> None:
    record(root, story(gaps=[]) | {"kline": [candle(30, 30, 0, "5"), candle(31, 90, 60, "6")]})
    async with serving(klines=candles_of) as market:
        report = await go(root, market, 300)
        shown = "SELECT epoch_ms(open_time), close::INT, confirmed_by FROM kline ORDER BY 1"
        expected = [(START_MS + minute * MINUTE_MS, 5, "rest") for minute in range(4)]
        assert query(root, shown) == expected
        assert [query for _, query in market.asked] == [
            {
                "symbol": "BTCUSD",
                "interval": "1m",
                "startTime": str(START_MS),
                "endTime": str(START_MS + 4 * MINUTE_MS - 1),
                "limit": "1000",
            }
        ]
        assert report.rows == 4
        again = await go(root, market, 300)
    assert (again.requests, again.rows) == (0, 0)
    differences = query(root, "SELECT epoch_ms(open_time), field, push::INT, rest::INT FROM kline_difference")
    assert (START_MS + MINUTE_MS, "close", 6, 5) in differences


async def test_a_gap_of_candles_is_healed_once_its_last_candle_is_over(root: Path) -> None:
    record(root, story(gaps=[gap(0, 0, "kline", 90, 200, "disconnect")]) | {"kline": [candle(30, 30, 0, "5")]})
    async with serving(klines=candles_of) as market:
        assert (await go(root, market, 235)).healed == []
        assert status(root, "kline")[1] == (90, 200, "gap")
        report = await go(root, market, 250)
    assert len(report.healed) == 1
    assert status(root, "kline") == [(1, 90, "ok"), (90, 200, "healed"), (200, 300, "ok")]
    total = "SELECT count(*), count(DISTINCT open_time) FROM kline_update WHERE source = 'rest'"
    assert query(root, total) == [(4, 4)]


async def test_a_gap_that_is_older_than_the_window_is_healed_too(root: Path) -> None:
    days = 5 * 86_400
    record(root, story(gaps=[gap(0, 0, "kline", 90, 200, "machine down")], end=days))
    async with serving(klines=candles_of) as market:
        report = await go(root, market, days)
    assert len(report.healed) == 1
    ranges = [(int(q["startTime"]) - START_MS, int(q["endTime"]) - START_MS) for _, q in market.asked]
    assert (MINUTE_MS, 4 * MINUTE_MS - 1) in ranges
    assert max(high - low for low, high in ranges) < 1000 * MINUTE_MS


async def test_candles_that_the_venue_does_not_give_leave_the_gap_open(root: Path) -> None:
    record(root, story(gaps=[gap(0, 0, "kline", 90, 200, "disconnect")]) | {"kline": [candle(30, 30, 0, "5")]})
    async with serving(klines=lambda q: candles_of(q)[3:]) as market:
        report = await go(root, market, 300)
        assert (report.healed, [one.is_final for one in report.left]) == ([], [False])
        await go(root, market, 301)
    assert query(root, "SELECT count(*) FROM session WHERE event = 'backfill'") == [(1,)], "it is said once"


async def test_a_gap_of_books_is_not_touched(root: Path) -> None:
    tables = story(gaps=[gap(0, 0, "depth", 100, 200, "disconnect")])
    record(root, tables)
    async with serving() as market:
        report = await go(root, market, 300, streams=("depth",))
    assert (report.requests, report.healed, report.left) == (0, [], [])


async def test_what_backfill_says_is_no_sign_of_life_of_the_recorder(root: Path) -> None:
    record(root, story(gaps=[gap(0, 0, "trade", 100, 200, "x"), gap(0, 0, "kline", 90, 200, "x")]) | {"trade": HEARD})
    async with serving(trades=lambda _: MARKET[3:], klines=candles_of) as market:
        report = await go(root, market, 5000)
    assert report.rows > 0
    assert status(root, "trade")[-1] == (200, 300, "ok")
    assert status(root, "kline")[-1] == (200, 300, "ok")


async def test_a_block_ends_the_run_and_the_next_one_waits_until_it_is_over(root: Path) -> None:
    record(root, story(gaps=[]))
    async with serving(klines=lambda _: web.Response(status=418)) as market:
        first = await go(root, market, 300)
        assert (first.requests, "silence" in first.unfinished) == (1, True)
        second = await go(root, market, 400)
        assert (second.requests, "silence" in second.unfinished) == (0, True)
        market.answers[KLINES] = candles_of
        third = await go(root, market, 1000)
    assert (third.requests, third.unfinished) == (1, "")


async def test_after_one_429_it_waits_and_after_two_it_ends(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_rest, "AFTER_429", 0.2)
    monkeypatch.setattr(backfill_ask, "INTERVAL_SECONDS", 0.0)
    record(root, story(gaps=[]))
    statuses = iter([429])
    async with serving(
        klines=lambda q: web.Response(status=s) if (s := next(statuses, 0)) else candles_of(q)
    ) as market:
        assert (await go(root, market, 300)).unfinished == ""
        assert len(market.asked) == 2
        market.answers[KLINES] = lambda _: web.Response(status=429)
        report = await go(root, market, 400)
    assert (report.requests, report.unfinished) == (2, "the venue asked for silence twice")


async def test_a_venue_that_does_not_answer_is_left_alone(root: Path) -> None:
    tables = story(gaps=[])
    lives = [event(500 + k, 1, "live", "kline", symbol=f"S{k}USD") for k in range(6)]
    tables["session"] = sorted([*tables["session"], *lives], key=lambda row: int(row["seq"]))
    record(root, tables)
    async with serving(klines=lambda _: web.Response(status=502)) as market:
        report = await go(root, market, 300)
    assert (report.requests, report.unfinished) == (6, "the venue does not answer")


async def test_what_is_refused_does_not_keep_others_from_being_asked(root: Path) -> None:
    tables = story(gaps=[])
    tables["session"].insert(-1, event(500, 1, "live", "kline", symbol="GONEUSD"))
    record(root, tables)
    refusal = web.json_response

    def klines(query: dict[str, str]) -> Any:
        gone = query["symbol"] == "GONEUSD"
        return refusal({"code": -100011, "msg": "Not supported symbols"}, status=400) if gone else candles_of(query)

    async with serving(klines=klines) as market:
        report = await go(root, market, 300)
    assert (report.requests, report.unfinished) == (2, "")
    assert query(root, "SELECT DISTINCT symbol FROM kline WHERE is_final") == [("BTCUSD",)]


async def test_no_time_left_is_no_request(root: Path) -> None:
    record(root, story(gaps=[]))
    async with serving(klines=candles_of) as market:
        report = await go(root, market, 300, max_seconds=0)
    assert (report.requests, market.asked) == (0, [])
    assert "time" in report.unfinished


async def test_only_one_at_a_time(root: Path) -> None:
    folder = root / "journal" / "alpha-backfill"
    folder.mkdir()
    with Lock(folder / "LOCK"):
        async with serving() as market:
            with pytest.raises(BusyError):
                await go(root, market, 300)


async def test_its_journal_is_left_with_one_segment_that_says_where_to_go_on(root: Path) -> None:
    record(root, story(gaps=[]))
    folder = root / "journal" / "alpha-backfill"
    seqs = []
    async with serving(klines=candles_of) as market:
        for seconds in (300, 400, 500):
            await go(root, market, seconds)
            (left,) = folder.glob("*.jrn")
            seqs.append(int(left.stem))
    assert seqs == sorted(set(seqs))


async def test_garbage_is_kept_aside_and_heals_nothing(root: Path) -> None:
    record(root, story(gaps=[gap(0, 0, "trade", 100, 200, "x"), gap(0, 0, "kline", 90, 200, "x")]) | {"trade": HEARD})
    garbage = web.Response

    async with serving(
        trades=lambda _: garbage(body=b"<html>", content_type="application/json"),
        klines=lambda _: garbage(body=b"", content_type="application/json"),
    ) as market:
        report = await go(root, market, 300)
    assert report.healed == []
    assert query(root, "SELECT DISTINCT channel FROM quarantine") == [("kline",)]
