"""Decide what becomes of each frame, handshake and request while faults come and go.

Pure: it is told the time, the lines and the subscriptions, and answers with steps. `injector.py` asks
and does them. A fault is on from its `turn` that begins it to the one that ends it, so what is decided
in between is what the ledger says.

A frame meets at most one fault that changes it, the first of PRECEDENCE; a `delay` then holds whatever
came of it. What is held and can no longer be sent is withheld, never forgotten.
"""

import gzip
import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from recorder.exchange.fault_frames import GARBAGE, emptied
from recorder.exchange.faults import SECOND, Fault

HELD_AT_MOST = 2 * SECOND  # a frame that waits for a later one (reorder, list_wrapped) waits no longer
PRECEDENCE = (
    "mute_all_but_pongs", "mute", "skip_counter", "garbage", "empty_data", "list_wrapped", "reorder", "duplicate",
    "binary_gzip",
)  # fmt: skip
LASTING = {"refuse", "half_open", "clock_offset", "http", "slow_rest", "restart", "delist", "delay", *PRECEDENCE}
CHANGES_LATER_PUSHES = {"skip_counter", "reorder"}  # first pushes are left alone


class Frame(NamedTuple):
    """What the venue is about to say on one line. `role`: push, first, answer or pong."""

    conn: int
    api: str
    role: str
    payload: bytes
    topic: str = ""
    symbol: str = ""
    variant: str = ""
    packed: bytes | None = None  # what travels if it is sent as binary

    @property
    def stream(self) -> tuple[int, str, str, str]:
        return self.conn, self.topic, self.symbol, self.variant


class Put(NamedTuple):
    """Send it."""

    frame: Frame


class PutList(NamedTuple):
    """Send all in one frame, a list at top level."""

    frames: tuple[Frame, ...]


class PutRaw(NamedTuple):
    """Send bytes that are no JSON."""

    conn: int
    body: bytes


class Withhold(NamedTuple):
    """Do not send it, and say so in the ledger."""

    frame: Frame
    fault: int


class Note(NamedTuple):
    """A line for the ledger; `conn` 0 is all."""

    conn: int
    event: str
    details: dict[str, Any]


Step = Put | PutList | PutRaw | Withhold | Note


class Held(NamedTuple):
    """Frames that wait for a later one, until `due` at most."""

    due: int
    frames: list[Frame]


@dataclass(slots=True, eq=False)
class Active:
    """A fault that is on."""

    fault: Fault
    lines: frozenset[int] | None  # the only connections it concerns; None: whichever
    left: int | None  # what remains of its count
    until: int | None = None  # when it ends, if it says
    is_on: bool = True
    freed: set[tuple[int, str, str, str]] = field(default_factory=set)  # streams that have resubscribed
    held: dict[tuple[int, str, str, str], Held] = field(default_factory=dict)
    queues: dict[int, deque[tuple[int, list[Step]]]] = field(default_factory=dict)  # of delay, a connection each

    def takes(self, frame: Frame) -> bool:
        """Whether this fault is about the frame, by its filters."""
        fault = self.fault
        if self.lines is not None and frame.conn not in self.lines:
            return False
        if fault.kind == "delay" and not (fault.topics or fault.symbols):
            return not fault.api or frame.api == fault.api
        if fault.kind == "mute_all_but_pongs":
            return frame.role != "pong" and fault.concerns(frame.api)
        if frame.role != "push" and (frame.role != "first" or fault.kind in CHANGES_LATER_PUSHES):
            return False
        if fault.kind == "skip_counter" and frame.topic != "diffMergedDepth":
            return False
        if frame.stream in self.freed:
            return False
        return fault.concerns(frame.api, frame.topic, frame.symbol, frame.variant)

    def acts(self, frame: Frame) -> bool:
        """Whether there is something left for it to do with a frame that it takes."""
        return (self.left is None or self.left > 0 or self._key(frame) in self.held) and self.takes(frame)

    def _key(self, frame: Frame) -> tuple[int, str, str, str]:
        return frame.stream if self.fault.kind == "reorder" else (frame.conn, "", "", "")

    def note(self, phase: str, conn: int | None = None, **more: Any) -> Note:
        if conn is None:
            conn = next(iter(self.lines)) if self.lines is not None and len(self.lines) == 1 else 0
        return Note(conn, self.fault.kind, {"fault": self.fault.number, "phase": phase} | more)


