"""The socket: bytes of whole messages out of it, the moment they leave it, for as little CPU as can be.

The library does the handshake, control frames, fragments, closing and all errors. Whole data frames,
nearly all that ever comes, are cut out of the stream here and handed over in the same call that read
them: no queue, no task to wake, no decoding. Measured in benchmarks/journal.py.
"""

import asyncio
import time
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import BINARY, CONT, TEXT, Frame
from websockets.protocol import Event, State

OPEN_SECONDS = 10.0
CLOSE_SECONDS = 1.0
MAX_MESSAGE = 64 << 20
MAX_HANDSHAKE = 64 << 10

OnFrame = Callable[[bytes, bool, int, int], None]
"""(payload, whether it came as a binary frame, receive_ns of the wall clock, monotonic_ns)"""

_WHOLE_BINARY = 0x82
_WHOLE = (0x81, _WHOLE_BINARY)  # first byte of a frame: final, no extension bits, opcode text or binary


class FrameConnection(ClientConnection):
    """A client connection that hands each message to a function instead of queueing it, once `start` names it."""

    on_frame: OnFrame
    _early: list[tuple[bytes, bool, int, int]]

    _rest = b""  # bytes of a frame that is not complete yet
    _pieces: bytearray | None = None  # the same, once it took more than one read
    _need = 2  # how many bytes until it is worth to look again
    _fast = False  # between the handshake and the first thing that only the library understands
    _shaken = False
    _fragments: list[bytes]
    _receive_ns = 0
    _monotonic_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._early = []
        self.on_frame = lambda *frame: self._early.append(frame)
        super().connection_made(transport)

    def start(self, on_frame: OnFrame) -> None:
        """Hand over what came right behind the handshake, and from here on each message as it comes."""
        self.on_frame = on_frame
        for frame in self._early:
            on_frame(*frame)
        self._early = []

    def data_received(self, data: bytes) -> None:
        self._receive_ns = time.time_ns()
        self._monotonic_ns = time.monotonic_ns()
        if not self._fast:
            if self._shaken:
                super().data_received(data)
                return
            data = self._handshake(data)
            if not data:
                return
        if self._pieces is not None:
            self._pieces += data
            if len(self._pieces) < self._need:
                return
            data = bytes(self._pieces)
            self._pieces = None
        elif self._rest:
            if len(self._rest) + len(data) < self._need:
                self._pieces = bytearray(self._rest) + data
                self._rest = b""
                return
            data = self._rest + data
        self._cut(data)

    def eof_received(self) -> None:
        if not self._shaken:
            self._shaken = True
            super().data_received(self._rest)
        super().eof_received()

    def send_now(self, payload: bytes) -> bool:
        """Send a text frame without waiting; False if the connection is not open."""
        if self.protocol.state is not State.OPEN:
            return False
        self.protocol.send_text(payload)
        self.send_data()
        return True

    def process_event(self, event: Event) -> None:
        """What the library parsed itself: fragments are put together here, all else is its own business."""
        if not isinstance(event, Frame) or event.opcode not in (TEXT, BINARY, CONT):
            super().process_event(event)
            return
        if event.opcode is not CONT:
            self._fragments = []
            self._is_binary = event.opcode is BINARY
        self._fragments.append(bytes(event.data))
        if event.fin:
            payload, self._fragments = b"".join(self._fragments), []
            self.on_frame(payload, self._is_binary, self._receive_ns, self._monotonic_ns)

    def _handshake(self, data: bytes) -> bytes:
        """Give the library the HTTP response and nothing after it; returns what came after it."""
        head = self._rest + data
        end = head.find(b"\r\n\r\n") + 4
        if end < 4 and len(head) < MAX_HANDSHAKE:
            self._rest = head
            return b""
        self._rest = b""
        self._shaken = True
        self._fragments = []
        if end < 4:
            end = len(head)
        super().data_received(head[:end])
        if self.protocol.state is State.OPEN:
            self._fast = True
            return head[end:]
        if head[end:]:
            super().data_received(head[end:])
        return b""

    def _cut(self, data: bytes) -> None:
        """Hand over all whole frames in `data` and keep the rest."""
        at, end = 0, len(data)
        self._need = 2
        while end - at >= 2:
            length = data[at + 1]
            body = at + 2
            if length >= 126:
                if length > 127:  # a masked frame: the library says what is wrong
                    self._leave(data[at:])
                    return
                body = at + (4 if length == 126 else 10)
                if body > end:
                    self._need = body - at
                    break
                length = int.from_bytes(data[at + 2 : body], "big")
                if length > MAX_MESSAGE:
                    self._leave(data[at:])
                    return
            after = body + length
            if after > end:
                self._need = after - at
                break
            first = data[at]
            if first in _WHOLE and not self._fragments:
                self.on_frame(data[body:after], first == _WHOLE_BINARY, self._receive_ns, self._monotonic_ns)
            else:
                super().data_received(data[at:after])
                if self.protocol.state is not State.OPEN:
                    self._leave(data[after:])
                    return
            at = after
        self._rest = data[at:] if at else data

    def _leave(self, data: bytes) -> None:
        """From here on the library reads for itself: the connection is ending."""
        self._fast = False
        self._rest = b""
        if data:
            super().data_received(data)


async def open_connection(url: str, agent: str) -> FrameConnection:
    """Connect; messages come once `start` was called, none is lost in between.

    Raises what `websockets` raises: OSError, TimeoutError, InvalidHandshake, InvalidURI and their kin.
    """
    connection = await connect(
        url,
        create_connection=FrameConnection,
        compression=None,  # the venue offers none
        max_size=MAX_MESSAGE,
        ping_interval=None,  # whether control frames count as activity is not known: JSON pings only
        open_timeout=OPEN_SECONDS,
        close_timeout=CLOSE_SECONDS,
        user_agent_header=agent,
    )
    assert isinstance(connection, FrameConnection)
    return connection


def why_closed(connection: FrameConnection) -> tuple[str, str]:
    """(reason, detail) of a connection that is gone: 'clean close' with the server's words, or 'disconnect'."""
    received = connection.protocol.close_rcvd
    if received is not None:
        return "clean close", str(received)
    sent = connection.protocol.close_sent
    if sent is not None:
        return "disconnect", f"we closed: {sent}"
    return "disconnect", "without a close frame"
