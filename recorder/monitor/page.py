"""Serve /health, /metrics and a status page beside capture, from numbers that are there anyway.

It lives in the capture process, where it costs about 2 MB and nothing while nobody asks. What only the lake
knows (rows, gaps, how long the disk lasts) needs DuckDB, which must not come in here: for that the page runs
`recorder status --json` as a process of its own, seldom, and only while somebody looks.
A page that cannot be served is no reason not to record: it is said loudly and tried again.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import structlog
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from recorder.config import Settings
from recorder.monitor.health import problems
from recorder.monitor.metrics import exposition
from recorder.monitor.numbers import Numbers, look_at_journal, read

if TYPE_CHECKING:
    from recorder.capture.state import CaptureState

log = structlog.get_logger()
PAGE = Path(__file__).with_name("page.html")
AGAIN_SECONDS = 30.0  # before a port that was taken is tried again
LAKE_SECONDS = 15.0  # between two looks at the lake, and
LAKE_SHARE = 0.1  # at most this share of the time is spent on them
LAKE_PATIENCE = 120.0
Look = Callable[[], Awaitable[Numbers]]
AskLake = Callable[[], Awaitable[tuple[bytes, str]]]


async def serve_page(settings: Settings, state: "CaptureState", writer_runs: Callable[[], bool]) -> None:
    """Until cancelled. Never raises for want of a port: it logs an error and tries again."""
    folder = settings.data.dir / "journal" / settings.data.recorder

    async def look() -> Numbers:
        return read(state, await asyncio.to_thread(look_at_journal, folder), writer_runs(), time.time_ns())

    host, port = settings.monitor.host, settings.monitor.port
    runner = web.AppRunner(application(look, LakeStatus(settings).ask), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        while True:
            try:
                await web.TCPSite(runner, host, port).start()
                break
            except OSError as error:
                words, remedy = error.strerror or str(error), "choose another [monitor] host or port"
                log.error("the status page is not served", host=host, port=port, error=words, remedy=remedy)
                await asyncio.sleep(AGAIN_SECONDS)
        log.info("status page", url=f"http://{host}:{port}/")
        await asyncio.get_running_loop().create_future()  # until cancelled
    finally:
        await runner.cleanup()


def application(look: Look, ask_lake: AskLake) -> web.Application:
    """The five addresses; see docs/monitor.md."""

    async def health(_: web.Request) -> web.Response:
        now = await look()
        wrong = problems(now)
        document = asdict(now)
        del document["streams"]  # hundreds, and none of them decides
        return _json({"ok": not wrong, "problems": wrong, **document}, 503 if wrong else 200)

    async def live(_: web.Request) -> web.Response:
        now = await look()
        return _json({"problems": problems(now), **asdict(now)})

    async def lake(_: web.Request) -> web.Response:
        document, error = await ask_lake()
        if error:
            return _json({"error": error}, 503)
        return web.Response(body=document, content_type="application/json")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=exposition(await look()), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def page(_: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE, headers={"Cache-Control": "no-cache"})

    app = web.Application()
    for path, handler in (("/", page), ("/health", health), ("/live", live), ("/lake", lake), ("/metrics", metrics)):
        app.router.add_get(path, handler)
    return app


class LakeStatus:
    """`recorder status --json`, asked at most every 15 s, and seldomer where the answer takes long."""

    def __init__(self, settings: Settings) -> None:
        where = ["-c", os.devnull, "--data", str(settings.data.dir)]
        self.command = [sys.executable, "-m", "recorder", "status", "--json", *where]
        self.environment = {"RECORDER__DATA__RECORDER": settings.data.recorder}
        self.document, self.error = b"", ""
        self.next_at = 0.0
        self.asking = asyncio.Lock()

    async def ask(self) -> tuple[bytes, str]:
        """(the document, '') or (anything, what went wrong); all who ask at once share one answer."""
        async with self.asking:
            began = time.monotonic()
            if began >= self.next_at:
                await self._run()
                took = time.monotonic() - began
                self.next_at = began + max(LAKE_SECONDS, took / LAKE_SHARE)
        return self.document, self.error

    async def _run(self) -> None:
        others = {name: value for name, value in os.environ.items() if not name.startswith("RECORDER__")}
        process = await asyncio.create_subprocess_exec(
            *self.command,
            env=others | self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(LAKE_PATIENCE):
                document, said = await process.communicate()
        except TimeoutError:
            self.error = f"recorder status took longer than {LAKE_PATIENCE:.0f} s"
            return
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            self.error = said.decode(errors="replace").strip().rpartition("\n")[2] or f"status {process.returncode}"
        else:
            self.document, self.error = document, ""


def _json(document: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")