class Turn(NamedTuple):
    """A fault begins or ends; `steps` is what to do with frames it still held."""

    active: Active
    begins: bool
    steps: list[Step]


class Plan:
    """The faults of one run."""

    def __init__(self, faults: Sequence[Fault], start_ns: int) -> None:
        self._waiting = [(start_ns + fault.at_ns, fault.number, fault) for fault in faults if not fault.after]
        heapq.heapify(self._waiting)
        self._armed = [fault for fault in faults if fault.after]  # wait for a subscription
        self._on: list[Active] = []
        self._effects: list[Active] = []  # of those, the ones that change frames, by precedence
        self._delays: list[Active] = []  # also those that have ended and still hold frames
        self._step_ms = 0  # what clock_step has come to
        self.lines: dict[int, str] = {}  # open connections and their API, oldest first
        self.dead: dict[int, int] = {}  # half-open connections, and by which fault

    # -- time

    def next_time(self) -> int | None:
        """When `turn` or `release` has something to do; None: not before somebody subscribes or speaks."""
        return min(self._times(), default=None)

    def _times(self) -> Iterator[int]:
        if self._waiting:
            yield self._waiting[0][0]
        for active in self._on:
            if active.until is not None:
                yield active.until
            for held in active.held.values():
                yield held.due
        for active in self._delays:
            for queue in active.queues.values():
                yield queue[0][0]

    def turn(self, now: int) -> Iterator[Turn]:
        """What begins and ends by `now`, in the order of time. `for` counts from the moment it begins."""
        while True:
            ending = min((one for one in self._on if one.until is not None), key=_until, default=None)
            begins = self._waiting[0][0] if self._waiting else None
            ends = None if ending is None else ending.until
            if begins is not None and begins <= now and (ends is None or begins <= ends):
                yield Turn(self._begin(heapq.heappop(self._waiting)[2], now), True, [])
            elif ending is not None and ends is not None and ends <= now:
                yield Turn(ending, False, self._end(ending))
            else:
                return

    def _begin(self, fault: Fault, now: int) -> Active:
        chosen: frozenset[int] | None = frozenset(fault.conns) if isinstance(fault.conns, tuple) else None
        if isinstance(fault.conns, str) or fault.kind == "half_open" or fault.keys.get("until") == "reconnect":
            chosen = frozenset(self.targets(fault))
        elif not chosen:
            chosen = None
        active = Active(fault, chosen, fault.count)
        if fault.kind == "clock_step":
            self._step_ms += fault.keys["ms"]
        if fault.kind not in LASTING or (fault.kind == "garbage" and not fault.keys["replace"]):
            active.is_on = False
            return active
        active.until = None if fault.lasts_ns is None else now + fault.lasts_ns
        self._on.append(active)
        if fault.kind in PRECEDENCE:
            self._effects.append(active)
            self._effects.sort(key=lambda one: (PRECEDENCE.index(one.fault.kind), one.fault.number))
        if fault.kind == "delay":
            self._delays.append(active)
        if fault.kind == "half_open":
            self.dead.update((conn, fault.number) for conn in active.lines or ())
        return active

    def _end(self, active: Active) -> list[Step]:
        active.is_on = False
        self._on.remove(active)
        if active in self._effects:
            self._effects.remove(active)
        if active in self._delays and not active.queues:
            self._delays.remove(active)
        steps = [step for held in active.held.values() for step in self._let_go(active, held)]
        active.held.clear()
        return self._for_the_living(steps)

    def release(self, now: int) -> list[Step]:
        """What was held and is due."""
        steps: list[Step] = []
        for active in list(self._on):
            for key, held in list(active.held.items()):
                if held.due <= now:
                    del active.held[key]
                    steps += self._let_go(active, held)
            if active.left == 0 and not active.held:
                steps += [*self._end(active), active.note("end")]
        for active in list(self._delays):
            for conn, queue in list(active.queues.items()):
                while queue and queue[0][0] <= now:
                    steps += queue.popleft()[1]
                if not queue:
                    del active.queues[conn]
            if not active.is_on and not active.queues:
                self._delays.remove(active)
        return self._for_the_living(steps)

    def _for_the_living(self, steps: list[Step]) -> list[Step]:
        """Nothing more is said on a line that has become half-open meanwhile."""
        if not self.dead:
            return steps
        said: list[Step] = []
        for step in steps:
            conn = step.frame.conn if isinstance(step, Put) else step.frames[0].conn if isinstance(step, PutList) else 0
            conn = step.conn if isinstance(step, PutRaw) else conn
            said += _unsaid([step], self.dead[conn]) if conn in self.dead else [step]
        return said

    def _let_go(self, active: Active, held: Held) -> list[Step]:
        if active.fault.kind == "list_wrapped":
            return _wrapped(active, held.frames)
        return [Put(frame) for frame in held.frames]

    # -- lines

    def opened(self, conn: int, api: str) -> None:
        self.lines[conn] = api

    def gone(self, conn: int) -> list[Step]:
        """The connection has ended: whatever was held for it will never be sent."""
        self.lines.pop(conn, None)
        self.dead.pop(conn, None)
        steps: list[Step] = []
        for active in self._on:
            for key in [key for key in active.held if key[0] == conn]:
                steps += [Withhold(frame, active.fault.number) for frame in active.held.pop(key).frames]
        for active in list(self._delays):
            for _, later in active.queues.pop(conn, ()):
                steps += _unsaid(later, active.fault.number)
            if not active.is_on and not active.queues:
                self._delays.remove(active)
        return steps

    def targets(self, fault: Fault) -> list[int]:
        """The open connections that a fault is about; `oldest` and `newest` among those of its API."""
        fitting = [conn for conn, api in self.lines.items() if fault.api in ("", api)]
        if fault.conns == "oldest":
            return fitting[:1]
        if fault.conns == "newest":
            return fitting[-1:]
        return [conn for conn in fitting if not fault.conns or conn in fault.conns]

    def subscribed(self, now: int, conn: int, api: str, topic: str, symbol: str, variant: str) -> None:
        """A client subscribes: what waited for it is due, and what it heals is healed for this stream."""
        for fault in list(self._armed):
            fits = not fault.conns or conn in (self.targets(fault) if isinstance(fault.conns, str) else fault.conns)
            # a fault of no stream (restart, http) waits for any subscription
            if fits and fault.concerns(api, topic, symbol, variant):
                self._armed.remove(fault)
                heapq.heappush(self._waiting, (now + fault.at_ns, fault.number, fault))
        for active in self._on:
            if active.fault.keys.get("until") == "resubscribe":
                active.freed.add((conn, topic, symbol, variant))

    def is_silent(self, conn: int) -> bool:
        """Whether nothing may be said on this line but, perhaps, pongs."""
        frame = Frame(conn, self.lines.get(conn, ""), "answer", b"")
        return conn in self.dead or any(
            one.fault.kind == "mute_all_but_pongs" and one.takes(frame) for one in self._effects
        )

    # -- frames

    def route(self, now: int, frame: Frame) -> list[Step]:
        """What becomes of a frame."""
        if frame.conn in self.dead:
            return [Withhold(frame, self.dead[frame.conn])]
        active = next((one for one in self._effects if one.acts(frame)), None)
        if active is None:
            steps: list[Step] = [Put(frame)]
        else:
            steps = self._apply(active, frame, now)
            if active.left == 0 and not active.held:
                steps += [*self._end(active), active.note("end")]
        return self._delayed(now, frame, steps)

    def _apply(self, active: Active, frame: Frame, now: int) -> list[Step]:
        kind, keys = active.fault.kind, active.fault.keys
        if kind in ("mute", "mute_all_but_pongs"):
            return [Withhold(frame, active.fault.number)]
        if kind == "reorder":
            return self._swap(active, frame, now)
        if kind == "list_wrapped":
            return self._gather(active, frame, now)
        if active.left is not None:
            active.left -= 1
        return CHANGES[kind](active, frame, keys)

    def _swap(self, active: Active, frame: Frame, now: int) -> list[Step]:
        earlier = active.held.pop(frame.stream, None)
        if earlier is not None:
            return [_hit(active, frame), Put(frame), *(Put(one) for one in earlier.frames)]
        if active.left is not None:
            active.left -= 1
        active.held[frame.stream] = Held(now + HELD_AT_MOST, [frame])
        return []

    def _gather(self, active: Active, frame: Frame, now: int) -> list[Step]:
        key = (frame.conn, "", "", "")
        if key not in active.held:
            if active.left is not None:
                active.left -= 1
            active.held[key] = Held(now + HELD_AT_MOST, [])
        held = active.held[key]
        held.frames.append(frame)
        if len(held.frames) < active.fault.keys["size"]:
            return []
        del active.held[key]
        return _wrapped(active, held.frames)

    def _delayed(self, now: int, frame: Frame, steps: list[Step]) -> list[Step]:
        if not any(isinstance(step, Put | PutList | PutRaw) for step in steps):
            return steps
        for active in self._delays:
            queue = active.queues.get(frame.conn)
            if not (active.is_on or queue) or not active.takes(frame):
                continue
            due = now + round(active.fault.keys["seconds"] * SECOND) if active.is_on else now
            if queue is None:
                queue = active.queues[frame.conn] = deque()
            # A fault that has ended still makes frames wait for those before them.
            queue.append((max(due, queue[-1][0]) if queue else due, steps))
            return []
        return steps

    # -- handshakes, requests, clock

    def refusal(self, api: str) -> Active | None:
        """The fault that turns a new socket away, if there is one; counts it."""
        for active in self._on:
            if active.fault.kind == "restart" or (active.fault.kind == "refuse" and active.fault.api in ("", api)):
                return self._used(active)
        return None

    def request(self, path: str) -> list[Active]:
        """The faults that a REST request meets: the slow ones, then the one that answers. Counts them."""
        met = [one for one in self._on if one.fault.kind == "slow_rest" and _is_about(one.fault, path)]
        answers = (
            one
            for one in self._on
            if one.fault.kind == "restart" or (one.fault.kind == "http" and _is_about(one.fault, path))
        )
        answer = next(answers, None)
        return [self._used(active) for active in (*met, *([answer] if answer else []))]

    def _used(self, active: Active) -> Active:
        if active.left is not None:
            active.left -= 1
            if not active.left:
                self._end(active)
        return active

    @property
    def clock_ms(self) -> int:
        """How far the server's clock is off."""
        ms: int = self._step_ms + sum(one.fault.keys["ms"] for one in self._on if one.fault.kind == "clock_offset")
        return ms


