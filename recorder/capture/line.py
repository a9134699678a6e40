"""A line: `session` decides, `connection` is the socket, the journal takes every frame, this ties them.

The order in `_frame` is the promise: journal first, understand afterwards. If our own code stumbles
over a frame, the frame is already kept and the line lives on.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

import structlog
from websockets.exceptions import InvalidHandshake, InvalidURI

from recorder.capture.clock import PingClock
from recorder.capture.connection import FrameConnection, open_connection, why_closed
from recorder.capture.session import Ask, Cancel, GiveUp, Ping, Session, Silent, State, Subscribe
from recorder.capture.state import CaptureState, LineState, TopicState
from recorder.capture.streams import Event, Streams
from recorder.journal.format import Kind
from recorder.journal.writer import Journal
from recorder.venues.hashkey import peek as see
from recorder.venues.hashkey.subscribe import V1, channel_of, ping, pong, v1_request, v2_request

log = structlog.get_logger()
LAST_CONN = 32_767
AGENT = "hashkey-recorder"


class Line:
    """One of the two sockets, kept alive until cancelled."""

    def __init__(
        self,
        number: int,
        url: str,
        site: str,
        journal: Journal,
        streams: Streams,
        state: CaptureState,
        *,
        emit: Callable[[Iterable[Event]], None],
        next_conn: Callable[[], int],
        scale_of: Callable[[str], int | None],
        on_refusal: Callable[[], None] = lambda: None,
    ) -> None:
        self.number = number
        self.session = Session(number)
        self.state = state.lines[number] = LineState(f"ws_v{number}", url)
        self._site = site
        self._journal = journal
        self._streams = streams
        self._capture = state
        self._emit = emit
        self._next_conn = next_conn
        self._scale_of = scale_of
        self._on_refusal = on_refusal
        self._connection: FrameConnection | None = None
        self._clock = PingClock()
        self._timer: asyncio.TimerHandle | None = None
        self._conn = 0
        self._frames_here = 0
        self._gave_up = ""

    def want(self, asks: Iterable[Ask]) -> None:
        """What this line shall bring, all of it. `streams` must know already."""
        asks = list(asks)
        topics = self.state.topics
        self.state.topics = {
            ask: topics.get(ask) or TopicState(channel_of(ask[0]), *ask, needs_first=ask[0] == "diffMergedDepth")
            for ask in asks
        }
        self.session.want(asks)
        self._tick()

    def retry(self) -> None:
        self.session.retry_failed()
        self._tick()

    async def run(self) -> None:
        """Connect, live, lose, wait, and again."""
        while True:
            delay = await self._live_once()
            await asyncio.sleep(delay)

    async def _live_once(self) -> float:
        self._conn = self.state.conn = self._next_conn()
        self._frames_here = 0
        self._gave_up = ""
        self._clock = PingClock()
        self.session.connecting()
        try:
            connection = await open_connection(self.state.url, AGENT)
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI, EOFError) as error:
            return self._refused(error)
        self._opened(connection)
        try:
            await connection.wait_closed()
        except asyncio.CancelledError:
            await self._stop(connection)
            raise
        reason, detail = why_closed(connection)
        return self._closed(self._gave_up or reason, detail)

    async def _stop(self, connection: FrameConnection) -> None:
        """Close politely: once the server has answered the close, all that it sent before has come."""
        stop_ns = time.time_ns()
        try:
            await asyncio.shield(connection.close())
        finally:
            was_answered = connection.protocol.close_rcvd is not None
            self._closed("stopped", "", stop_ns if was_answered else None)

    def _refused(self, error: Exception) -> float:
        delay = self.session.failed()
        text = f"{type(error).__name__}: {error}"[:300]
        self._emit([{"event": "error", "conn": self._conn, "line": self.number, "detail": f"cannot connect: {text}"}])
        log.warning("cannot connect", line=self.state.name, url=self.state.url, error=text, again_in=round(delay, 1))
        return delay

    def _opened(self, connection: FrameConnection) -> None:
        self._connection = connection
        self.state.connected = True
        self.state.connects += 1
        for topic in self.state.topics.values():
            topic.is_proved = False
        self._emit([{"event": "connect", "conn": self._conn, "line": self.number, "url": self.state.url}])
        log.info("connected", line=self.state.name, conn=self._conn, topics=len(self.state.topics))
        self.session.opened(time.monotonic())
        connection.start(self._frame)
        self._tick()

    def _closed(self, reason: str, detail: str, certain_ns: int | None = None) -> float:
        if self._timer is not None:
            self._timer.cancel()
        self._connection = None
        self.state.connected = False
        delay = self.session.closed(time.monotonic())
        last_ns = self.state.last_ns if self._frames_here else None
        events: list[Event] = [
            {
                "event": "disconnect",
                "conn": self._conn,
                "line": self.number,
                "reason": reason,
                "detail": detail,
                "last_ns": last_ns,
            }
        ]
        if last_ns is not None:
            since_ns = certain_ns or last_ns - self._clock.margin_ns
            events += self._streams.line_lost(self.number, since_ns, reason, self.state.last_seq)
        self._emit(events)
        level = log.info if reason == "stopped" else log.warning
        level("disconnected", line=self.state.name, conn=self._conn, reason=reason, detail=detail)
        return delay

    # What comes in

    def _frame(self, payload: bytes, is_binary: bool, receive_ns: int, monotonic_ns: int) -> None:
        seq = self._journal.append(
            Kind.BINARY if is_binary else Kind.TEXT, self.number, self._conn, payload, receive_ns, monotonic_ns
        )
        state = self.state
        state.last_ns = receive_ns
        state.last_seq = seq
        state.frames += 1
        state.bytes += len(payload)
        self._frames_here += 1
        self.session.last_heard = monotonic_ns / 1e9
        try:
            for seen in see.peek_binary(payload) if is_binary else see.peek(payload):
                if type(seen) is see.Push:
                    topic = state.topics.get((seen.topic, seen.symbol))
                    if topic is None:
                        self._capture.unknown_frames += 1
                        continue
                    topic.frames += 1
                    topic.last_ns = receive_ns
                    if not topic.is_proved and (seen.first or not topic.needs_first):
                        self._proved(topic, receive_ns, seq)
                else:
                    self._understand(seen, receive_ns, monotonic_ns, seq)
        except Exception:
            self._capture.faults += 1
            log.exception("frame not understood; it is in the journal", line=state.name, seq=seq)

    def _proved(self, topic: TopicState, receive_ns: int, seq: int) -> None:
        topic.is_proved = True
        self.session.answered(topic.topic, topic.symbol)
        self._emit(
            self._streams.proved(
                self.number, self._conn, topic.channel, topic.topic, topic.symbol, receive_ns, seq or None
            )
        )

    def _understand(self, seen: see.Seen, receive_ns: int, monotonic_ns: int, seq: int) -> None:
        if isinstance(seen, see.Pong):
            event = self._clock.pong(self._conn, seen.server_ms, receive_ns, monotonic_ns)
            if event is not None:
                self.state.round_trip_ns = event["round_trip_ns"]
                self.state.offset_ns = event["offset_ns"]
                self._emit([event])
        elif isinstance(seen, see.Ack):
            topic = self.state.topics.get((seen.topic, seen.symbol))
            if seen.event == "sub" and topic is not None and not topic.is_proved:
                self._proved(topic, receive_ns, seq)
        elif isinstance(seen, see.Refusal):
            self._no(seen, receive_ns)
        elif isinstance(seen, see.Ping):
            self._send(pong(seen.value))
        else:
            self._capture.unknown_frames += 1

    def _no(self, seen: see.Refusal, receive_ns: int) -> None:
        self._capture.errors += 1
        channel = channel_of(seen.topic)
        detail = f"{seen.code} {seen.text}"
        events: list[Event] = [
            {"event": "error", "conn": self._conn, "channel": channel, "symbol": seen.symbol, "detail": detail}
        ]
        log.warning("refused by the venue", line=self.state.name, topic=seen.topic, symbol=seen.symbol, detail=detail)
        topic = self.state.topics.get((seen.topic, seen.symbol))
        if topic is not None:
            topic.is_proved = False
            self.session.refused(topic.topic, topic.symbol)
            events += self._streams.unproved(
                self.number, topic.topic, channel, topic.symbol, receive_ns - self._clock.margin_ns, "refused"
            )
        self._emit(events)
        self._on_refusal()

    # What goes out

    def _tick(self) -> None:
        """Do what is due, and come back when the next thing is."""
        if self._timer is not None:
            self._timer.cancel()
        if self.session.state is not State.OPEN or self._connection is None:
            return
        now = time.monotonic()
        for action in self.session.due(now):
            match action:
                case Subscribe(topic, symbols):
                    self._subscribe(topic, symbols)
                case Cancel(topic, symbol):
                    self._request("cancel", topic, (symbol,))
                case Ping():
                    self._clock.sent(time.monotonic_ns())
                    self._send(ping(time.time_ns() // 1_000_000))
                case Silent(topic, symbol):
                    self._silent(topic, symbol)
                case GiveUp(reason):
                    self._gave_up = reason
                    self._connection.transport.abort()
                    return
        wait = max(self.session.next_due() - time.monotonic(), 0.001)
        self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _subscribe(self, topic: str, symbols: tuple[str, ...]) -> None:
        self._emit(
            [
                {
                    "event": "subscribe",
                    "conn": self._conn,
                    "channel": channel_of(topic),
                    "symbols": list(symbols),
                    "topic": topic,
                }
            ]
        )
        self._request("sub", topic, symbols)

    def _request(self, event: str, topic: str, symbols: tuple[str, ...]) -> None:
        if self.number != V1:
            self._send(v2_request(event, topic, symbols[0], self._site))
        elif topic == "diffMergedDepth":  # the scale is each symbol's own
            for symbol in symbols:
                self._send(v1_request(event, topic, (symbol,), self._site, self._scale_of(symbol)))
        else:
            self._send(v1_request(event, topic, symbols, self._site))

    def _silent(self, topic: str, symbol: str) -> None:
        self._capture.errors += 1
        channel = channel_of(topic)
        detail = f"{topic}: asked twice, no answer within 10 s"
        self._emit([{"event": "error", "conn": self._conn, "channel": channel, "symbol": symbol, "detail": detail}])
        log.warning("no answer", line=self.state.name, topic=topic, symbol=symbol)

    def _send(self, payload: bytes) -> None:
        if self._connection is not None and self._connection.send_now(payload):
            self._journal.append(Kind.SENT, self.number, self._conn, payload)
