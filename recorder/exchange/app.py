"""Start the exchange: from options to a running server, and back down again.

`simulate` is the command line's door: it prints where it listens and serves until it is told to stop.
`serve` is the same exchange inside a test.
"""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from recorder.exchange.capture import CaptureSource
from recorder.exchange.clock import Clock
from recorder.exchange.errors import ExchangeError
from recorder.exchange.faults import Script, load
from recorder.exchange.hub import Hub
from recorder.exchange.injector import Injector
from recorder.exchange.instruments import choose
from recorder.exchange.ledger import Ledger
from recorder.exchange.market import Market
from recorder.exchange.server import Server
from recorder.exchange.source import Source


@dataclass(frozen=True)
class Options:
    """What `recorder simulate` can be told. Times below the line are wall-clock and meant for tests."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    seed: int = 1
    symbols: tuple[str, ...] = ()
    pairs: int = 0  # the first N pairs of the venue; 38 is all of it
    rate: float = 1.0  # how busy the markets are
    speed: float = 1.0  # how fast the exchange's clock runs
    faults: Path | Script | None = None
    ledger: Path | None = None
    captures: tuple[Path, ...] = ()

    idle_v1_seconds: float = 60.0
    idle_v2_seconds: float = 30.0
    settle_seconds: float = 1.0  # a recording begins when no subscription has come for so long
    buffer_limit: int = 16 * 1024 * 1024  # bytes a client may leave unread before it is dropped


@dataclass(frozen=True)
class Exchange:
    """A running exchange."""

    rest: str
    ws_v1: str
    ws_v2: str
    hub: Hub
    server: Server
    faults: Injector | None
    pace: asyncio.Task[None]  # ends when the source ends, or fails
    havoc: asyncio.Task[None] | None  # the script's own task; never ends, but may fail

    async def close(self) -> None:
        """Drop every client and stop listening; leaving `serve` does it too."""
        await self.server.close()


def open_source(options: Options) -> Source:
    """The market data the options ask for. Raises ExchangeError if they cannot be met."""
    if options.speed <= 0:
        raise ExchangeError(f"--speed {options.speed:g}: give a number above 0, as in --speed 20")
    if options.rate < 0:
        raise ExchangeError(f"--rate {options.rate:g}: give 0 or more, as in --rate 2")
    if options.captures:
        if options.symbols or options.pairs:
            raise ExchangeError("--capture brings its own symbols; leave out --symbols and --pairs")
        return CaptureSource(options.captures)
    start_ms = time.time_ns() // 1_000_000
    return Market(choose(options.symbols, options.pairs), options.seed, start_ms, options.rate)


@contextlib.asynccontextmanager
async def serve(options: Options, source: Source | None = None) -> AsyncIterator[Exchange]:
    """Run the exchange for the length of a `with` block; `source` replaces the options' own."""
    script = load(options.faults) if isinstance(options.faults, Path) else options.faults
    asked_at = time.monotonic_ns()
    is_ours, source = source is None, source or open_source(options)
    ledger = Ledger(options.ledger)
    clock = Clock(source.start_ns, options.speed)
    if is_ours and not source.waits:
        clock.begin(asked_at)  # a market starts at our present; making it took time, which must not become an offset
    hub = Hub(source, clock, ledger, options.settle_seconds)
    try:
        faults = None if script is None else Injector(script, hub, ledger)
        server = Server(hub, ledger, options.idle_v1_seconds, options.idle_v2_seconds, options.buffer_limit, faults)
        port = await server.open(options.host, options.port)
        where = f"{options.host}:{port}"
        pace = asyncio.create_task(hub.run(), name="pace")
        idle = asyncio.create_task(server.watch_idle(), name="idle")
        havoc = None if faults is None else asyncio.create_task(faults.run(), name="havoc")
        tasks = {pace, idle} if havoc is None else {pace, idle, havoc}
        try:
            ws = f"ws://{where}/quote/ws"
            yield Exchange(f"http://{where}", f"{ws}/v1", f"{ws}/v2", hub, server, faults, pace, havoc)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await server.close()
            if havoc is not None and not havoc.cancelled():
                havoc.result()  # raises what went wrong, rather than a script that quietly stopped
    finally:
        ledger.close()


def simulate(options: Options, source: Source | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the first line on stdout says where. Returns the exit code.

    `source` replaces the options' own market. Raises ExchangeError for what the user can put right.
    """
    return asyncio.run(_simulate(options, source))


async def _simulate(options: Options, source: Source | None) -> int:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with serve(options, source) as exchange:
        urls = {"rest": exchange.rest, "ws_v1": exchange.ws_v1, "ws_v2": exchange.ws_v2}
        sys.stdout.write(orjson.dumps(urls).decode() + "\n")
        sys.stdout.flush()
        stopped = asyncio.create_task(stop.wait())
        tasks = {exchange.pace, stopped} | ({exchange.havoc} if exchange.havoc else set())
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if exchange.havoc is not None and exchange.havoc.done():
            exchange.havoc.result()
        if exchange.pace.done():
            exchange.pace.result()  # raises what went wrong
            sys.stderr.write("capture finished\n")
            sys.stderr.flush()
        await stopped
    return 0
