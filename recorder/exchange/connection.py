"""One client's socket, as the exchange sees it: the only way out for a frame.

Everything we say passes `send`, so that is where the ledger is kept, where a client that does not
read is dropped, and where faults can be put. Frames go straight to the transport: one header, the
shared bytes, no task, no lock. Ending is always abnormal, as on the venue: the line is cut.
"""

import asyncio
import struct
import time

from recorder.exchange.ledger import Ledger

TEXT, BINARY = 0x81, 0x82


class Connection:
    """A socket on V1 or V2."""

    def __init__(self, number: int, api: str, transport: asyncio.Transport, ledger: Ledger, buffer_limit: int) -> None:
        self.number = number
        self.api = api
        self.channel_id = f"{number:016x}-00000001-{number * 7919:08x}-{number * 104729:016x}-00000000"
        self.last_heard = self.last_said = time.monotonic()
        self.is_open = True
        self._transport = transport
        self._ledger = ledger
        self._buffer_limit = buffer_limit
        ledger.event(number, "accept", api=api)

    def send(self, payload: bytes, *, topic: str = "", symbol: str = "", packed: bytes | None = None) -> None:
        """Put one JSON frame on the socket; `packed` is what travels if it is sent as binary.

        `topic` and `symbol` say what the frame is about (empty for acks, errors and pongs).
        """
        if not self.is_open or self._transport.is_closing():
            return
        self._ledger.frame(self.number, self.api, payload)
        body = payload if packed is None else packed
        self._transport.write(_header(TEXT if packed is None else BINARY, len(body)) + body)
        self.last_said = time.monotonic()
        if self._transport.get_write_buffer_size() > self._buffer_limit:
            self.cut("slow reader")

    def cut(self, reason: str) -> None:
        """Drop the line without a close frame: the client sees code 1006."""
        if self.is_open:
            self.is_open = False
            self._ledger.event(self.number, "cut", reason=reason)
            self._transport.abort()

    def closed(self) -> None:
        """The client has gone."""
        if self.is_open:
            self.is_open = False
            self._ledger.event(self.number, "close")


def _header(kind: int, length: int) -> bytes:
    """A server's frame header: whole message, not masked."""
    if length < 126:
        return bytes((kind, length))
    if length < 65536:
        return struct.pack(">BBH", kind, 126, length)
    return struct.pack(">BBQ", kind, 127, length)
