"""Ask the venue over HTTP, never too fast, and put every answer into the journal as it came.

At most two requests a second. After 429 all requests rest for as long as the venue says, or 60 s; after
418, which is an IP block, for 10 minutes. Status is looked at before the body: the venue sends HTML
and empty bodies under a JSON content type. Source: reference of the market data, section 6.
"""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
import orjson
import structlog

from recorder.capture.tempo import Tempo
from recorder.errors import VenueError
from recorder.journal.format import Kind, Line
from recorder.journal.writer import Journal

log = structlog.get_logger()


class Refused(VenueError):
    """The venue says that the request is wrong: an unknown symbol, for instance."""


INTERVAL_SECONDS = 0.5
AFTER_429, AFTER_418 = 60.0, 600.0
LONGEST_RETRY_AFTER = 3600.0
FIRST_DELAY, LAST_DELAY = 1.0, 60.0
TIMEOUT = aiohttp.ClientTimeout(total=20, connect=10)
MAX_BODY = 64 << 20


@dataclass(slots=True)
class Pace:
    """When the next request may go; `now` is monotonic time in seconds."""

    interval: float = INTERVAL_SECONDS
    next_at: float = 0.0

    def take(self, now: float) -> float:
        """Reserve the next slot; returns the seconds to wait for it."""
        at = max(now, self.next_at)
        self.next_at = at + self.interval
        return at - now

    def rest(self, now: float, seconds: float) -> None:
        """No request before then."""
        self.next_at = max(self.next_at, now + seconds)


def pause_after(status: int, retry_after: str | None) -> float:
    """Seconds of silence that an answer demands; 0 for none."""
    if status not in (418, 429):
        return 0.0
    if retry_after is not None and retry_after.strip().isdigit():
        return min(float(retry_after), LONGEST_RETRY_AFTER)
    return AFTER_418 if status == 418 else AFTER_429


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with status 200, as it came; `seq` is that of its journal record."""

    body: bytes
    seq: int

    def json(self) -> Any:
        """The body. Raises VenueError if it is not JSON."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise VenueError(f"the venue answered {self.body[:60]!r}, which is not JSON") from error


class Rest:
    """Use as `async with`. Every answer, also an error, becomes a journal record of kind REST."""

    def __init__(self, url: str, journal: Journal, pace: Pace | None = None, tempo: Tempo | None = None) -> None:
        self._url = url.rstrip("/")
        self._journal = journal
        self._pace = pace or Pace()
        self._tempo = tempo or Tempo()
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(timeout=TIMEOUT, trust_env=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def get(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        reason: str = "demand",
        *,
        use: str = "",
        attempts: int = 4,
    ) -> Reply:
        """Ask until there is an answer with status 200, at most so many times.

        `use` = "store" makes the writer keep candles and trades of the answer as rows.
        Raises VenueError: refused for good (4xx), or no good answer after all attempts.
        """
        delay, error = FIRST_DELAY, ""
        for attempt in range(1, attempts + 1):
            await self._tempo.sleep(self._pace.take(self._tempo.now()))
            try:
                return await self._once(path, dict(params or {}), reason, use)
            except (aiohttp.ClientError, TimeoutError, OSError, _Retry) as failure:
                error = str(failure) or type(failure).__name__
            if attempt < attempts:
                log.warning("request failed", path=path, error=error, attempt=attempt)
                await self._tempo.sleep(delay * (0.5 + 0.5 * random.random()))
                delay = min(2 * delay, LAST_DELAY)
        raise VenueError(f"{self._url}{path}: no good answer in {attempts} attempts: {error}")

    async def _once(self, path: str, params: dict[str, str | int], reason: str, use: str) -> Reply:
        assert self._http is not None, "use it as `async with Rest(...)`"
        about: dict[str, Any] = {"path": path, "params": params, "status": 0, "reason": reason}
        if use:
            about["use"] = use
        about["sent_ns"] = time.time_ns()
        async with self._http.get(self._url + path, params=params) as response:
            body = await response.content.read(MAX_BODY)
            while not response.content.at_eof():
                if len(body) > MAX_BODY:
                    raise VenueError(f"{self._url}{path}: an answer of more than {MAX_BODY} bytes")
                body += await response.content.read(MAX_BODY)
            receive_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
            about["status"] = response.status
            retry_after = response.headers.get("Retry-After")
        payload = orjson.dumps(about) + b"\n" + body
        seq = self._journal.append(Kind.REST, Line.REST, 0, payload, receive_ns, monotonic_ns)
        status = int(about["status"])
        if status == 200:
            return Reply(body, seq)
        pause = pause_after(status, retry_after)
        if pause:
            self._pace.rest(self._tempo.now(), pause)
            log.error("the venue asks for silence", path=path, status=status, seconds=pause)
            raise _Retry(f"status {status}")
        if status >= 500:
            raise _Retry(f"status {status}")
        raise Refused(f"{self._url}{path}: status {status}: {body[:200].decode('utf-8', 'replace')}")


class _Retry(Exception):
    """The answer is bad but may be good later."""
