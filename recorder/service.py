"""`recorder run`: the capture process, and beside it writer, sealer and backfill, which it starts again.

They share nothing but the journal on disk, so each may die at any time. Shutting down is one line of
thought: lines close, the journal is drained and closed, then the writer turns what is left into parts.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from recorder import signals
from recorder.capture.run import capture
from recorder.capture.state import CaptureState
from recorder.config import Settings
from recorder.errors import LakeError
from recorder.journal.format import BACKFILL
from recorder.quality.backfill_schedule import command, next_run

log = structlog.get_logger()

RESTART_SECONDS = 1.0  # pause before a process that died is started again; doubles up to
LONGEST_PAUSE = 60.0
LOOK_SECONDS = 2.0  # at whether backfill is due
BACKFILL_SECONDS = 900.0  # a run that takes longer hangs
STOP_SECONDS = 20.0  # for backfill to end whole
FORCED = 1  # exit status after a second signal: what is in the journal becomes parts at the next start


def run(settings: Settings) -> int:
    """Record until SIGTERM or SIGINT; returns the exit status.

    Raises BusyError when another recorder holds the data, LakeError when the data directory cannot be
    used, VenueError when none of the symbols asked for exists.
    """
    if signals.was_heard():
        return 0
    next_seq = prepare_lake(settings.data.dir, settings.data.recorder)
    if next_seq is None:
        return 0
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run(_serve(settings, next_seq))
    return asyncio.run(_serve(settings, next_seq))


def prepare_lake(root: Path, rec: str) -> int | None:
    """Make the lake readable before its first row; returns one more than the greatest seq that it holds.

    None if it was told to end, as a service manager tells all processes at once: then so are we.

    In a process of its own, so that pyarrow stays out of ours, and which Ctrl-C in a terminal does not reach: it is
    done in a moment, and then we can stop. Raises LakeError in that process's words.
    """
    command = [sys.executable, "-m", "recorder.lake.prepare", str(root), rec]
    made = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)
    if -made.returncode in signals.ASKED_TO_END:
        return None
    if made.returncode:
        raise LakeError(made.stderr.strip().splitlines()[-1] if made.stderr.strip() else f"{root}: cannot be used")
    return int(made.stdout)


async def _serve(settings: Settings, next_seq: int) -> int:
    loop = asyncio.get_running_loop()
    children = Children(settings)
    forced = asyncio.Event()
    recording = asyncio.create_task(capture(settings, at_least=next_seq, on_started=children.start), name="capture")

    def asked_to_stop() -> None:
        if recording.cancelling() or recording.done():
            forced.set()
        else:
            log.info("stopping")
            recording.cancel()

    for number in signals.ASKED_TO_END:
        loop.add_signal_handler(number, asked_to_stop)
    if signals.was_heard():  # before these handlers were there
        asked_to_stop()
    orderly = asyncio.create_task(_orderly(recording, children), name="stop")
    cut_short = asyncio.create_task(forced.wait(), name="second signal")
    await asyncio.wait({orderly, cut_short}, return_when=asyncio.FIRST_COMPLETED)
    if orderly.done():
        cut_short.cancel()
        return orderly.result()
    log.warning("stopped at once: what the journal holds becomes parts at the next start")
    children.kill()
    os._exit(FORCED)


async def _orderly(recording: asyncio.Task[None], children: "Children") -> int:
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await recording
    finally:
        await children.finish()
    return 0


class Children:
    """The writer, which must finish what the journal holds; sealer, backfill and page, which may end at any time."""

    def __init__(self, settings: Settings) -> None:
        keep = ("--keep-raw-days", str(settings.journal.keep_raw_days), *settings.retention.arguments())
        reserve = ("--reserve-mb", str(settings.journal.reserve_mb))
        self.writer = Child("recorder.lake.writer", settings, *keep, *reserve)
        self.sealer = Child("recorder.lake.seal", settings)
        self.backfill = Backfill(settings)
        self.page = Page(settings)

    def start(self, state: CaptureState) -> None:
        """Called once the journal is open: before that, another recorder may hold the data."""
        self.writer.start()
        self.sealer.start()
        self.backfill.start(state)
        self.page.start(state, self.writer)

    async def finish(self) -> None:
        """Let the writer turn every closed segment into parts; one more try if it died on the way."""
        await asyncio.gather(self.sealer.stop(), self.backfill.stop(), self.page.stop())
        if self.writer.keeping is None:
            return  # capture never began: the journal holds nothing that was not there before
        if await self.writer.stop() != 0 and (status := await self.writer.run_once()):
            log.error("writer could not finish; the journal keeps the rows for the next start", status=status)

    def kill(self) -> None:
        for child in (self.writer.process, self.sealer.process, self.backfill.process):
            if child is not None and child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()


class Backfill:
    """One run of backfill after another, each a short process, whenever the schedule says so."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.process: asyncio.subprocess.Process | None = None
        self.keeping: asyncio.Task[None] | None = None

    def start(self, state: CaptureState) -> None:
        if self.settings.record.backfill:
            self.keeping = asyncio.create_task(self._keep_on(state), name="backfill")

    async def _keep_on(self, state: CaptureState) -> None:
        last_run: int | None = None
        gap_closed = time.time_ns()  # a start ends the gaps of the stop, perhaps before we look for the first time
        open_gaps = 0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if state.open_gaps < open_gaps:
                gap_closed = time.time_ns()
            open_gaps = state.open_gaps
            if time.time_ns() < next_run(state.started_ns, last_run, gap_closed):
                continue
            last_run = time.time_ns()
            await self._run(command(self.settings))
            if any((self.settings.data.dir / "closed").glob(f"{self.settings.data.recorder}{BACKFILL}~*")):
                await self._run(self._seal())

    async def _run(self, argv: Sequence[str]) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *argv, start_new_session=True, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(BACKFILL_SECONDS):
                status = await self.process.wait()
        except TimeoutError:
            self.process.kill()
            status = await self.process.wait()
        if status not in (0, 1):  # 1: it asked for less than it wanted, and says so in the lake
            log.warning("backfill failed, it is tried again", status=status)

    def _seal(self) -> Sequence[str]:
        """Its files have a recorder id of their own, which the sealer beside us does not watch."""
        where = ("--data", str(self.settings.data.dir), "--rec", self.settings.data.recorder + BACKFILL)
        return [sys.executable, "-m", "recorder.lake.seal", "--once", *where]

    async def stop(self) -> None:
        if self.keeping is None:
            return
        self.keeping.cancel()
        await asyncio.wait([self.keeping])
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()  # the next run begins with what its journal holds
                await self.process.wait()


