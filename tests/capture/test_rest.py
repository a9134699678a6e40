"""HTTP: the pace is kept, the venue's wish for silence is obeyed, and every answer is in the journal."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from recorder.capture import rest as module
from recorder.capture.rest import Pace, Rest, pause_after
from recorder.errors import VenueError
from recorder.journal.format import Kind, Line
from recorder.journal.reader import read_segment, segments
from recorder.journal.writer import Journal

Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def asking(handler: Handler, folder: Path) -> AsyncIterator[Rest]:
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    async with TestServer(app) as server:
        journal = Journal(folder, 1, lambda: b"{}")
        try:
            async with Rest(str(server.make_url("")), journal, Pace(interval=0.0)) as rest:
                yield rest
        finally:
            await journal.close()


def kept(folder: Path) -> list[tuple[dict[str, object], bytes]]:
    records = [r for path in segments(folder) for r in read_segment(path) if r.kind == Kind.REST]
    assert all((r.line, r.conn) == (Line.REST, 0) for r in records)
    parts = [r.payload.partition(b"\n") for r in records]
    return [(json.loads(head), body) for head, _, body in parts]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.01)


def test_two_requests_a_second_at_most() -> None:
    pace = Pace()
    assert [pace.take(100.0) for _ in range(3)] == [0.0, 0.5, 1.0]
    assert pace.take(110.0) == 0.0


def test_a_rest_holds_up_all_that_come_after() -> None:
    pace = Pace()
    pace.rest(100.0, 60.0)
    assert [pace.take(101.0), pace.take(101.0)] == [59.0, 59.5]


@pytest.mark.parametrize(
    ("status", "retry_after", "seconds"),
    [
        (200, None, 0),
        (500, "5", 0),
        (429, None, 60),
        (429, "7", 7),
        (429, "soon", 60),
        (418, None, 600),
        (418, "99999999", 3600),
    ],
)
def test_silence_is_kept_as_long_as_the_venue_asks(status: int, retry_after: str | None, seconds: float) -> None:
    assert pause_after(status, retry_after) == seconds


async def test_an_answer_is_journaled_as_it_came_after_a_line_about_the_request(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=b'{"serverTime": "1",\n "symbols":[]}')

    async with asking(handler, tmp_path) as rest:
        reply = await rest.get("/api/v1/exchangeInfo", {"site": "MENA"}, "start")
        assert reply.json() == {"serverTime": "1", "symbols": []}
        await rest.get("/quote/v1/klines", {"symbol": "BTCUSD", "limit": 5}, use="store")
    (about, body), (second, _) = kept(tmp_path)
    assert body == b'{"serverTime": "1",\n "symbols":[]}'
    sent_ns = about.pop("sent_ns")
    assert isinstance(sent_ns, int)
    assert about == {"path": "/api/v1/exchangeInfo", "params": {"site": "MENA"}, "status": 200, "reason": "start"}
    assert (second["use"], second["params"]) == ("store", {"symbol": "BTCUSD", "limit": 5})


async def test_a_server_error_is_tried_again_and_all_answers_are_kept(tmp_path: Path) -> None:
    statuses = [500, 503, 200]

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=statuses.pop(0), text="{}")

    async with asking(handler, tmp_path) as rest:
        await rest.get("/x")
    assert [about["status"] for about, _ in kept(tmp_path)] == [500, 503, 200]


async def test_a_wrong_request_is_not_tried_again(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=400, text='{"code":-100011,"msg":"Not supported symbols"}')

    async with asking(handler, tmp_path) as rest:
        with pytest.raises(VenueError, match=r"status 400.*Not supported symbols"):
            await rest.get("/x")
    assert len(kept(tmp_path)) == 1


async def test_after_429_the_next_request_waits(tmp_path: Path) -> None:
    times: list[float] = []

    async def handler(request: web.Request) -> web.Response:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            return web.Response(status=429, headers={"Retry-After": "1"})
        return web.Response(text="{}")

    async with asking(handler, tmp_path) as rest:
        await rest.get("/x")
    assert times[1] - times[0] >= 0.99


async def test_what_never_answers_well_is_an_error_in_the_end(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=502, text="<html>")

    async with asking(handler, tmp_path) as rest:
        with pytest.raises(VenueError, match="no good answer in 2 attempts: status 502"):
            await rest.get("/x", attempts=2)


async def test_html_under_status_200_is_no_json(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="application/json")

    async with asking(handler, tmp_path) as rest:
        reply = await rest.get("/x")
        with pytest.raises(VenueError, match="not JSON"):
            reply.json()


async def test_a_host_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, lambda: b"{}")
    async with Rest("http://127.0.0.1:1", journal, Pace(interval=0.0)) as rest:
        with pytest.raises(VenueError, match="no good answer in 2 attempts"):
            await rest.get("/x", attempts=2)
    await journal.close()
