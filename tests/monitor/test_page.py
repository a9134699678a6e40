"""The five addresses, asked as their readers ask."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from recorder.capture.state import CaptureState
from recorder.config import Settings
from recorder.journal.writer import Journal
from recorder.lake.prepare import prepare
from recorder.monitor import page
from recorder.monitor.numbers import Numbers
from recorder.monitor.page import PAGE, LakeStatus, application, serve_page
from tests.monitor.examples import WELL, but

Client = TestClient[aiohttp.web.Request, aiohttp.web.Application]


class Recorder:
    """What the page is told."""

    def __init__(self) -> None:
        self.now = WELL
        self.lake = (b'{"data": "here"}', "")

    async def look(self) -> Numbers:
        return self.now

    async def ask_lake(self) -> tuple[bytes, str]:
        return self.lake


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def client(recorder: Recorder) -> AsyncIterator[Client]:
    async with TestClient(TestServer(application(recorder.look, recorder.ask_lake))) as made:
        yield made


async def test_health_is_200_while_all_is_well_and_503_with_the_reasons_when_not(
    client: Client, recorder: Recorder
) -> None:
    well = await client.get("/health")
    assert (well.status, (await well.json())["ok"]) == (200, True)
    recorder.now = but(disk="low", disk_detail="less space is free", live_streams=0)
    ill = await client.get("/health")
    found = await ill.json()
    assert ill.status == 503
    assert found["problems"] == ["disk low: less space is free", "no stream is live"]
    assert (found["disk"], found["writer"]["lag_seconds"], found["lines"][0]["last_frame_seconds"]) == ("low", 0.0, 0.4)


async def test_metrics_are_what_prometheus_expects(client: Client) -> None:
    answer = await client.get("/metrics")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain; version=")
    assert 'recorder_frames_total{line="ws_v2"} 1000.0' in (await answer.text())


async def test_live_has_every_stream(client: Client) -> None:
    assert (await (await client.get("/live")).json())["streams"][0]["symbol"] == "BTCUSD"


async def test_the_lake_answers_or_says_why_not(client: Client, recorder: Recorder) -> None:
    assert await (await client.get("/lake")).json() == {"data": "here"}
    recorder.lake = (b"", "not a lake")
    refused = await client.get("/lake")
    assert (refused.status, await refused.json()) == (503, {"error": "not a lake"})


async def test_the_page_needs_nothing_from_elsewhere_and_only_what_is_served(client: Client) -> None:
    text = await (await client.get("/")).text()
    assert text == PAGE.read_text()
    assert not re.search(r"https?://|\bsrc=|@import|url\(", text)
    for address in re.findall(r'(?:href="|every\(\d+, ")(\w+)"', text):
        assert (await client.get(f"/{address}")).status == 200


def settings(folder: Path, port: int = 0) -> Settings:
    return Settings.model_validate({"data": {"dir": str(folder)}, "monitor": {"port": port}})


async def test_the_lake_is_asked_once_for_all_who_ask_at_the_same_time(tmp_path: Path) -> None:
    prepare(tmp_path / "data")
    lake = LakeStatus(settings(tmp_path / "data"))
    first, second = await asyncio.gather(lake.ask(), lake.ask())
    assert first[0] is second[0] and first[1] == ""
    assert json.loads(first[0])["streams"] == []


async def test_a_lake_that_cannot_be_read_is_its_own_message(tmp_path: Path) -> None:
    _, error = await LakeStatus(settings(tmp_path / "none")).ask()
    assert "no such directory" in error


async def test_a_port_that_is_taken_is_tried_until_it_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "AGAIN_SECONDS", 0.02)
    journal = Journal(tmp_path, 1, lambda: b"{}")
    state = CaptureState("s", started_ns=0, journal=journal)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        serving = asyncio.create_task(serve_page(settings(tmp_path, port), state, lambda: True))
        await asyncio.sleep(0.1)
        assert not serving.done()
    async with aiohttp.ClientSession() as http, asyncio.timeout(10):
        while True:
            try:
                async with http.get(f"http://127.0.0.1:{port}/health") as answer:
                    assert answer.status == 503, "nothing is live since 1970"
                    break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.01)
    serving.cancel()
    await asyncio.wait({serving})
    await journal.close()
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
