"""Decide how a line behaves: when to connect, what to ask for, when to ping and when to give up.

Nothing here touches a socket or a clock. `line.py` does the I/O and tells the time in seconds; the
answer is a list of things to do. A line never gives up for good: a clean close is only a close.
"""

import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

V1 = 1
PING_SECONDS = 10.0  # as the venue recommends
PATIENCE_SECONDS = 25.0  # without any frame a line is dead
ANSWER_SECONDS = 10.0  # for an acknowledgement, or a first frame on V1
FIRST_DELAY, LAST_DELAY = 1.0, 60.0
QUICK = 45  # attempts, about a minute: a venue that restarts is missed for no longer than it is away
STEADY_SECONDS = 30.0  # a connection that lived so long is replaced at once; only if that fails, the delays begin
AT_ONCE = 0.2
BURST, RATE = 60, 20.0  # requests at once, and per second after that; the venue took 38 at once
SYMBOLS_A_FRAME = 50  # V1 takes lists; far below any limit of a frame's size

Ask = tuple[str, str]  # topic, symbol


class State(Enum):
    WAITING = "waiting"
    CONNECTING = "connecting"
    OPEN = "open"


class Happening(Enum):
    DUE = "due"
    OPENED = "opened"
    FAILED = "failed"
    CLOSED = "closed"


NEXT_STATE = {
    (State.WAITING, Happening.DUE): State.CONNECTING,
    (State.CONNECTING, Happening.OPENED): State.OPEN,
    (State.CONNECTING, Happening.FAILED): State.WAITING,
    (State.OPEN, Happening.CLOSED): State.WAITING,
}


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Send one request. V1: a topic for several symbols; V2: for one."""

    topic: str
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    topic: str
    symbol: str


@dataclass(frozen=True, slots=True)
class Ping:
    pass


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Close the line: it is dead."""

    reason: str


@dataclass(frozen=True, slots=True)
class Silent:
    """Twice asked, never answered."""

    topic: str
    symbol: str


Action = Subscribe | Cancel | Ping | GiveUp | Silent


@dataclass(slots=True)
class Backoff:
    """How long to wait before the next attempt: a second for the first minute, then doubling; with jitter, so that
    many do not come at once."""

    jitter: Callable[[], float] = random.random
    failures: int = 0

    def next_delay(self) -> float:
        delay = min(LAST_DELAY, FIRST_DELAY * 2.0 ** min(max(0, self.failures - QUICK), 16))
        self.failures += 1
        return self._with_jitter(delay)

    def first_delay(self) -> float:
        """After a connection that had lived well."""
        self.failures = 0
        return self._with_jitter(min(AT_ONCE, FIRST_DELAY))

    def _with_jitter(self, delay: float) -> float:
        return delay * (0.5 + 0.5 * self.jitter())


@dataclass(slots=True)
class Pace:
    """A bucket of requests: a burst, then so many a second."""

    tokens: float = BURST
    at: float = -math.inf

    def take(self, now: float) -> bool:
        self.tokens = min(BURST, self.tokens + (now - self.at) * RATE)
        self.at = now
        if self.tokens < 1 - 1e-6:
            return False
        self.tokens -= 1
        return True

    @property
    def next_at(self) -> float:
        return self.at + max(0.0, 1 - self.tokens) / RATE


@dataclass(slots=True)
class _Pending:
    """A request that was not answered yet."""

    since: float = math.inf  # inf: still waits to be sent
    attempts: int = 0


