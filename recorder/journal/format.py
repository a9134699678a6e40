"""The record: 40 bytes of header and a payload, checked by a crc. Nothing here touches a disk or a clock.

A segment is a file of records and nothing else, so a reader needs only `scan`. It stops at the first
record that is short or fails its crc; what lies before that point is whole and in order.
"""

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple
from zlib import crc32

BACKFILL = "-backfill"  # after a recorder's name: under which its backfill keeps a journal and files
HOUR_NS = 3_600_000_000_000
FORMAT = 1  # in the `segment` event that opens each file

_HEADER = Struct("<IIQQQIHBB")  # length, crc, seq, receive_ns, monotonic_ns, hour, conn, kind, line
_LENGTH_CRC = Struct("<II")
_CHECKED = Struct("<QQQIHBB")  # what the crc covers, before the payload
HEADER_SIZE = _HEADER.size
MAX_PAYLOAD = 1 << 30  # a longer "length" is damage, not a record

_pack_lengths, _pack_checked, _unpack = _LENGTH_CRC.pack, _CHECKED.pack, _HEADER.unpack_from


class Kind(IntEnum):
    """What a record holds."""

    TEXT = 0
    BINARY = 1
    EVENT = 2  # our own, JSON
    REST = 3
    SENT = 4


class Line(IntEnum):
    """Which way it came."""

    OWN = 0
    WS_V1 = 1
    WS_V2 = 2
    REST = 3


class Record(NamedTuple):
    """One thing that arrived. `receive_ns` is the wall clock, `hour` never decreases from record to record.

    `kind` and `line` are plain numbers; they compare equal to Kind and Line.
    """

    seq: int
    receive_ns: int
    monotonic_ns: int
    hour: int
    conn: int
    kind: int
    line: int
    payload: bytes


def header(
    seq: int, receive_ns: int, monotonic_ns: int, hour: int, conn: int, kind: int, line: int, payload: bytes
) -> bytes:
    """The 40 bytes that go before `payload`."""
    checked = _pack_checked(seq, receive_ns, monotonic_ns, hour, conn, kind, line)
    return _pack_lengths(len(payload), crc32(payload, crc32(checked))) + checked


def pack(
    seq: int, receive_ns: int, monotonic_ns: int, hour: int, conn: int, kind: int, line: int, payload: bytes
) -> bytes:
    """One whole record."""
    return header(seq, receive_ns, monotonic_ns, hour, conn, kind, line, payload) + payload


class Scan:
    """Iterates over the good records of a buffer; `good` is then the length of what they fill."""

    def __init__(self, buffer: bytes, offset: int = 0) -> None:
        self.buffer = buffer
        self.good = offset

    @property
    def is_whole(self) -> bool:
        """Whether the records that were read so far fill the buffer to its end."""
        return self.good == len(self.buffer)

    @property
    def is_corrupt(self) -> bool:
        """Whether the record at `good` has all its bytes and still fails: damage, not a write cut short."""
        rest = len(self.buffer) - self.good
        if rest < HEADER_SIZE:
            return False
        (length,) = Struct("<I").unpack_from(self.buffer, self.good)
        return bool(HEADER_SIZE + length <= rest)

    def __iter__(self) -> Iterator[Record]:
        buffer, at, end = self.buffer, self.good, len(self.buffer)
        while end - at >= HEADER_SIZE:
            length, crc, seq, receive_ns, monotonic_ns, hour, conn, kind, line = _unpack(buffer, at)
            body = at + HEADER_SIZE
            after = body + length
            if after > end or length > MAX_PAYLOAD:
                return
            payload = buffer[body:after]
            if crc32(payload, crc32(buffer[at + 8 : body])) != crc:
                return
            self.good = at = after
            yield Record(seq, receive_ns, monotonic_ns, hour, conn, kind, line, payload)


def scan(buffer: bytes, offset: int = 0) -> Scan:
    """The good records of `buffer` from `offset` on; `.good` of the result says how far they reach."""
    return Scan(buffer, offset)
