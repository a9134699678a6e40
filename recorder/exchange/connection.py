"""One client's socket, as the exchange sees it: the only way out for a frame.

Everything we say passes `send`, so that is where the ledger is kept, where a client that does not
read is dropped, and where a gate may stand that lets faults have their way. Frames go straight to the
transport: one header, the shared bytes, no task, no lock. Ending is always abnormal, as on the venue:
the line is cut; only a fault says goodbye.
"""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from recorder.exchange.ledger import Ledger

if TYPE_CHECKING:
    from recorder.exchange.registry import Key

TEXT, BINARY, CLOSE = 0x81, 0x82, 0x88
GOODBYE_SECONDS = 1.0  # how long a client may take to answer a close frame


class Gate(Protocol):
    """Stands between what the venue wants to say and the socket; see `injector.py`."""

    def opened(self, connection: "Connection") -> None: ...

    def gone(self, connection: "Connection") -> None: ...

    def take(
        self, connection: "Connection", payload: bytes, role: str, key: "Key | None", packed: bytes | None
    ) -> None:
        """Deal with a frame: `put` it, now or later, or `withhold` it."""

    def subscribing(self, connection: "Connection", key: "Key") -> None: ...


class Connection:
    """A socket on V1 or V2."""

    def __init__(
        self,
        number: int,
        api: str,
        transport: asyncio.Transport,
        ledger: Ledger,
        buffer_limit: int,
        gate: Gate | None = None,
        epoch: int = 0,
    ) -> None:
        self.number = number
        self.api = api
        self.channel_id = f"{number:016x}-00000001-{number * 7919:08x}-{number * 104729:016x}-{epoch:08x}"
        self.last_heard = self.last_said = time.monotonic()
        self.is_open = True
        self.is_deaf = False  # half-open: we neither read nor write any more
        self._transport = transport
        self._ledger = ledger
        self._buffer_limit = buffer_limit
        self._gate = gate
        ledger.event(number, "accept", api=api)
        if gate is not None:
            gate.opened(self)

    def send(
        self, payload: bytes, *, role: str = "answer", key: "Key | None" = None, packed: bytes | None = None
    ) -> None:
        """Say one JSON frame; `packed` is what travels if it is sent as binary.

        `role` is push, first, answer or pong; `key` is the stream of a push.
        """
        if self._gate is None:
            self.put(payload, packed)
        elif self.is_open and not self._transport.is_closing():
            self._gate.take(self, payload, role, key, packed)

    def put(self, payload: bytes, packed: bytes | None = None) -> None:
        """Put one JSON frame on the socket."""
        if not self.is_open or self._transport.is_closing():
            return
        self._ledger.frame(self.number, self.api, payload)
        self._write(TEXT if packed is None else BINARY, payload if packed is None else packed)

    def put_list(self, payloads: Sequence[bytes]) -> None:
        """Put several documents on the socket as one frame; the ledger has a line for each."""
        if self.is_open and not self._transport.is_closing():
            for payload in payloads:
                self._ledger.frame(self.number, self.api, payload)
            self._write(TEXT, b"[" + b",".join(payloads) + b"]")

    def put_raw(self, body: bytes) -> None:
        """Put bytes on the socket as a text frame, however large; no line of the ledger can hold them."""
        if self.is_open and not self._transport.is_closing():
            self._buffer_limit += len(body)
            self._write(TEXT, body)

    def withhold(self, payload: bytes, fault: int) -> None:
        """Write down that a fault kept this frame from the socket."""
        self._ledger.withheld(self.number, self.api, fault, payload)

    def subscribing(self, key: "Key") -> None:
        """The client subscribes to a stream, which has not answered yet."""
        if self._gate is not None:
            self._gate.subscribing(self, key)

    def _write(self, kind: int, body: bytes) -> None:
        self._transport.write(_header(kind, len(body)) + body)
        self.last_said = time.monotonic()
        if self._transport.get_write_buffer_size() > self._buffer_limit:
            self.cut("slow reader")

    @property
    def unsent(self) -> int:
        """Bytes that wait here for the client to read."""
        return self._transport.get_write_buffer_size()

    def has_arrived(self) -> bool:
        """Whether the client's machine has all that was said (Linux; elsewhere: whether ours has)."""
        line = self._transport.get_extra_info("socket")
        if self.unsent or line is None or line.fileno() < 0:
            return not self.unsent
        return int.from_bytes(fcntl.ioctl(line.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder) == 0

    def cut(self, reason: str, *, reset: bool = False, **more: Any) -> None:
        """Drop the line without a close frame: the client sees code 1006, or a reset."""
        if self.is_open:
            self.is_open = False
            self._ledger.event(self.number, "cut", reason=reason, **more)
            if reset:
                linger = struct.pack("ii", 1, 0)  # closing then sends RST and forgets what is on its way
                self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()
            self._gone()

    def say_goodbye(self, code: int, reason: str, **more: Any) -> None:
        """Send a close frame; the line ends when the client answers, or soon."""
        if self.is_open:
            self.is_open = False
            self._ledger.event(self.number, "close", reason="fault", code=code, text=reason, **more)
            body = struct.pack(">H", code) + reason.encode()[:123]
            self._transport.write(_header(CLOSE, len(body)) + body)
            asyncio.get_running_loop().call_later(GOODBYE_SECONDS, self._transport.abort)
            self._gone()

    def go_deaf(self) -> None:
        """From now on neither read nor write, and keep the line open."""
        self.is_deaf = True
        self._transport.pause_reading()

    def is_abandoned(self) -> bool:
        """Whether the client of a deaf line has gone, which only the kernel still sees (Linux)."""
        if not self.is_deaf or not hasattr(socket, "TCP_INFO"):
            return False
        line = self._transport.get_extra_info("socket")
        established = 1
        return line is not None and line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != established

    def hang_up(self) -> None:
        """End a line that is over for both sides."""
        self._transport.abort()
        self.closed()

    def closed(self) -> None:
        """The client has gone."""
        if self.is_open:
            self.is_open = False
            self._ledger.event(self.number, "close")
            self._gone()

    def _gone(self) -> None:
        if self._gate is not None:
            self._gate.gone(self)


def _header(kind: int, length: int) -> bytes:
    """A server's frame header: whole message, not masked."""
    if length < 126:
        return bytes((kind, length))
    if length < 65536:
        return struct.pack(">BBH", kind, 126, length)
    return struct.pack(">BBQ", kind, 127, length)