def _unsaid(steps: list[Step], fault: int) -> list[Step]:
    """Steps that will not be taken: their frames are withheld, bytes that are no frame are forgotten."""
    found: list[Step] = []
    for step in steps:
        if isinstance(step, Withhold):
            found.append(step)
        elif isinstance(step, Put):
            found.append(Withhold(step.frame, fault))
        elif isinstance(step, PutList):
            found += [Withhold(frame, fault) for frame in step.frames]
    return found


def _until(active: Active) -> int:
    assert active.until is not None
    return active.until


def _is_about(fault: Fault, path: str) -> bool:
    return not fault.keys["path"] or path.startswith(tuple(fault.keys["path"]))


def _hit(active: Active, frame: Frame, **more: Any) -> Note:
    return active.note("hit", frame.conn, topic=frame.topic, symbol=frame.symbol, **more)


def _wrapped(active: Active, frames: list[Frame]) -> list[Step]:
    return [_hit(active, frames[0], messages=len(frames)), PutList(tuple(frames))]


def _skip(active: Active, frame: Frame, keys: Any) -> list[Step]:
    return [_hit(active, frame), Withhold(frame, active.fault.number)]


def _garbage(active: Active, frame: Frame, keys: Any) -> list[Step]:
    shapes = tuple(GARBAGE) if keys["shape"] == "all" else (keys["shape"],)
    steps: list[Step] = [Withhold(frame, active.fault.number)]
    for shape in shapes:
        steps += [_hit(active, frame, shape=shape), PutRaw(frame.conn, GARBAGE[shape](frame.payload))]
    return steps


def _empty(active: Active, frame: Frame, keys: Any) -> list[Step]:
    shapes = ("list", "null", "missing") if keys["shape"] == "all" else (keys["shape"],)
    steps: list[Step] = []
    for shape in shapes:
        hollow = frame._replace(payload=emptied(frame.payload, shape), packed=None)
        steps += [_hit(active, frame, shape=shape), Put(hollow)]
    return [*steps, Withhold(frame, active.fault.number) if keys["replace"] else Put(frame)]


def _duplicate(active: Active, frame: Frame, keys: Any) -> list[Step]:
    copies = keys["copies"]
    return [Put(frame), _hit(active, frame, copies=copies), *[Put(frame)] * copies]


def _gzip(active: Active, frame: Frame, keys: Any) -> list[Step]:
    return [_hit(active, frame), Put(frame._replace(packed=gzip.compress(frame.payload, mtime=0)))]


CHANGES: dict[str, Callable[[Active, Frame, Any], list[Step]]] = {
    "skip_counter": _skip,
    "garbage": _garbage,
    "empty_data": _empty,
    "duplicate": _duplicate,
    "binary_gzip": _gzip,
}
