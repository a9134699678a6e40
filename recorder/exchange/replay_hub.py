"""The pace of a replay: entries in order, each at its time, and every gap of a line as a disconnect.

The clock never passes an entry that has not been played, so whatever makes us wait (a reader that is slow, a
client that is still reconnecting) delays the market and loses none of it.
"""

import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress

from recorder.exchange.connection import Connection
from recorder.exchange.hub import LAST_TICKS, TICK, TICKER_TICKS, V1_TICKS, Hub
from recorder.exchange.ledger import Ledger
from recorder.exchange.registry import Key, Registry
from recorder.exchange.replay_clock import PushTime, ReplayClock
from recorder.exchange.replay_options import ReplayOptions
from recorder.exchange.replay_rows import Entry, Kind
from recorder.exchange.replay_stage import Lake, Stage, api_of, symbols_of
from recorder.exchange.replay_tape import BOTH_APIS, SECOND, LineEvent, Tape
from recorder.exchange.source import MS

BURST = 32  # entries between two looks at the clients
UNREAD = 2 * 1024 * 1024  # bytes a client may leave unread before the replay waits for it
ANSWER_SECONDS = 1.0  # a REST answer waits so long for readers that are behind
LOOK_SECONDS = 0.001  # at a client that we wait for
TOGETHER = 10 * SECOND  # lines that come back within so much of each other come back together


