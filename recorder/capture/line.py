"""A line: V1 or V2, kept alive by one connection after another, without a moment between two where that is possible.

A connection that ends is followed by the next one. One that is to be replaced (it is old, or a stream on it
is dead) stays until its successor has proved all that it brings: make before break.
"""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from recorder.capture.leg import Leg
from recorder.capture.session import Ask, Backoff
from recorder.capture.state import CaptureState, LineState, TopicState
from recorder.capture.streams import Event, Streams
from recorder.capture.tempo import Options
from recorder.capture.trades import Trades
from recorder.journal.writer import Journal
from recorder.venues.hashkey.subscribe import DELTA_BOOK, channel_of

log = structlog.get_logger()
LAST_CONN = 32_767
SETTLE_SECONDS = 60.0  # for a successor to prove itself
AGAIN_SECONDS = 600.0  # after a successor that did not


class Line:
    """One of the sockets, kept alive until cancelled."""

    def __init__(
        self,
        number: int,
        url: str,
        site: str,
        journal: Journal,
        streams: Streams,
        capture: CaptureState,
        *,
        emit: Callable[[Iterable[Event]], None],
        next_conn: Callable[[], int],
        scale_of: Callable[[str], int | None],
        on_refusal: Callable[[], None] = lambda: None,
        trades: Trades | None = None,
        options: Options | None = None,
        key: int | None = None,
    ) -> None:
        """`number` is the API's; `key` is that of `capture.lines`, where two lines have one number."""
        options = options or Options()
        self.number = number
        key = number if key is None else key
        name = f"ws_v{number}" if key == number else f"ws_v{number} (second)"
        self.state = capture.lines[key] = LineState(name, url)
        self.backoff = Backoff()
        self.leg: Leg | None = None  # the present connection
        self.site = site
        self.journal = journal
        self.streams = streams
        self.capture = capture
        self.trades = trades or Trades()
        self.tempo = options.tempo
        self.emit = emit
        self.scale_of = scale_of
        self.on_refusal = on_refusal
        self._next_conn = next_conn
        self._rotate_seconds = options.rotate_seconds
        self._open = 0  # connections
        self._asks: list[Ask] = []
        self._to_replace = asyncio.Event()
        self._why = ""

    # What is asked of it

    def want(self, asks: Iterable[Ask]) -> None:
        """What this line shall bring, all of it. `streams` must know already."""
        self._asks = list(asks)
        topics = self.state.topics
        wanted = {
            ask: topics.get(ask) or TopicState(channel_of(ask[0]), *ask, needs_first=ask[0] == DELTA_BOOK)
            for ask in self._asks
        }
        self.state.topics = wanted
        if self.leg is not None:
            self.leg.want(self._asks)
            self.state.topics = self.leg.topics

    def retry(self) -> None:
        """Ask again for what was refused or not answered."""
        if self.leg is not None:
            self.leg.retry()

    def repeat(self, asks: Iterable[Ask]) -> None:
        """Ask again for what is subscribed: V1 then sends its history."""
        if self.leg is not None:
            self.leg.repeat(asks)

    def replace(self, why: str) -> None:
        """Put another connection in place of the present one."""
        if self.leg is not None:
            self._why = why
            self._to_replace.set()

    @property
    def is_being_replaced(self) -> bool:
        return self._to_replace.is_set()

    # Its life

    async def run(self) -> None:
        """Connect, live, lose, wait, and again."""
        async with asyncio.TaskGroup() as legs:
            while True:
                leg = Leg(self, self._next_conn())
                delay = await leg.connect()
                if delay is None:
                    delay = await self._keep(leg, legs.create_task(leg.live()), legs)
                await self.tempo.sleep(delay)

    async def _keep(self, leg: Leg, life: asyncio.Task[float], legs: asyncio.TaskGroup) -> float:
        """Until this connection and those that replace it have ended; the seconds to wait then."""
        rotate_at = self.tempo.now() + self._rotate_seconds
        while not life.done():
            self._use(leg)
            self._to_replace.clear()
            asked = asyncio.create_task(self._to_replace.wait())
            left = self.tempo.own(max(0.0, rotate_at - self.tempo.now()))
            await asyncio.wait({life, asked}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            if life.done():
                break
            why = self._why if self._to_replace.is_set() else "age"
            self._to_replace.set()
            found = await self._succeed(leg, life, legs, why)
            rotate_at = self.tempo.now() + (self._rotate_seconds if found else AGAIN_SECONDS)
            if found is not None:
                leg, life = found
        self.leg = None
        return life.result()

    async def _succeed(
        self, leg: Leg, life: asyncio.Task[float], legs: asyncio.TaskGroup, why: str
    ) -> tuple[Leg, asyncio.Task[float]] | None:
        """Open another connection, and close this one once the other brings all that it brings. None: keep it."""
        self.emit([{"event": "reconnect", "conn": leg.conn, "line": self.number, "reason": why}])
        log.info("connection is being replaced", line=self.state.name, conn=leg.conn, reason=why)
        successor = Leg(self, self._next_conn())
        if await successor.connect() is not None:
            return None
        successor_life = legs.create_task(successor.live())
        settled = asyncio.create_task(successor.settled.wait())
        await asyncio.wait(
            {life, successor_life, settled},
            timeout=self.tempo.own(SETTLE_SECONDS),
            return_when=asyncio.FIRST_COMPLETED,
        )
        settled.cancel()
        if life.done() and not successor_life.done():
            return successor, successor_life
        proved = {ask for ask, topic in leg.topics.items() if topic.is_proved}
        missing = [ask for ask in proved if ask in successor.topics and not successor.topics[ask].is_proved]
        loser, loser_life = (successor, successor_life) if missing or successor_life.done() else (leg, life)
        loser.ending = "replaced"
        loser_life.cancel()
        await asyncio.wait({loser_life})
        if loser is leg:
            return successor, successor_life
        detail = f"the new connection did not bring {len(missing)} streams; the old one is kept"
        self.emit([{"event": "error", "conn": successor.conn, "line": self.number, "detail": detail}])
        return None

    def _use(self, leg: Leg) -> None:
        self.leg = leg
        self.state.conn = leg.conn
        if leg.topics.keys() != set(self._asks):  # the wishes have changed while it came
            leg.want(self._asks)
        self.state.topics = leg.topics

    # What its connections tell

    def opened(self, leg: Leg) -> None:
        self._open += 1
        self.state.connected = True
        self.state.connects += 1
        self.emit([{"event": "connect", "conn": leg.conn, "line": self.number, "url": self.state.url}])
        log.info("connected", line=self.state.name, conn=leg.conn, topics=len(leg.topics))

    def closed(self, leg: Leg) -> None:
        self._open -= 1
        self.state.connected = self._open > 0
        if self.leg is leg:
            self.leg = None

    def lost(self, events: list[Event]) -> list[Event]:
        """What `streams` says of a loss; gaps that it found late may be healed already."""
        return self.trades.judge(events)