class Page:
    """The status page, if one is asked for; without it, its libraries stay out of our memory."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.serving: asyncio.Task[None] | None = None

    def start(self, state: CaptureState, writer: "Child") -> None:
        if self.settings.monitor.port:
            from recorder.monitor.page import serve_page

            self.serving = asyncio.create_task(serve_page(self.settings, state, lambda: writer.runs), name="page")
            self.serving.add_done_callback(_say_why)

    async def stop(self) -> None:
        if self.serving is not None:
            self.serving.cancel()
            await asyncio.wait([self.serving])


def _say_why(ended: asyncio.Task[None]) -> None:
    """Nothing waits for it, and recording goes on whatever became of it."""
    if not ended.cancelled() and ended.exception() is not None:
        log.error("the status page ended", error=str(ended.exception()))


class Child:
    """A process beside capture: started, started again when it dies, and asked to finish at the end."""

    def __init__(self, module: str, settings: Settings, *more: str) -> None:
        self.name = module.rsplit(".", 1)[1]
        where = ("--data", str(settings.data.dir), "--rec", settings.data.recorder)
        self.command = [sys.executable, "-m", module, *where, "--parent", str(os.getpid()), *more]
        self.process: asyncio.subprocess.Process | None = None
        self.keeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.keeping = asyncio.create_task(self._keep_alive(), name=self.name)

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def _keep_alive(self) -> None:
        pause = RESTART_SECONDS
        while True:
            await self._launch()
            started = asyncio.get_running_loop().time()
            assert self.process is not None
            status = await self.process.wait()
            if asyncio.get_running_loop().time() - started > LONGEST_PAUSE:
                pause = RESTART_SECONDS
            log.warning("process ended, starting it again", process=self.name, status=status, pause_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _launch(self, *more: str) -> None:
        # A session of its own: Ctrl-C in a terminal is for us to answer, our children are told afterwards.
        self.process = await asyncio.create_subprocess_exec(*self.command, *more, start_new_session=True)

    async def stop(self) -> int | None:
        """Ask it to finish; its exit status, or None if it did not run."""
        if self.keeping is None:
            return None
        self.keeping.cancel()
        await asyncio.wait([self.keeping])
        if self.process is None or self.process.returncode is not None:
            return None
        self.process.terminate()
        return await self.process.wait()

    async def run_once(self) -> int:
        """One run to its end of what is left to do; its exit status."""
        await self._launch("--once")
        assert self.process is not None
        return await self.process.wait()
