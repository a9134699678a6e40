"""`recorder replay`: the exchange with a recorded lake as its market, so that an unchanged bot runs against yesterday.

`replay` is the command line's door, `serve_replay` is the same inside a test. The order of things: open the lake and
say what is wrong with the wish; listen; wait for clients; play; go on answering until told to stop.
"""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import orjson
from aiohttp import web

from recorder.exchange.connection import Connection
from recorder.exchange.faults import load
from recorder.exchange.injector import Injector
from recorder.exchange.ledger import Ledger
from recorder.exchange.replay_clock import ReplayClock
from recorder.exchange.replay_hub import ReplayHub
from recorder.exchange.replay_options import ReplayOptions, check_speed, speed_of
from recorder.exchange.replay_rest import ReplayRest
from recorder.exchange.replay_tape import Tape
from recorder.exchange.rest import routes
from recorder.exchange.server import Server

__all__ = ["Replay", "ReplayOptions", "replay", "serve_replay", "speed_of"]


class ReplayServer(Server):
    """The exchange's server; it turns clients away while the recorder's line was down."""

    def __init__(self, hub: ReplayHub, ledger: Ledger, options: ReplayOptions, faults: Injector | None) -> None:
        limits = options.idle_v1_seconds, options.idle_v2_seconds, options.buffer_limit
        super().__init__(hub, ledger, *limits, faults)
        self._replay = hub
        self._routes = routes(ReplayRest(hub))
        hub.connections = self.connections

    def connections(self) -> list[Connection]:
        return list(self._connections)

    async def _rest(self, request: web.Request) -> web.Response:
        async with self._replay.standing():
            return await super()._rest(request)

    async def _socket(self, request: web.Request, api: str) -> web.StreamResponse:
        if api in self._replay.down:
            return web.Response(status=503)
        return await super()._socket(request, api)


@dataclass(frozen=True)
class Replay:
    """A running replay."""

    rest: str
    ws_v1: str
    ws_v2: str
    hub: ReplayHub
    server: ReplayServer
    pace: asyncio.Task[None]  # ends when all is played, or fails
    havoc: asyncio.Task[None] | None  # the fault script's own task; never ends, but may fail


@contextlib.asynccontextmanager
async def serve_replay(options: ReplayOptions, tape: Tape | None = None) -> AsyncIterator[Replay]:
    """Run a replay for the length of a `with` block. Raises LakeError or ExchangeError before it listens."""
    check_speed(options.speed)
    script = load(options.faults) if isinstance(options.faults, Path) else options.faults
    tape = tape or Tape(options)
    ledger = Ledger(options.ledger)
    try:
        clock = ReplayClock(tape.start_ns, options.speed)
        hub = ReplayHub(tape, clock, ledger, options)
        faults = None if script is None else Injector(script, hub, ledger)
        if faults is not None:
            hub.step_faults = faults.step
        server = ReplayServer(hub, ledger, options, faults)
        where = f"{options.host}:{await server.open(options.host, options.port)}"
        pace = asyncio.create_task(hub.run(), name="pace")
        havoc = None if faults is None else asyncio.create_task(faults.run(), name="havoc")
        tasks = {pace, asyncio.create_task(server.watch_idle(), name="idle")} | ({havoc} if havoc else set())
        try:
            ws = f"ws://{where}/quote/ws"
            yield Replay(f"http://{where}", f"{ws}/v1", f"{ws}/v2", hub, server, pace, havoc)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await server.close()
            if havoc is not None and not havoc.cancelled():
                havoc.result()  # raises what went wrong, rather than a script that quietly stopped
    finally:
        ledger.close()


def replay(options: ReplayOptions) -> int:
    """Serve until SIGTERM or SIGINT; the first line on stdout says where. Returns the exit code.

    Raises LakeError or ExchangeError for what the user can put right.
    """
    check_speed(options.speed)
    tape = Tape(options)
    gc.set_threshold(100_000, 50, 100)  # entries come and go by the thousand and are never part of a cycle
    return asyncio.run(_replay(options, tape))


async def _replay(options: ReplayOptions, tape: Tape) -> int:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with serve_replay(options, tape) as running:
        urls = {"rest": running.rest, "ws_v1": running.ws_v1, "ws_v2": running.ws_v2}
        sys.stdout.write(orjson.dumps(urls).decode() + "\n")
        sys.stdout.flush()
        stopped = asyncio.create_task(stop.wait())
        tasks = {running.pace, stopped} | ({running.havoc} if running.havoc else set())
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if running.havoc is not None and running.havoc.done():
            running.havoc.result()
        if running.pace.done():
            running.pace.result()  # raises what went wrong
            sys.stderr.write("replay finished\n")
            sys.stderr.flush()
        await stopped
    return 0