class ReplayHub(Hub):
    """Plays one tape to all clients."""

    def __init__(self, tape: Tape, clock: ReplayClock, ledger: Ledger, options: ReplayOptions) -> None:
        source = Lake(tape.start_ns, symbols_of(tape))
        super().__init__(source, clock, ledger, options.settle_seconds, tape.context.site)
        self.stage = Stage(tape, source, self.v1_clients, self.v2_clients, PushTime(clock))
        self.played = source.played
        self.v1 = self._v1 = self.stage.v1
        self.v2 = self.stage.v2
        self.v1.site = self.v2.site = self.site
        self.connections: Callable[[], Iterable[Connection]] = lambda: ()
        self.step_faults: Callable[[], None] = lambda: None
        self.down: set[str] = set()  # APIs that turn clients away
        self.frames = 0  # entries played
        self._tape = tape
        self._options = options
        self._time = clock
        self._registries: dict[str, Registry] = {"v1": self.v1_clients, "v2": self.v2_clients}
        self._missing: dict[str, Counter[Key]] = {api: Counter() for api in BOTH_APIS}  # who was there at the cut
        self._ahead: list[Entry] = []  # line events still to come, the next one last
        self._gap_began = 0.0
        self._asking = 0  # REST requests that are being answered; nothing is played meanwhile
        self._answered = asyncio.Event()

    # -- the pace

    async def run(self) -> None:
        """Until all is played."""
        self._ahead = [entry for entry in reversed(self._tape.lines) if entry.moment >= self._tape.start_ns]
        windows = self._tape.windows()
        upcoming = asyncio.create_task(asyncio.to_thread(next, windows, None))
        try:
            await self._settle()
            self.clock.begin()
            while (window := await upcoming) is not None:
                upcoming = asyncio.create_task(asyncio.to_thread(next, windows, None))
                await self._play(window)
        finally:
            upcoming.cancel()
        await self._end()

    async def _play(self, window: list[Entry]) -> None:
        show, burst = self.stage.show, 0
        window.reverse()
        while window:
            entry = window.pop()  # what was played is let go, since books are large
            if entry.kind is Kind.LINE:
                await self._line(entry)
                continue
            if entry.moment > self._time.limit:
                await self._reach(entry.moment)
            if self.down and (api := api_of(entry)) in self.down:
                await self._come_back(entry.moment, [api])  # a row proves that its line was up
            show(entry)
            self.frames += 1
            burst += 1
            if burst >= BURST:
                burst = 0
                await self._breathe()

    async def _reach(self, moment: int) -> None:
        """Let time pass until `moment`, with the ticks before it; those that have nothing to say are skipped."""
        while True:
            due = self.source.start_ns + (self._ticks + 1) * TICK
            if due >= moment:
                break
            if not self._v1.has_news:
                self._ticks = (moment - self.source.start_ns - 1) // TICK
                break
            await self._wait(due)
            self._tick(due // MS)
        await self._wait(moment)

    async def _wait(self, moment: int) -> None:
        self._time.limit = max(self._time.limit, moment)
        if not self._time.is_unbound:
            seconds = self._time.seconds_until(moment)
            while seconds > 0:  # a sleep may end early
                await asyncio.sleep(seconds)
                seconds = self._time.seconds_until(moment)
        await self._let_answer()
        self.step_faults()

    def _tick(self, now_ms: int) -> None:
        self._ticks += 1
        if self._ticks % V1_TICKS == 0:
            self._v1.tick(now_ms)
        if self._ticks % TICKER_TICKS == 0:
            self._v1.tick_tickers(now_ms)

    async def _end(self) -> None:
        """Let every cadence come round once more, and the clients read it all."""
        for _ in range(LAST_TICKS):
            due = self.source.start_ns + (self._ticks + 1) * TICK
            await self._wait(due)
            self._tick(due // MS)
        await self._arrived(BOTH_APIS)
        self._time.limit = 2**62 if not self._time.is_unbound else self._time.limit
        self._ledger.event(0, "finished", frames=self.frames)
        self.finished.set()

    # -- readers

    async def _breathe(self) -> None:
        """Let the sockets be served; wait for readers that are behind, and drop one that does not read at all."""
        await asyncio.sleep(0)
        if any(connection.unsent > UNREAD for connection in self.connections()):
            await self._until_read(BOTH_APIS, lambda connection: connection.unsent <= UNREAD)
        if self._time.is_unbound and not self.down and not any(one.is_open for one in self.connections()):
            self._subscribed.clear()
            await self._settle()  # at full speed time passes only while somebody listens
        await self._let_answer()

    @contextlib.asynccontextmanager
    async def standing(self) -> AsyncIterator[None]:
        """For the time of a REST answer nothing is played, so that it is not ahead of what its asker was pushed."""
        self._asking += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._arrived(BOTH_APIS)
            yield
        finally:
            self._asking -= 1
            self._answered.set()

    async def _let_answer(self) -> None:
        while self._asking:
            self._answered.clear()
            await self._answered.wait()

    async def _arrived(self, apis: Iterable[str]) -> None:
        """Until the clients have got all that was said."""
        await self._until_read(apis, Connection.has_arrived)

    async def _until_read(self, apis: Iterable[str], is_fine: Callable[[Connection], bool]) -> None:
        seen: dict[Connection, tuple[int, float]] = {}
        while True:
            waiting = [one for one in self.connections() if one.api in apis and one.is_open and not is_fine(one)]
            if not waiting:
                return
            now = time.monotonic()
            for connection in waiting:
                unsent, since = seen.get(connection, (-1, now))
                if connection.unsent != unsent:
                    seen[connection] = connection.unsent, now
                elif now - since > self._options.stalled_seconds:
                    connection.cut("slow reader")
            await asyncio.sleep(LOOK_SECONDS)

    # -- gaps

    async def _line(self, entry: Entry) -> None:
        event: LineEvent = entry.data
        self._ahead.pop()
        if event.what == "start":  # the run before ended some time after its last row, without a word
            await self._go_down(self.stage.lines.take(event))
            await self._pass(entry.moment)
            return
        await self._pass(entry.moment)
        await self._go_down(self.stage.lines.take(event))
        if event.what == "connect" and (event.api in self.down or self._missing[event.api]):
            await self._come_back(entry.moment, [event.api])

    async def _pass(self, moment: int) -> None:
        """Time passes, in a gap of both lines not longer than was wished."""
        if len(self.down) == len(BOTH_APIS) and not self._time.is_unbound:
            left = self._gap_began + self._options.longest_gap_seconds - time.monotonic()
            if self._time.seconds_until(moment) > left:
                await asyncio.sleep(max(0.0, left))
                self._time.go_on(moment)
        await self._reach(moment)

    async def _go_down(self, apis: list[str]) -> None:
        """Cut everybody off and turn away who comes; all that was said before arrives."""
        if not apis or not self.frames:
            return  # nothing was played yet: the tape begins with the recorder's own beginning
        self._v1.tick(self._time.limit // MS)  # what waits for V1's next batch is said before
        await self._arrived(apis)
        self._gap_began = time.monotonic()
        self.down.update(apis)
        for api in apis:
            registry = self._registries[api]
            self._missing[api] = Counter()
            for connection in [one for one in self.connections() if one.api == api and one.is_open]:
                self._missing[api].update(registry.keys_of(connection))
                registry.remove_all(connection)
                connection.cut("gap")
        now = self._time.limit
        until = min((entry.moment for entry in self._ahead if entry.data.what == "connect"), default=now)
        self.stage.forget(apis, now - TOGETHER, until + TOGETHER)
        self._ledger.event(0, "gap", apis=sorted(apis), phase="begin", time_ns=now)

    async def _come_back(self, moment: int, apis: list[str]) -> None:
        """The door is open again; wait until those who were there are back, so that they miss nothing."""
        if moment > self._time.limit:
            await self._reach(moment)
        soon = {
            entry.data.api
            for entry in self._ahead
            if entry.data.what == "connect" and entry.moment <= moment + TOGETHER
        }
        self.down -= {*apis, *(self.down & soon)}
        patience = time.monotonic() + self._options.patience_seconds
        for api in apis:
            self._ledger.event(0, "gap", apis=[api], phase="end", time_ns=moment)
            while missing := self._still_missing(api):
                self._subscribed.clear()
                left = patience - time.monotonic()
                if left <= 0:
                    self._ledger.event(0, "gone", api=api, streams=len(missing))
                    sys.stderr.write(f"{len(missing)} {api} streams were not subscribed to again; going on\n")
                    break
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._subscribed.wait()
            self._missing[api] = Counter()
        self._time.go_on(moment)

    def _still_missing(self, api: str) -> list[Key]:
        registry = self._registries[api]
        return [key for key, count in self._missing[api].items() if len(registry.subscribers(key)) < count]
