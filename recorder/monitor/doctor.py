"""`recorder doctor`: look at everything a recording depends on, and say what to do about each.

A finding is {"check", "ok", "detail", "remedy"}; remedy is '' where nothing is to be done.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp

from recorder.config import Settings
from recorder.venues.hashkey.endpoints import endpoints

Finding = dict[str, Any]
TIMEOUT_SECONDS = 10
LOW_DISK_BYTES = 5 * 2**30  # about a week of the whole venue
SLOW_SYNC_MS = 100.0
LARGE_OFFSET_MS = 1_000.0
LIBRARIES = ("websockets", "orjson", "pyarrow", "duckdb", "aiohttp", "pydantic-settings", "typer", "uvloop")


def examine(settings: Settings) -> list[Finding]:
    """Every finding, in the order in which one would mend them. Touches no data; writes one probe file."""
    return [
        _versions(),
        _configuration(settings),
        *_disk(settings.data.dir),
        *asyncio.run(_venue(settings)),
    ]


def _finding(check: str, ok: bool, detail: str, remedy: str = "") -> Finding:
    return {"check": check, "ok": ok, "detail": detail, "remedy": "" if ok else remedy}


def _versions() -> Finding:
    python = ".".join(map(str, sys.version_info[:3]))
    found = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return _finding("versions", sys.version_info >= (3, 11), f"Python {python}, {found}", "use Python 3.11 or newer")


def _configuration(settings: Settings) -> Finding:
    record = settings.record
    what = f"{settings.venue.name}: {', '.join(record.streams)} of {', '.join(record.symbols)}"
    return _finding("configuration", True, what)


def _disk(root: Path) -> list[Finding]:
    place = root
    while not place.exists():
        place = place.parent
    remedy = f"make {root} writable, or name another directory with --data or [data] dir"
    if not place.is_dir():
        return [_finding("data directory", False, f"{place} is a file", remedy)]
    try:
        took = _sync_ms(place)
    except OSError as error:
        return [_finding("data directory", False, f"{place} cannot be written: {error.strerror}", remedy)]
    free = shutil.disk_usage(place).free
    note = "" if place == root else f" (will be made in {place})"
    return [
        _finding("data directory", True, f"{root} is writable{note}"),
        _finding(
            "disk space",
            free > LOW_DISK_BYTES,
            f"{free / 2**30:.1f} GiB free",
            "free some space, or move the lake",
        ),
        _finding(
            "disk sync",
            took < SLOW_SYNC_MS,
            f"fdatasync takes {took:.1f} ms",
            "a faster disk loses less when power fails",
        ),
    ]


def _sync_ms(folder: Path) -> float:
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(5):
            file.write(b"x" * 65536)
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(1_000 * (time.perf_counter() - started))
    return sorted(times)[len(times) // 2]


async def _venue(settings: Settings) -> list[Finding]:
    venue = settings.venue
    hosts = endpoints(venue.name, venue.rest_url, venue.ws_v1_url, venue.ws_v2_url)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        return list(
            await asyncio.gather(
                _clock(http, hosts.rest),
                _socket(http, "WS V1", hosts.ws_v1),
                _socket(http, "WS V2", hosts.ws_v2),
            )
        )


async def _clock(http: aiohttp.ClientSession, url: str) -> Finding:
    try:
        before = time.time_ns()
        async with http.get(f"{url}/api/v1/time") as reply:
            reply.raise_for_status()
            server = int((await reply.json(content_type=None))["serverTime"])
        after = time.time_ns()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError) as error:
        return _finding("REST", False, f"{url}: {_words(error)}", "check the network, or [venue] rest_url")
    offset = server - (before + after) / 2e6
    detail = f"{url}: round trip {(after - before) / 1e6:.0f} ms, our clock is {-offset:+.0f} ms from the venue's"
    return _finding(
        "REST and clock", abs(offset) < LARGE_OFFSET_MS, detail, "set this machine's clock (chrony or ntpd)"
    )


async def _socket(http: aiohttp.ClientSession, name: str, url: str) -> Finding:
    key = name.lower().replace(" ", "_")
    try:
        async with http.ws_connect(url, autoclose=True) as socket:
            await socket.send_str(f'{{"ping":{time.time_ns() // 1_000_000}}}')
            answer = await socket.receive(timeout=TIMEOUT_SECONDS)
            ok = answer.type == aiohttp.WSMsgType.TEXT and '"pong"' in answer.data
            return _finding(
                name,
                ok,
                f"{url}: {'answers pings' if ok else 'does not answer a ping'}",
                f"check [venue] {key}_url",
            )
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return _finding(name, False, f"{url}: {_words(error)}", f"check the network, or [venue] {key}_url")


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
