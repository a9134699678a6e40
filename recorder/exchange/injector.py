"""Do what a script says: at the sockets, at the door, in REST, to the clock and to the market.

`fault_plan.py` decides; here is what touches something. Without a script there is no injector, and
nobody asks it anything.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from aiohttp import web

from recorder.exchange.connection import Connection
from recorder.exchange.fault_frames import ERRORS, GARBAGE, SAMPLE, oversized
from recorder.exchange.fault_plan import Active, Frame, Note, Plan, Put, PutList, PutRaw, Step, Withhold
from recorder.exchange.fault_random import drawn
from recorder.exchange.faults import Fault, Script
from recorder.exchange.hub import Hub
from recorder.exchange.instruments import CONTRACTS, VENUE
from recorder.exchange.ledger import Ledger
from recorder.exchange.market import Market
from recorder.exchange.registry import Key
from recorder.exchange.source import MS

CATALOGUE = {listing.instrument.symbol: listing for listing in (*VENUE, *CONTRACTS) if not listing.temper.dormant}
POLL_SECONDS = 0.02  # own time; how soon a handshake that hangs sees that its fault is over
IDLE_SECONDS = 0.5  # own time; how often a half-open line is looked at, and a clock that stands still
PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


class Injector:
    """The faults of one run, in force."""

    def __init__(self, script: Script, hub: Hub, ledger: Ledger) -> None:
        """Raises ExchangeError for a script that speaks of symbols that are not here."""
        traded = list(hub.source.series)
        catalogue = list(CATALOGUE) if isinstance(hub.source, Market) else []
        script.check_symbols(traded, catalogue)
        self.script = drawn(script, traded, [symbol for symbol in catalogue if symbol not in traded])
        self.epoch = 0  # counts restarts; in every channelId
        self.connections: dict[int, Connection] = {}
        self._hub = hub
        self._clock = hub.clock
        self._ledger = ledger
        self._plan = Plan(self.script.faults, hub.source.start_ns)
        self._wake = asyncio.Event()
        self._sleeps_until: int | None = None
        self._begins: Mapping[str, Callable[[Active], Iterable[int]]] = {
            "cut": self._cut,
            "close": self._close,
            "half_open": self._half_open,
            "repeat_history": self._repeat_history,
            "error_frame": self._error_frame,
            "garbage": self._garbage,
            "oversized": self._oversized,
        }
        for fault in self.script.faults:
            ledger.event(0, "planned", fault=fault.number, kind=fault.kind, entry=dict(fault.entry))

    # -- time

    async def run(self) -> None:
        """Begin and end faults until cancelled."""
        while True:
            self.step()
            self._sleeps_until = due = self._plan.next_time()
            seconds = IDLE_SECONDS if due is None else min(IDLE_SECONDS, self._clock.seconds_until(due))
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()

    def step(self) -> None:
        """Do all that is due by the exchange's clock."""
        now = self._clock.now()
        for active, begins, steps in self._plan.turn(now):
            self._do(steps)
            if begins:
                self._begin(active)
            else:
                self._end(active)
        self._do(self._plan.release(now))
        for number in list(self._plan.dead):
            if self.connections[number].is_abandoned():
                self.connections[number].hang_up()

    def _hurry(self) -> None:
        """Something new may be due before we meant to look again."""
        due = self._plan.next_time()
        if due is not None and (self._sleeps_until is None or due < self._sleeps_until):
            self._wake.set()

    # -- the gate of every connection

    def opened(self, connection: Connection) -> None:
        self.connections[connection.number] = connection
        self._plan.opened(connection.number, connection.api)

    def gone(self, connection: Connection) -> None:
        for step in self._plan.gone(connection.number):
            if isinstance(step, Withhold):
                connection.withhold(step.frame.payload, step.fault)
        self.connections.pop(connection.number, None)

    def take(self, connection: Connection, payload: bytes, role: str, key: Key | None, packed: bytes | None) -> None:
        topic, symbol, variant = key or ("", "", "")
        frame = Frame(connection.number, connection.api, role, payload, topic, symbol, variant, packed)
        steps = self._plan.route(self._clock.now(), frame)
        if len(steps) == 1 and isinstance(steps[0], Put):
            connection.put(payload, steps[0].frame.packed)
            return
        self._do(steps)
        self._hurry()

    def subscribing(self, connection: Connection, key: Key) -> None:
        self._plan.subscribed(self._clock.now(), connection.number, connection.api, *key)
        self.step()  # what begins with the subscription begins before its first push
        self._hurry()

    def _do(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if isinstance(step, Note):
                self._ledger.event(step.conn, step.event, **step.details)
                continue
            number = step.frames[0].conn if isinstance(step, PutList) else 0
            number = step.conn if isinstance(step, PutRaw) else number
            number = step.frame.conn if isinstance(step, Put | Withhold) else number
            connection = self.connections.get(number)
            if connection is None:
                continue
            if isinstance(step, Put):
                connection.put(step.frame.payload, step.frame.packed)
            elif isinstance(step, PutList):
                connection.put_list([frame.payload for frame in step.frames])
            elif isinstance(step, PutRaw):
                connection.put_raw(step.body)
            else:
                connection.withhold(step.frame.payload, step.fault)

    # -- begin and end

    def _begin(self, active: Active) -> None:
        fault = active.fault
        act = self._begins.get(fault.kind)
        if act is not None and not (fault.kind == "garbage" and fault.keys["replace"]):
            if not list(act(active)):
                self._ledger.event(0, fault.kind, fault=fault.number, phase="missed")
            return
        phase = {"phase": "begin"} if active.is_on else {}
        said = {key: value for key, value in fault.entry.items() if key not in ("at", "kind")}
        note = active.note("begin")
        self._ledger.event(note.conn, fault.kind, fault=fault.number, **phase, **said)
        if fault.kind in ("clock_offset", "clock_step"):
            self._clock.wrong_ms = self._plan.clock_ms
        elif fault.kind == "restart":
            for connection in list(self.connections.values()):
                connection.cut("restart", fault=fault.number)
        elif fault.kind == "delist":
            for symbol in fault.symbols:
                if symbol in self._hub.source.series:
                    self._hub.delist(symbol)
        elif fault.kind == "list":
            self._list(fault)

    def _end(self, active: Active) -> None:
        fault = active.fault
        if fault.kind == "half_open":
            for number in active.lines or ():
                if number in self.connections:
                    self.connections[number].cut("half_open", fault=fault.number)
        elif fault.kind == "clock_offset":
            self._clock.wrong_ms = self._plan.clock_ms
        elif fault.kind == "restart":
            self.epoch += 1
            self._hub.v1.restart()
            if fault.keys["lower"] and isinstance(self._hub.source, Market):
                self._hub.source.restart()
        elif fault.kind == "delist":
            for symbol in fault.symbols:
                if symbol in self._hub.delisted:
                    self._hub.relist(symbol)
        note = active.note("end")
        self._ledger.event(note.conn, note.event, **note.details)

    def _list(self, fault: Fault) -> None:
        source = self._hub.source
        for symbol in fault.symbols:
            if symbol in self._hub.delisted:
                self._hub.relist(symbol)
            elif symbol not in source.series and isinstance(source, Market):
                # The planned time, not ours: the new market is then the same in every run.
                due = self._clock.now() if fault.after else source.start_ns + fault.at_ns
                source.add(CATALOGUE[symbol], due // MS)

    # -- what happens to lines at one moment; each tells which lines it met

    def _targets(self, active: Active) -> list[Connection]:
        numbers = self._plan.targets(active.fault)
        return [self.connections[number] for number in numbers]

    def _cut(self, active: Active) -> Iterable[int]:
        for connection in self._targets(active):
            connection.cut("fault", reset=active.fault.keys["reset"], fault=active.fault.number)
            yield connection.number

    def _close(self, active: Active) -> Iterable[int]:
        keys = active.fault.keys
        for connection in self._targets(active):
            if not self._plan.is_silent(connection.number):
                connection.say_goodbye(keys["code"], keys["reason"], fault=active.fault.number)
                yield connection.number

    def _half_open(self, active: Active) -> Iterable[int]:
        for number in sorted(active.lines or ()):
            lasting = {} if active.fault.lasts_ns is None else {"for": active.fault.entry["for"]}
            self._ledger.event(number, "half_open", fault=active.fault.number, phase="begin", **lasting)
            self.connections[number].go_deaf()
            yield number

    def _streams(self, active: Active) -> Iterable[Connection]:
        """The lines that a frame nobody asked for can be put on: with a filter, those subscribed to it."""
        fault = active.fault
        for connection in self._targets(active):
            if self._plan.is_silent(connection.number):
                continue
            clients = self._hub.v1_clients if connection.api == "v1" else self._hub.v2_clients
            if not (fault.topics or fault.symbols) or any(
                fault.concerns(connection.api, *key) for key in clients.keys_of(connection)
            ):
                yield connection

    def _repeat_history(self, active: Active) -> Iterable[int]:
        fault = active.fault
        numbers = self._plan.targets(fault)
        for topic in fault.topics or ("trade",):
            for key in self._hub.v1_clients.streams(topic.partition("_")[0]):
                if fault.topics and not fault.concerns("v1", *key):
                    continue
                if fault.symbols and key.symbol not in fault.symbols:
                    continue
                for subscription in self._hub.v1_clients.subscribers(key):
                    number = subscription.connection.number
                    if number in numbers and not self._plan.is_silent(number):
                        self._ledger.event(
                            number, "repeat_history", fault=fault.number, topic=key.topic, symbol=key.symbol
                        )
                        self._hub.v1.repeat(subscription)
                        yield number

    def _error_frame(self, active: Active) -> Iterable[int]:
        fault = active.fault
        shapes = list(ERRORS) if fault.keys["shape"] == "all" else [fault.keys["shape"]]
        topic, symbol = (fault.topics or ("depth",))[0], (fault.symbols or ("BTCUSD",))[0]
        for connection in self._streams(active):
            for shape in shapes:
                self._ledger.event(connection.number, "error_frame", fault=fault.number, shape=shape)
                connection.send(ERRORS[shape](topic, symbol))
            yield connection.number

    def _garbage(self, active: Active) -> Iterable[int]:
        fault = active.fault
        shapes = list(GARBAGE) if fault.keys["shape"] == "all" else [fault.keys["shape"]]
        for connection in self._streams(active):
            for shape in shapes:
                self._ledger.event(connection.number, "garbage", fault=fault.number, shape=shape)
                connection.put_raw(GARBAGE[shape](SAMPLE))
            yield connection.number

    def _oversized(self, active: Active) -> Iterable[int]:
        size = active.fault.keys["bytes"]
        for connection in self._streams(active):
            self._ledger.event(connection.number, "oversized", fault=active.fault.number, bytes=size)
            connection.put_raw(oversized(size))
            yield connection.number

    # -- the door and REST

    async def turn_away(self, request: web.Request, api: str) -> web.Response | None:
        """What a handshake meets instead of a socket; None lets it in."""
        self.step()  # the door closes at its time, even if the loop is late
        active = self._plan.refusal(api)
        if active is None:
            return None
        self._ledger.event(0, active.fault.kind, fault=active.fault.number, phase="hit", api=api)
        self._note_exhausted(active)
        return await self._refuse(request, active)

    async def answer(self, request: web.Request) -> web.Response | None:
        """What a REST request meets instead of its answer; None: nothing, at last."""
        self.step()
        for active in self._plan.request(request.path):
            fault, keys = active.fault, active.fault.keys
            self._ledger.event(0, fault.kind, fault=fault.number, phase="hit", path=request.path)
            self._note_exhausted(active)
            if fault.kind == "slow_rest":
                await asyncio.sleep(self._clock.seconds_until(self._clock.now() + round(keys["seconds"] * 1e9)))
            elif fault.kind == "restart":
                return await self._refuse(request, active)
            else:
                return _instead(keys["answer"], keys["retry_after"])
        return None

    def _note_exhausted(self, active: Active) -> None:
        if not active.is_on:
            self._ledger.event(0, active.fault.kind, fault=active.fault.number, phase="end")

    async def _refuse(self, request: web.Request, active: Active) -> web.Response:
        mode = active.fault.keys["mode"]
        if mode == "503":
            return _instead(503, None)
        transport = request.transport
        while mode == "hang" and transport is not None and not transport.is_closing():
            if active.until is not None and self._clock.now() >= active.until:
                break
            await asyncio.sleep(POLL_SECONDS)
        if transport is not None:
            transport.abort()
        return web.Response()


def _instead(answer: int | str, retry_after: int | None) -> web.Response:
    """A REST reply that is none: an error status, an empty 200, or a web page said to be JSON."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if answer == "empty":
        return web.Response(body=b"", status=200, content_type="application/json", headers=headers)
    if answer == "html":
        return web.Response(body=PAGE, status=200, content_type="application/json", headers=headers)
    status = int(answer)
    error: dict[str, Any] = {
        429: {"code": "0003", "msg": "Rate limit exceeded"},
        418: {"code": "0003", "msg": "Banned for repeated rate limit violations"},
    }.get(status, {"code": "-1000", "msg": "An unknown error occurred while processing the request"})
    return web.Response(body=orjson.dumps(error), status=status, content_type="application/json", headers=headers)
