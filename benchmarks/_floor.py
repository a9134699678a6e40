"""The floor: a bare `websockets` client that receives the whole venue, parses each frame, and does nothing else.

Run as `python -m benchmarks._floor V1_URL V2_URL SYMBOLS [uvloop]`. On SIGTERM it prints the frames it saw.
"""

import asyncio
import contextlib
import signal
import sys
from typing import Any

import orjson
import uvloop
import websockets


async def line(url: str, requests: list[dict[str, Any]], seen: list[int]) -> None:
    async with websockets.connect(url, compression=None, max_size=None, ping_interval=None) as socket:
        for request in requests:
            await socket.send(orjson.dumps(request).decode())
        beat = asyncio.create_task(ping(socket))
        try:
            while True:
                orjson.loads(await socket.recv(decode=False))
                seen[0] += 1
        finally:
            beat.cancel()


async def ping(socket: Any) -> None:
    while True:
        await asyncio.sleep(10)
        await socket.send('{"ping":1}')


async def main() -> None:
    v1, v2, symbols = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
    old = [{"symbol": ",".join(symbols), "topic": topic, "event": "sub"} for topic in ("trade", "kline_1m")]
    new = [
        {"topic": topic, "event": "sub", "params": {"symbol": symbol}}
        for topic in ("depth", "bbo", "trade")
        for symbol in symbols
    ]
    seen = [0]
    task = asyncio.gather(line(v1, old, seen), line(v2, new, seen))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    print(seen[0], flush=True)


if __name__ == "__main__":
    (uvloop if sys.argv[4:] == ["uvloop"] else asyncio).run(main())