@dataclass
class Session:
    """The rules of one connection after another. `now` is monotonic time in seconds everywhere."""

    line: int
    backoff: Backoff = field(default_factory=Backoff)
    state: State = State.WAITING
    last_heard: float = -math.inf  # set it at each frame
    _wanted: dict[Ask, None] = field(default_factory=dict)  # in the order to ask
    _pending: dict[Ask, _Pending] = field(default_factory=dict)
    _failed: set[Ask] = field(default_factory=set)  # refused, or silent: until the next refresh
    _queue: deque[Subscribe | Cancel] = field(default_factory=deque)
    _pace: Pace = field(default_factory=Pace)
    _last_ping: float = -math.inf
    _opened_at: float = -math.inf

    # What is wanted

    def want(self, asks: Iterable[Ask]) -> None:
        """The whole list of what to subscribe; new ones are asked for, missing ones cancelled."""
        wanted = dict.fromkeys(asks)
        new = [ask for ask in wanted if ask not in self._wanted]
        gone = [ask for ask in self._wanted if ask not in wanted]
        self._wanted = wanted
        if self.state is State.OPEN:
            self._enqueue(new)
            self._queue.extend(Cancel(topic, symbol) for topic, symbol in gone)
        for ask in gone:
            self._pending.pop(ask, None)
            self._failed.discard(ask)

    def retry_failed(self) -> None:
        """Ask once more for what was refused or stayed silent: the venue may have changed its mind."""
        again = [ask for ask in self._wanted if ask in self._failed]
        self._failed.clear()
        if self.state is State.OPEN:
            self._enqueue(again)

    def renew(self, ask: Ask) -> None:
        """Subscribe anew to what was subscribed: V1 then begins with its first push again."""
        if ask in self._wanted and self.state is State.OPEN and ask not in self._pending:
            self._queue.append(Cancel(*ask))
            self.repeat([ask])

    def repeat(self, asks: Iterable[Ask]) -> None:
        """Ask once more for what is subscribed already; V1 answers with its first push."""
        if self.state is State.OPEN:
            self._failed.difference_update(asks := [ask for ask in asks if ask in self._wanted])
            self._enqueue(asks)

    # What happens

    def connecting(self) -> None:
        self._go(Happening.DUE)

    def opened(self, now: float) -> None:
        self._go(Happening.OPENED)
        self.last_heard = self._opened_at = now
        self._last_ping = -math.inf
        self._pace = Pace(at=now)
        self._queue.clear()
        self._pending.clear()
        self._failed.clear()
        self._enqueue(self._wanted)

    def failed(self) -> float:
        """The attempt to connect failed; returns the seconds to wait."""
        self._go(Happening.FAILED)
        return self.backoff.next_delay()

    def closed(self, now: float) -> float:
        """The line is gone, however it went; returns the seconds to wait."""
        self._go(Happening.CLOSED)
        return self.backoff.first_delay() if self.is_steady(now) else self.backoff.next_delay()

    def is_steady(self, now: float) -> bool:
        return now - self._opened_at >= STEADY_SECONDS

    def answered(self, topic: str, symbol: str) -> None:
        """An acknowledgement or data came, perhaps later than expected."""
        self._pending.pop((topic, symbol), None)
        self._failed.discard((topic, symbol))

    def refused(self, topic: str, symbol: str) -> None:
        """The venue said no to exactly this."""
        if (topic, symbol) in self._wanted:
            self._pending.pop((topic, symbol), None)
            self._failed.add((topic, symbol))

    @property
    def waits_for(self) -> list[Ask]:
        """What was asked for and not answered yet."""
        return list(self._pending)

    @property
    def is_waiting(self) -> bool:
        return bool(self._pending)

    # What to do

    def due(self, now: float) -> list[Action]:
        """All there is to do now."""
        if self.state is not State.OPEN:
            return []
        if now - self.last_heard >= PATIENCE_SECONDS:
            return [GiveUp("silent")]
        actions: list[Action] = []
        if now - self._last_ping >= PING_SECONDS:
            self._last_ping = now
            actions.append(Ping())
        actions += self._overdue(now)
        while self._queue and self._pace.take(now):
            action = self._queue.popleft()
            if isinstance(action, Subscribe):
                for symbol in action.symbols:
                    pending = self._pending.get((action.topic, symbol))
                    if pending is not None:
                        pending.since, pending.attempts = now, pending.attempts + 1
            actions.append(action)
        return actions

    def next_due(self) -> float:
        """When to look again; inf while there is no line."""
        if self.state is not State.OPEN:
            return math.inf
        times = [self.last_heard + PATIENCE_SECONDS, self._last_ping + PING_SECONDS]
        if self._queue:
            times.append(self._pace.next_at)
        if self._pending:
            times.append(min(pending.since for pending in self._pending.values()) + ANSWER_SECONDS)
        return min(times)

    def _overdue(self, now: float) -> list[Action]:
        silent: list[Action] = []
        for ask, pending in list(self._pending.items()):
            if now - pending.since < ANSWER_SECONDS:
                continue
            if pending.attempts < 2:
                pending.since = math.inf
                self._queue.append(Subscribe(ask[0], (ask[1],)))  # alone: in a list one bad name may spoil it
            else:
                del self._pending[ask]
                self._failed.add(ask)
                silent.append(Silent(*ask))
        return silent

    def _enqueue(self, asks: Iterable[Ask]) -> None:
        by_topic: dict[str, list[str]] = {}
        for topic, symbol in asks:
            self._pending[topic, symbol] = _Pending()
            by_topic.setdefault(topic, []).append(symbol)
        size = SYMBOLS_A_FRAME if self.line == V1 else 1
        for topic, symbols in by_topic.items():
            for at in range(0, len(symbols), size):
                self._queue.append(Subscribe(topic, tuple(symbols[at : at + size])))

    def _go(self, happening: Happening) -> None:
        self.state = NEXT_STATE[self.state, happening]
