"""What a frame costs: to append it to the journal, and all the way from the socket.

    python -m benchmarks.journal [--seconds 5] [--rate 120]

R is the CPU time of `orjson.loads` of the same frame: machines differ, the ratio hardly does. The
receiving side runs in its own process against a server that sends frames at an even pace, which is the
hardest pace: one wake-up each. "bare" is the plain `websockets` client that parses every frame.
"""

import argparse
import asyncio
import multiprocessing
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import orjson
import uvloop
import websockets

from recorder.capture.connection import FrameConnection, open_connection
from recorder.capture.line import Line
from recorder.capture.state import CaptureState, TopicState
from recorder.capture.streams import Streams
from recorder.journal.format import Kind, pack, scan
from recorder.journal.format import Line as Source
from recorder.journal.writer import Journal
from recorder.venues.hashkey.peek import peek


def depth_frame(levels: int = 200, seed: int = 1) -> bytes:
    """A book as V2 sends it; 200 levels a side are about 9.3 kB."""
    rng = random.Random(seed)
    bids = [[f"{86500 - i * 0.37:.2f}", f"{rng.random():.5f}"] for i in range(levels)]
    asks = [[f"{86501 + i * 0.37:.2f}", f"{rng.random():.5f}"] for i in range(levels)]
    data = {"s": "BTCUSD", "t": 1790134581603, "v": "14088520_2", "b": bids, "a": asks}
    return orjson.dumps({"topic": "depth", "params": {"symbol": "BTCUSD"}, "data": data, "site": "hk"})


def cpu_of(step: Callable[[], object], times: int) -> float:
    """Microseconds of CPU per call, the best of five rounds."""
    rounds = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(times):
            step()
        rounds.append((time.process_time() - began) / times * 1e6)
    return min(rounds)


async def append_cost(frame: bytes, count: int, burst: int) -> float:
    """Microseconds of CPU per append, both threads, syncs included; so many frames arrive together."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), 1, lambda: b'{"event":"segment"}')
        began = time.process_time()
        for _ in range(count // burst):
            for _ in range(burst):
                journal.append(Kind.TEXT, Source.WS_V2, 1, frame)
            await asyncio.sleep(0.001 * burst)
        await journal.sync()
        spent = time.process_time() - began
        await journal.close()
    return spent / count * 1e6


async def serve(frame: bytes, rate: float, port: "Connection") -> None:
    async def stream(client: websockets.ServerConnection) -> None:
        loop = asyncio.get_running_loop()
        began, sent = loop.time(), 0
        with suppress(websockets.ConnectionClosed):
            while True:
                await client.send(frame, text=True)
                sent += 1
                await asyncio.sleep(max(0.0, began + sent / rate - loop.time()))

    async with websockets.serve(stream, "127.0.0.1", 0, compression=None) as server:
        port.send(next(iter(server.sockets)).getsockname()[1])
        await asyncio.Event().wait()


async def bare(url: str, seconds: float) -> tuple[float, int]:
    count = 0
    async with websockets.connect(url, compression=None, max_size=None) as client:
        began = time.process_time()
        with_end = asyncio.get_running_loop().time() + seconds
        async for message in client:
            orjson.loads(message)
            count += 1
            if asyncio.get_running_loop().time() > with_end:
                break
        return time.process_time() - began, count


async def cut_only(url: str, seconds: float) -> tuple[float, int]:
    """Our socket alone, frames thrown away."""
    count = 0

    def on_frame(*_: object) -> None:
        nonlocal count
        count += 1

    connection: FrameConnection = await open_connection(url, "benchmark")
    connection.start(on_frame)
    began = time.process_time()
    await asyncio.sleep(seconds)
    spent = time.process_time() - began
    connection.transport.abort()
    return spent, count


async def ours(url: str, seconds: float) -> tuple[float, int]:
    """A whole line: socket, journal with its threads and syncs, peek, counters."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), 1, lambda: b'{"event":"segment"}')
        state = CaptureState("benchmark", 0, journal)
        line = Line(
            2,
            url,
            "",
            journal,
            Streams(),
            state,
            emit=lambda _: None,
            next_conn=lambda: 1,
            scale_of=lambda _: None,
        )
        line.state.topics = {("depth", "BTCUSD"): TopicState("depth", "depth", "BTCUSD", is_proved=True)}
        task = asyncio.create_task(line.run())
        while not line.state.frames:  # noqa: ASYNC110 -- started once, measured after
            await asyncio.sleep(0.01)
        began, before = time.process_time(), line.state.frames
        await asyncio.sleep(seconds)
        spent, count = time.process_time() - began, line.state.frames - before
        task.cancel()
        await asyncio.wait({task})
        await journal.close()
    return spent, count


CLIENTS: dict[str, Callable[[str, float], Awaitable[tuple[float, int]]]] = {
    "bare": bare,
    "socket only": cut_only,
    "ours": ours,
}


def _client(name: str, fast: bool, url: str, seconds: float, result: "Connection") -> None:
    async def run() -> tuple[float, int]:
        return await CLIENTS[name](url, seconds)

    result.send(uvloop.run(run()) if fast else asyncio.run(run()))


def _server(frame: bytes, rate: float, port: "Connection") -> None:
    asyncio.run(serve(frame, rate, port))


def receive_costs(frame: bytes, rate: float, seconds: float) -> dict[str, float]:
    """Microseconds of CPU per frame of each client, of the whole process."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    server = spawn.Process(target=_server, args=(frame, rate, there), daemon=True)
    server.start()
    url = f"ws://127.0.0.1:{here.recv()}"
    costs = {}
    try:
        for name, fast in (("bare", False), ("bare", True), ("socket only", True), ("ours", False), ("ours", True)):
            client = spawn.Process(target=_client, args=(name, fast, url, seconds, there))
            client.start()
            spent, count = here.recv()
            client.join()
            costs[f"{name}, {'uvloop' if fast else 'asyncio'}"] = spent / max(1, count) * 1e6
    finally:
        server.terminate()
        server.join()
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rate", type=float, default=120)
    options, _ = parser.parse_known_args()  # other benchmarks may be named beside this one
    frame = depth_frame()
    reference = cpu_of(lambda: orjson.loads(frame), 2000)
    record = (1, 2, 3, 4, 5, 0, 2, frame)
    whole = pack(*record) * 100
    table = {
        f"orjson.loads of the same frame, {len(frame)} bytes (R)": reference,
        "pack": cpu_of(lambda: pack(*record), 2000),
        "scan": cpu_of(lambda: list(scan(whole)), 20) / 100,
        "peek": cpu_of(lambda: peek(frame), 20000),
        "append to disk, 20 frames together": asyncio.run(append_cost(frame, 4000, 20)),
        "append to disk, one by one": asyncio.run(append_cost(frame, 1000, 1)),
    }
    for name, cost in receive_costs(frame, options.rate, options.seconds).items():
        table[f"received at {options.rate:.0f}/s: {name}"] = cost
    for what, cost in table.items():
        print(f"{what:<60} {cost:9.1f} us {cost / reference:7.2f} R")


if __name__ == "__main__":
    main()
