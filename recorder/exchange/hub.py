"""The pace of the exchange: let the source advance, and push on the venue's cadence.

Ticks come every 100 ms of exchange time. What happens up to a tick is told before the tick, in the
source's order, even when our own clock is late: so frames follow from the data, not from the load.
"""

import asyncio

from recorder.exchange.clock import Clock
from recorder.exchange.ledger import Ledger
from recorder.exchange.registry import Registry
from recorder.exchange.series import Series
from recorder.exchange.site import HK, Site
from recorder.exchange.source import MS, Source, Traded
from recorder.exchange.v1_pushes import V1Pushes
from recorder.exchange.v2_pushes import V2Pushes

TICK = 100 * MS
V1_TICKS, TICKER_TICKS = 3, 5  # 300 ms and 500 ms
LAST_TICKS = 15  # after the last event of a source, every cadence comes round once more


class Hub:
    """Runs one source for all clients."""

    def __init__(
        self, source: Source, clock: Clock, ledger: Ledger, settle_seconds: float = 1.0, site: Site = HK
    ) -> None:
        self.source = source
        self.clock = clock
        self.v1_clients, self.v2_clients = Registry(), Registry()
        self.v1 = V1Pushes(source, self.v1_clients, clock)
        self.v2 = V2Pushes(source, self.v2_clients, clock)
        self.site = self.v1.site = self.v2.site = site
        self.delisted: dict[str, Series] = {}  # symbols that were traded here; see `delist`
        self.finished = asyncio.Event()
        self._ledger = ledger
        self._settle_seconds = settle_seconds
        self._subscribed = asyncio.Event()
        self._ticks = 0
        self._idle_ticks = 0
        self._second = 0
        self._mark_second(source.start_ns // MS)

    def subscribed(self) -> None:
        """A client has subscribed: a source that waits for clients may soon begin."""
        self._subscribed.set()

    def delist(self, symbol: str) -> None:
        """Take a symbol off the exchange; its subscriptions end without a word."""
        self.delisted[symbol] = self.source.series.pop(symbol)
        self.v1_clients.remove_symbol(symbol)
        self.v2_clients.remove_symbol(symbol)

    def relist(self, symbol: str) -> None:
        """Bring a delisted symbol back; who wants it must subscribe."""
        self.source.series[symbol] = self.delisted.pop(symbol)

    async def run(self) -> None:
        """Until cancelled, or until a source that ends has ended."""
        if self.source.waits:
            await self._settle()
        self.clock.begin()
        while not self.finished.is_set():
            upcoming = self.source.next_time()
            due = self.source.start_ns + (self._ticks + 1) * TICK
            await asyncio.sleep(self.clock.seconds_until(due if upcoming is None else min(due, upcoming)))
            await self.catch_up()

    async def _settle(self) -> None:
        """Wait for a subscription, and then until none has come for a while."""
        await self._subscribed.wait()
        while self._subscribed.is_set():
            self._subscribed.clear()
            await asyncio.sleep(self._settle_seconds)

    async def catch_up(self) -> None:
        """Do everything that is due by the clock, in the order of exchange time."""
        now = self.clock.now()
        while not self.finished.is_set():
            tick = self.source.start_ns + (self._ticks + 1) * TICK
            if tick > now:
                break
            self._events(tick)
            self._tick(tick // MS)
            await asyncio.sleep(0)  # a late exchange still answers its clients
        self._events(now)

    def _events(self, until_ns: int) -> None:
        for event in self.source.advance(until_ns):
            if isinstance(event, Traded):
                self.v1.traded(event)
                self.v2.traded(event)
            else:
                self.v2.quoted(event)

    def _tick(self, now_ms: int) -> None:
        self._ticks += 1
        self.v2.tick(now_ms)
        if self._ticks % V1_TICKS == 0:
            self.v1.tick(now_ms)
        if self._ticks % TICKER_TICKS == 0:
            self.v1.tick_tickers(now_ms)
        if now_ms // 1000 != self._second:
            self._mark_second(now_ms)
        self._idle_ticks = self._idle_ticks + 1 if self.source.next_time() is None else 0
        if self.source.waits and self._idle_ticks > LAST_TICKS:
            self._ledger.event(0, "finished")
            self.finished.set()

    def _mark_second(self, now_ms: int) -> None:
        self._second = now_ms // 1000
        marks, indices = self.source.marks(self._second * 1000), self.source.indices(self._second * 1000)
        self.v1.second(marks, indices)
        self.v2.second(marks)
