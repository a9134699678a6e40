"""Ask REST as long as it makes sense: not too fast, not into a silence that the venue asked for, not for ever."""

import time
from collections.abc import Callable

import structlog

from recorder.capture.rest import Pace, Reply, Rest
from recorder.errors import VenueError

log = structlog.get_logger()

INTERVAL_SECONDS = 0.65  # between requests: with capture's rare ones at most two a second
LONGEST_WAIT = 61.0  # seconds of silence that are waited for: a 429 asks for 60; a 418, which is a block, for more
TRIES = 2  # of one request
FAILURES = 3  # requests in a row without an answer: the venue is not there


class Unanswered(Exception):
    """It is of no use to go on; the text says why."""


class Asker:
    """Requests of one run, until `deadline` (monotonic seconds). `on_silence` gets the time, Unix ns, until which a
    block lasts."""

    def __init__(
        self, rest: Rest, pace: Pace, deadline: float, now: Callable[[], int], on_silence: Callable[[int], None]
    ) -> None:
        self.requests = 0
        self._rest = rest
        self._pace = pace
        self._deadline = deadline
        self._now = now
        self._on_silence = on_silence
        self._failures = 0
        self._silences = 0

    async def get(self, path: str, params: dict[str, str | int], use: str = "") -> Reply | None:
        """An answer; None if there is none to exactly this. Raises Unanswered."""
        for _ in range(TRIES):
            self._check_silence()
            self.requests += 1
            try:
                reply = await self._rest.get(path, params, "backfill", use=use, attempts=1)
            except VenueError as error:
                log.warning("no answer", path=path, params=params, error=str(error))
                if "no good answer" not in str(error):  # refused: asking again brings the same
                    self._failures = 0
                    return None
                self._silences += self._pace.next_at > time.monotonic() + INTERVAL_SECONDS
                if self._silences > 1:  # who goes on after that is blocked
                    raise Unanswered("the venue asked for silence twice") from error
            else:
                self._failures = 0
                return reply
        self._check_silence()
        self._failures += 1
        if self._failures >= FAILURES:
            raise Unanswered("the venue does not answer")
        return None

    def _check_silence(self) -> None:
        now = time.monotonic()
        silence = max(0.0, self._pace.next_at - now)
        if silence > LONGEST_WAIT:
            self._on_silence(self._now() + int(silence * 1e9))
            raise Unanswered(f"the venue asks for {silence:.0f} s of silence")
        if now + silence >= self._deadline:
            raise Unanswered("the time of one run is up; the next one goes on")
