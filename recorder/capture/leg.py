"""One connection: `session` decides, `connection` is the socket, the journal takes every frame, this ties them.

The order in `_frame` is the promise: journal first, understand afterwards. If our own code stumbles
over a frame, the frame is already kept and the connection lives on.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog
from websockets.exceptions import InvalidHandshake, InvalidURI

from recorder.capture.clock import PingClock
from recorder.capture.connection import FrameConnection, open_connection, why_closed
from recorder.capture.session import Ask, Cancel, GiveUp, Ping, Session, Silent, State, Subscribe
from recorder.capture.state import TopicState
from recorder.capture.streams import Event
from recorder.journal.format import Kind
from recorder.journal.writer import DROPPED
from recorder.venues.hashkey import peek as see
from recorder.venues.hashkey.subscribe import DELTA_BOOK, TRADES, V1, channel_of, ping, pong, v1_request, v2_request

if TYPE_CHECKING:
    from recorder.capture.line import Line

log = structlog.get_logger()
AGENT = "hashkey-recorder"


class Leg:
    """A connection of a line, from the attempt to its end."""

    def __init__(self, line: "Line", conn: int) -> None:
        self.line = line
        self.conn = conn
        self.state = line.state
        self.topics: dict[Ask, TopicState] = {}
        self.session = Session(line.number, line.backoff)
        self.clock = PingClock()
        self.settled = asyncio.Event()  # all that was asked for is answered, or refused
        self.ending = "stopped"  # why we close it, if we do
        self.opened_ns = self.opened_monotonic_ns = 0
        self.last_ns = 0  # receive_ns of the last frame; 0: none yet
        self._last_seq = 0
        self._connection: FrameConnection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._gave_up = ""
        self._scale = line.tempo.pace / 1e9

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    # Its life

    async def connect(self) -> float | None:
        """Open it. Returns the seconds to wait before the next attempt if that failed."""
        self.session.connecting()
        try:
            connection = await open_connection(self.state.url, AGENT)
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI, EOFError) as error:
            return self._refused(error)
        self._connection = connection
        self.opened_ns = time.time_ns()
        self.opened_monotonic_ns = time.monotonic_ns()
        self.topics = {
            ask: topic.on_new_connection(self.opened_monotonic_ns) for ask, topic in self.state.topics.items()
        }
        self.line.opened(self)
        self.session.want(self.topics)
        self.session.opened(self.line.tempo.now())
        return None

    async def live(self) -> float:
        """Take frames until it is gone; returns the seconds to wait before the next attempt.

        When cancelled it closes politely: once the server has answered the close, all that it sent before has come.
        """
        assert self._connection is not None, "it is not open"
        connection = self._connection
        connection.start(self._frame)
        self._tick()
        try:
            await connection.wait_closed()
        except asyncio.CancelledError:
            stop_ns = time.time_ns()
            try:
                await asyncio.shield(connection.close())
            finally:
                was_answered = connection.protocol.close_rcvd is not None
                self._closed(self.ending, "", stop_ns if was_answered else None)
            raise
        reason, detail = why_closed(connection)
        return self._closed(self._gave_up or reason, detail)

    def want(self, asks: Iterable[Ask]) -> None:
        """What it shall bring, all of it, as `line.state.topics` names it."""
        monotonic_ns = time.monotonic_ns()
        self.topics = {
            ask: self.topics.get(ask) or self.state.topics[ask].on_new_connection(monotonic_ns) for ask in asks
        }
        self.session.want(self.topics)
        self._tick()

    def retry(self) -> None:
        self.session.retry_failed()
        self._tick()

    def repeat(self, asks: Iterable[Ask]) -> None:
        self.session.repeat(asks)
        self._tick()

    def resubscribe(self, topic: TopicState) -> None:
        topic.is_proved = False
        self.session.renew((topic.topic, topic.symbol))
        self._tick()

    def stale(self, topic: TopicState) -> list[Event]:
        """It comes no more though the connection lives; only a push proves it again."""
        topic.is_proved, topic.needs_push = False, True
        since_ns = max(topic.last_ns, self.opened_ns) - self.clock.margin_ns
        return self.line.lost(
            self.line.streams.unproved(self.conn, topic.topic, topic.channel, topic.symbol, since_ns, "stale")
        )

    def hole(self, topic: TopicState) -> list[Event]:
        """Its longest silence was one in which it should have spoken."""
        since_ns, margin_ns = max(topic.longest_from, self.opened_ns), self.clock.margin_ns
        return self.line.lost(
            self.line.streams.hole(
                self.conn, topic.channel, topic.symbol, since_ns, topic.longest_to, "stale", margin_ns
            )
        )

    def all_stale(self) -> list[Event]:
        """Nothing but pongs comes."""
        last_ns = max([self.opened_ns, *(topic.last_ns for topic in self.topics.values())])
        for topic in self.topics.values():
            topic.is_proved = False
        return self.line.lost(
            self.line.streams.conn_lost(self.conn, last_ns - self.clock.margin_ns, "stale", self._last_seq)
        )

    def _refused(self, error: Exception) -> float:
        delay = self.session.failed()
        text = f"{type(error).__name__}: {error}"[:300]
        detail = f"cannot connect: {text}"
        self.line.emit([{"event": "error", "conn": self.conn, "line": self.line.number, "detail": detail}])
        log.warning("cannot connect", line=self.state.name, url=self.state.url, error=text, again_in=round(delay, 1))
        return delay

    def _closed(self, reason: str, detail: str, certain_ns: int | None = None) -> float:
        if self._timer is not None:
            self._timer.cancel()
        self._connection = None
        delay = self.session.closed(self.line.tempo.now())
        events: list[Event] = [
            {
                "event": "disconnect",
                "conn": self.conn,
                "line": self.line.number,
                "reason": reason,
                "detail": detail,
                "last_ns": self.last_ns or None,
            }
        ]
        if self.last_ns:
            since_ns = certain_ns or self.last_ns - self.clock.margin_ns
            events += self.line.lost(self.line.streams.conn_lost(self.conn, since_ns, reason, self._last_seq))
        self.line.emit(events)
        self.line.closed(self)
        level = log.warning if reason not in ("stopped", "replaced") else log.info
        level("disconnected", line=self.state.name, conn=self.conn, reason=reason, detail=detail)
        return delay

    # What comes in

    def _frame(self, payload: bytes, is_binary: bool, receive_ns: int, monotonic_ns: int) -> None:
        line = self.line
        seq = line.journal.append(
            Kind.BINARY if is_binary else Kind.TEXT, line.number, self.conn, payload, receive_ns, monotonic_ns
        )
        state = self.state
        state.last_ns = self.last_ns = receive_ns
        if seq:
            state.last_seq = self._last_seq = seq
        state.frames += 1
        state.bytes += len(payload)
        self.session.last_heard = monotonic_ns * self._scale
        try:
            for piece in see.pieces(payload):
                seen = see.peek(piece)
                if type(seen) is see.Push:
                    self._push(seen, piece, receive_ns, monotonic_ns, seq)
                else:
                    self._understand(seen, receive_ns, monotonic_ns, seq)
        except Exception:
            line.capture.faults += 1
            log.exception("frame not understood; it is in the journal", line=state.name, seq=seq)

    def _push(self, seen: see.Push, payload: bytes, receive_ns: int, monotonic_ns: int, seq: int) -> None:
        topic = self.topics.get((seen.topic, seen.symbol))
        if topic is None:
            self.line.capture.unknown_frames += 1
            return
        silence = monotonic_ns - topic.heard_ns
        if silence > topic.longest_ns:
            topic.longest_ns, topic.longest_from, topic.longest_to = silence, topic.last_ns, receive_ns
        topic.heard_ns = monotonic_ns
        if not seen.first:
            topic.news_ns = monotonic_ns
        topic.last_frame = payload
        topic.frames += 1
        if topic.topic == TRADES:
            self._trades(topic, seen.first, payload, receive_ns, monotonic_ns, seq)
        elif topic.topic == DELTA_BOOK:
            self._delta(topic, seen.first, payload)
        topic.last_ns = receive_ns
        if topic.is_proved:
            if seen.first:
                self.session.answered(topic.topic, topic.symbol)  # asked again, see `repeat`
        elif seen.first or not topic.needs_first:
            self._proved(topic, receive_ns, seq)

    def _proved(self, topic: TopicState, receive_ns: int, seq: int) -> None:
        topic.is_proved, topic.needs_push = True, False
        topic.heard_ns = time.monotonic_ns()  # by an acknowledgement: from now on it should come
        line = self.line
        self.session.answered(topic.topic, topic.symbol)
        events = line.streams.proved(
            line.number, self.conn, topic.channel, topic.topic, topic.symbol, receive_ns, seq or None
        )
        line.emit(line.trades.judge(events))
        self._look_whether_settled()

    def _trades(
        self, topic: TopicState, first: bool, payload: bytes, receive_ns: int, monotonic_ns: int, seq: int
    ) -> None:
        """Which trades came, and what a history says of the gaps; before `_proved`, which may end one."""
        if seq == DROPPED:
            return
        line, ids = self.line, see.ids_of_push(payload)
        if first:
            line.emit(line.trades.history(topic.symbol, ids, receive_ns))
            if not topic.is_proved:
                self._proved(topic, receive_ns, seq)
        if line.trades.arrived(topic.symbol, ids, receive_ns) and not first:
            topic.told_ns = monotonic_ns

    def _delta(self, topic: TopicState, first: bool, payload: bytes) -> None:
        """Deltas count up by one; after a jump only a new snapshot makes them whole."""
        before = topic.counter
        if first:
            topic.counter = None
            return
        topic.counter = counter = see.counter_of(payload)
        if not topic.is_proved or counter is None or counter == before or (before is None and counter):
            return
        if before is not None and counter == before + 1:
            return
        log.warning("deltas missing", line=self.state.name, symbol=topic.symbol, before=before, after=counter)
        about = {"conn": self.conn, "channel": topic.channel, "symbol": topic.symbol, "topic": topic.topic}
        since_ns = topic.last_ns - self.clock.margin_ns
        self.line.emit(
            [
                {"event": "counter_jump", **about, "detail": f"counter {before}, then {counter}"},
                *self.line.streams.unproved(
                    self.conn, topic.topic, topic.channel, topic.symbol, since_ns, "counter jump"
                ),
                {"event": "resubscribe", **about, "reason": "counter jump"},
            ]
        )
        self.resubscribe(topic)

    def _understand(self, seen: see.Seen, receive_ns: int, monotonic_ns: int, seq: int) -> None:
        if isinstance(seen, see.Pong):
            event = self.clock.pong(self.conn, seen.server_ms, receive_ns, monotonic_ns)
            if event is not None:
                self.state.round_trip_ns = event["round_trip_ns"]
                self.state.offset_ns = event["offset_ns"]
                self.line.emit([event])
        elif isinstance(seen, see.Ack):
            topic = self.topics.get((seen.topic, seen.symbol))
            if seen.event != "sub" or topic is None:
                return
            if topic.is_proved or topic.needs_push:
                self.session.answered(topic.topic, topic.symbol)
                self._look_whether_settled()
            else:
                self._proved(topic, receive_ns, seq)
        elif isinstance(seen, see.Refusal):
            self._no(seen, receive_ns)
        elif isinstance(seen, see.Ping):
            self._send(pong(seen.value))
        else:
            self.line.capture.unknown_frames += 1

    def _no(self, seen: see.Refusal, receive_ns: int) -> None:
        line = self.line
        line.capture.errors += 1
        channel = channel_of(seen.topic)
        detail = f"{seen.code} {seen.text}"
        events: list[Event] = [
            {"event": "error", "conn": self.conn, "channel": channel, "symbol": seen.symbol, "detail": detail}
        ]
        log.warning("refused by the venue", line=self.state.name, topic=seen.topic, symbol=seen.symbol, detail=detail)
        topic = self.topics.get((seen.topic, seen.symbol))
        if topic is not None:
            topic.is_proved = False
            self.session.refused(topic.topic, topic.symbol)
            since_ns = receive_ns - self.clock.margin_ns
            events += line.lost(
                line.streams.unproved(self.conn, topic.topic, channel, topic.symbol, since_ns, "refused")
            )
        line.emit(events)
        self._look_whether_settled()
        line.on_refusal()

    # What goes out

    def _tick(self) -> None:
        """Do what is due, and come back when the next thing is."""
        if self._timer is not None:
            self._timer.cancel()
        if self.session.state is not State.OPEN or self._connection is None:
            return
        tempo = self.line.tempo
        for action in self.session.due(tempo.now()):
            match action:
                case Subscribe(topic, symbols):
                    self._subscribe(topic, symbols)
                case Cancel(topic, symbol):
                    self._request("cancel", topic, (symbol,))
                case Ping():
                    self.clock.sent(time.monotonic_ns())
                    self._send(ping(time.time_ns() // 1_000_000))
                case Silent(topic, symbol):
                    self._silent(topic, symbol)
                case GiveUp(reason):
                    self._gave_up = reason
                    self._connection.transport.abort()
                    return
        self._look_whether_settled()
        wait = max(self.session.next_due() - tempo.now(), 0.001)
        self._timer = tempo.later(wait, self._tick)

    def _look_whether_settled(self) -> None:
        if not self.session.is_waiting:
            self.settled.set()

    def _subscribe(self, topic: str, symbols: tuple[str, ...]) -> None:
        about = {"conn": self.conn, "channel": channel_of(topic), "symbols": list(symbols), "topic": topic}
        self.line.emit([{"event": "subscribe", **about}])
        self._request("sub", topic, symbols)

    def _request(self, event: str, topic: str, symbols: tuple[str, ...]) -> None:
        line = self.line
        if line.number != V1:
            self._send(v2_request(event, topic, symbols[0], line.site))
        elif topic == DELTA_BOOK:  # the scale is each symbol's own
            for symbol in symbols:
                self._send(v1_request(event, topic, (symbol,), line.site, line.scale_of(symbol)))
        else:
            self._send(v1_request(event, topic, symbols, line.site))

    def _silent(self, topic: str, symbol: str) -> None:
        self.line.capture.errors += 1
        channel = channel_of(topic)
        detail = f"{topic}: asked twice, no answer within 10 s"
        self.line.emit([{"event": "error", "conn": self.conn, "channel": channel, "symbol": symbol, "detail": detail}])
        log.warning("no answer", line=self.state.name, topic=topic, symbol=symbol)

    def _send(self, payload: bytes) -> None:
        if self._connection is not None and self._connection.send_now(payload):
            self.line.journal.append(Kind.SENT, self.line.number, self.conn, payload)
