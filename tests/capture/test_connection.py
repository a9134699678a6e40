"""The socket: every message comes out whole, once and in order, however the bytes were cut on their way."""

import asyncio
import random
import time

import pytest
from websockets.exceptions import InvalidStatus

from recorder.capture import connection as module
from recorder.capture.connection import FrameConnection, open_connection, why_closed
from tests.capture.servers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    frame,
    handshake,
    raw_server,
    read_frame,
)


class Taken:
    def __init__(self) -> None:
        self.frames: list[tuple[bytes, bool]] = []
        self.stamps: list[tuple[int, int]] = []

    def __call__(self, payload: bytes, is_binary: bool, receive_ns: int, monotonic_ns: int) -> None:
        assert type(payload) is bytes
        self.frames.append((payload, is_binary))
        self.stamps.append((receive_ns, monotonic_ns))


async def received(stream: bytes, cuts: list[int] | None = None) -> tuple[Taken, FrameConnection]:
    """Connect to a server that sends these bytes, in pieces that end at `cuts`, and then goes away."""
    taken = Taken()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = 0
        pieces = [*(cuts or []), len(stream)]
        await handshake(reader, writer, stream[: pieces[0]] if cuts else b"")
        at = pieces[0] if cuts else 0
        for end in pieces[1:] if cuts else pieces:
            writer.write(stream[at:end])
            await writer.drain()
            await asyncio.sleep(0)
            at = end
        writer.close()

    async with raw_server(talk) as url:
        connection = await open_connection(url, "test")
        connection.start(taken)
        async with asyncio.timeout(10):
            await connection.wait_closed()
    return taken, connection


async def test_text_and_binary_messages_come_as_bytes_with_both_stamps() -> None:
    before = time.time_ns(), time.monotonic_ns()
    taken, _ = await received(frame(b'{"a":1}') + frame(b"\x1f\x8b\xff", BINARY) + frame("é".encode()))
    after = time.time_ns(), time.monotonic_ns()
    assert taken.frames == [(b'{"a":1}', False), (b"\x1f\x8b\xff", True), ("é".encode(), False)]
    assert all(before[0] <= wall <= after[0] and before[1] <= mono <= after[1] for wall, mono in taken.stamps)


@pytest.mark.parametrize("seed", range(8))
async def test_however_the_bytes_are_cut_the_messages_are_the_same(seed: int) -> None:
    rng = random.Random(seed)
    messages = [rng.randbytes(rng.choice([0, 1, 125, 126, 127, 300, 65535, 65536, 200_000])) for _ in range(12)]
    stream = b"".join(frame(message, BINARY) for message in messages)
    cuts = sorted(rng.sample(range(len(stream)), 40)) if seed else list(range(1, 200))
    taken, _ = await received(stream, cuts)
    assert [payload for payload, _ in taken.frames] == messages


async def test_a_message_in_fragments_is_put_together_and_others_go_on_after_it() -> None:
    taken, _ = await received(
        frame(b"first")
        + frame(b"ab", TEXT, fin=False)
        + frame(b"between", PING)
        + frame(b"cd", CONTINUATION, fin=False)
        + frame(b"ef", CONTINUATION)
        + frame(b"last")
    )
    assert taken.frames == [(b"first", False), (b"abcdef", False), (b"last", False)]


async def test_a_ping_frame_is_answered_and_a_text_can_be_sent_without_waiting() -> None:
    heard: list[tuple[int, bytes]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handshake(reader, writer)
        writer.write(frame(b"are you there", PING))
        for _ in range(2):
            heard.append(await read_frame(reader))

    async with raw_server(talk) as url:
        connection = await open_connection(url, "test")
        connection.start(Taken())
        assert connection.send_now(b'{"ping":1}')
        await connection.wait_closed()
        assert not connection.send_now(b'{"ping":2}')
    assert sorted(heard) == [(1, b'{"ping":1}'), (10, b"are you there")]


async def test_a_clean_close_is_told_from_a_lost_connection() -> None:
    taken, closed = await received(frame(b"x") + frame(b"\x03\xe9going away", CLOSE))
    assert why_closed(closed)[0] == "clean close"
    assert "going away" in why_closed(closed)[1]
    _, dropped = await received(frame(b"x"))
    assert why_closed(dropped) == ("disconnect", "without a close frame")
    assert taken.frames == [(b"x", False)]


@pytest.mark.parametrize(
    "wrong",
    [b"\x81\x85maskHELLO", b"\xf1\x01x", b"\x83\x01x", b"\x81\x7f" + (1 << 40).to_bytes(8, "big"), frame(b"x", 0)],
)
async def test_what_breaks_the_protocol_ends_the_connection_and_what_came_before_stays(wrong: bytes) -> None:
    taken, _ = await received(frame(b"good") + wrong + frame(b"never"))
    assert taken.frames == [(b"good", False)]


async def test_a_server_that_refuses_is_an_error_that_says_so() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()

    async with raw_server(talk) as url:
        with pytest.raises(InvalidStatus, match="403"):
            await open_connection(url, "test")


async def test_a_server_that_never_answers_the_handshake_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPEN_SECONDS", 0.1)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Swi")
        await reader.read()

    async with raw_server(talk) as url:
        with pytest.raises(TimeoutError):
            await open_connection(url, "test")
