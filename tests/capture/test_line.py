"""A line against a server that follows a script: what it says, what it keeps, and that it always comes back."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from recorder.capture import session
from recorder.capture.line import Line
from recorder.capture.state import CaptureState
from recorder.capture.streams import Event, Streams
from recorder.journal.format import Kind
from recorder.journal.reader import read_segment, segments
from recorder.journal.writer import Journal
from tests.capture.servers import BINARY, CLOSE, Talk, frame, handshake, raw_server, read_frame

ACK = b'{"topic":"bbo","event":"sub","params":{"symbol":"BTCUSD"},"code":"0","msg":"Success"}'
PUSH = b'{"topic":"bbo","params":{"symbol":"BTCUSD"},"data":{"s":"BTCUSD","b":"1","bz":"1","a":"2","az":"1","t":1}}'


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "FIRST_DELAY", 0.02)


class Script:
    """What the line told, and what is in the journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.streams = Streams()
        self.state: CaptureState
        self.line: Line

    def emit(self, events: Iterable[Event]) -> None:
        self.events += events

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event["event"] == name]

    def kept(self, kind: Kind) -> list[bytes]:
        return [r.payload for path in segments(self.folder) for r in read_segment(path) if r.kind == kind]


@asynccontextmanager
async def talking(
    talk: Talk, folder: Path, number: int = 2, topic: str = "bbo", channel: str = "bbo"
) -> AsyncIterator[Script]:
    """A line that wants one topic of BTCUSD, connected to `talk`."""
    script = Script(folder)
    async with raw_server(talk) as url:
        journal = Journal(folder, 1, lambda: b"{}")
        script.state = CaptureState("test", 0, journal)
        numbers = count(1)
        line = script.line = Line(
            number,
            url,
            "MENA",
            journal,
            script.streams,
            script.state,
            emit=script.emit,
            next_conn=lambda: next(numbers),
            scale_of=lambda _: None,
        )
        script.streams.want(number, channel, topic, "BTCUSD")
        line.want([(topic, "BTCUSD")])
        task = asyncio.create_task(line.run())
        try:
            async with asyncio.timeout(10):
                yield script
        finally:
            task.cancel()
            await asyncio.wait({task})
            await journal.close()


async def test_it_pings_subscribes_with_the_site_and_journals_what_it_sent(tmp_path: Path) -> None:
    heard: list[bytes] = []
    done = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handshake(reader, writer)
        heard.extend([(await read_frame(reader))[1] for _ in range(2)])
        done.set()
        await reader.read()

    async with talking(talk, tmp_path) as script:
        await done.wait()
    assert list(json.loads(heard[0])) == ["ping"]
    assert json.loads(heard[1]) == {"topic": "bbo", "event": "sub", "site": "MENA", "params": {"symbol": "BTCUSD"}}
    assert script.kept(Kind.SENT) == heard
    assert script.named("subscribe")[0]["symbols"] == ["BTCUSD"]


async def test_a_server_that_pings_is_answered_with_what_it_sent(tmp_path: Path) -> None:
    answers: list[bytes] = []
    done = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handshake(reader, writer)
        writer.write(frame(b'{"ping":1748504490208,"channelId":"02ac"}'))
        answers.extend([(await read_frame(reader))[1] for _ in range(3)])
        done.set()
        await reader.read()

    async with talking(talk, tmp_path):
        await done.wait()
    assert b'{"pong":1748504490208}' in answers


@pytest.mark.parametrize(("ending", "reason"), [(frame(b"\x03\xe8bye", CLOSE), "clean close"), (b"", "disconnect")])
async def test_however_a_line_ends_it_comes_back_and_the_gap_is_from_one_life_to_the_next(
    ending: bytes, reason: str, tmp_path: Path
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handshake(reader, writer)
        for _ in range(2):
            await read_frame(reader)
        writer.write(frame(ACK) + frame(PUSH) + ending)
        await writer.drain()

    async with talking(talk, tmp_path) as script:
        while len(script.named("gap")) < 2:  # noqa: ASYNC110 -- the line works beside us
            await asyncio.sleep(0.01)
    first, second = script.named("gap")[:2]
    assert first["reason"] == second["reason"] == reason
    assert first["from_ns"] < first["to_ns"] < second["to_ns"]
    assert first["seq_before"] < first["seq_after"]
    assert [event["conn"] for event in script.named("connect")][:3] == [1, 2, 3]
    assert script.named("disconnect")[0]["reason"] == reason


async def test_what_cannot_be_understood_is_kept_counted_and_harms_nothing(tmp_path: Path) -> None:
    strange = [b"hello", b"\xff\xff", b"[]", b'{"topic":"topN","data":[]}', b'{"code":"-1"}']

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handshake(reader, writer)
        writer.write(b"".join(frame(payload) for payload in strange) + frame(b"\x1f\x8bxx", BINARY) + frame(ACK))
        await reader.read()

    async with talking(talk, tmp_path) as script:
        while not script.named("live"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert script.kept(Kind.TEXT) == [*strange, ACK]
    assert script.kept(Kind.BINARY) == [b"\x1f\x8bxx"]
    assert (script.state.unknown_frames, script.state.errors, script.state.faults) == (4, 1, 0)


async def test_a_fault_of_our_own_loses_no_frame_and_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> list[Event]:
        raise RuntimeError("a mistake of ours")

    done = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handshake(reader, writer)
        writer.write(frame(ACK) + frame(PUSH))
        for _ in range(2):
            await read_frame(reader)
        done.set()
        await reader.read()

    async with talking(talk, tmp_path) as script:
        monkeypatch.setattr(script.streams, "proved", fails)
        while script.state.lines[2].frames < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await done.wait()
        assert script.state.lines[2].connected
    assert script.kept(Kind.TEXT) == [ACK, PUSH]
    assert script.state.faults >= 1


async def test_a_server_that_is_not_there_is_tried_again_and_again(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with talking(talk, tmp_path) as script:
        while len(script.named("error")) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert "503" in script.named("error")[0]["detail"]
    assert script.named("lost") == script.named("connect") == []


V1_BOOK = (
    '{"symbol":"BTCUSD","topic":"diffMergedDepth","params":{"dumpScale":"2"},'
    '"data":[{"t":1,"v":"1_2","b":[],"a":[],"o":%d}],"f":%s}'
)


def book(counter: int, first: bool = False) -> bytes:
    return frame((V1_BOOK % (counter, "true" if first else "false")).encode())


def books(*counters: int) -> bytes:
    """Several in one frame, as a list."""
    return frame(f"[{','.join(V1_BOOK % (counter, 'false') for counter in counters)}]".encode())


async def test_a_jump_of_the_delta_counter_is_a_gap_until_a_new_snapshot_and_is_asked_for_at_once(
    tmp_path: Path,
) -> None:
    heard: list[dict[str, Any]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handshake(reader, writer)
        while len(heard) < 4:
            request = json.loads((await read_frame(reader))[1])
            heard.append(request)
            if request.get("event") == "sub":
                # The first delta after a snapshot may have any counter, and one may come twice.
                steps = (71, 72, 72, 73) if len(heard) > 2 else (9, 10, 10, 12, 13)
                writer.write(b"".join([book(3), book(0, first=True), books(*range(steps[0] - 3, steps[0]))]))
                writer.write(b"".join(map(book, steps)))
        await reader.read()

    async with talking(talk, tmp_path, number=1, topic="diffMergedDepth", channel="depth_delta") as script:
        while not script.named("gap"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert [request.get("event") for request in heard if "event" in request] == ["sub", "cancel", "sub"]
    (jump,) = script.named("counter_jump")
    assert jump["detail"] == "counter 10, then 12"
    assert [event["reason"] for event in script.named("resubscribe")] == ["counter jump"]
    (gap, *more) = script.named("gap")
    assert more == []
    assert (gap["channel"], gap["reason"]) == ("depth_delta", "counter jump")
    assert gap["from_ns"] < gap["to_ns"]


async def test_a_line_that_is_replaced_opens_the_new_connection_before_it_closes_the_old(tmp_path: Path) -> None:
    open_now: list[int] = []
    counts: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handshake(reader, writer)
        open_now.append(1)
        counts.append(len(open_now))
        writer.write(frame(ACK) + frame(PUSH))
        while (await read_frame(reader))[0] != CLOSE:
            pass
        writer.write(frame(b"\x03\xe8", CLOSE))
        await writer.drain()
        open_now.pop()

    async with talking(talk, tmp_path) as script:
        while not script.named("live"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        script.line.replace("a test")
        while not script.named("disconnect"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert script.state.lines[2].connected
        assert script.state.lines[2].conn == 2
    assert counts == [1, 2]
    assert script.named("reconnect")[0]["reason"] == "a test"
    assert script.named("disconnect")[0]["reason"] == "replaced"
    assert script.named("gap") == []
    assert [event["conn"] for event in script.named("live")] == [1, 2]


async def test_a_connection_is_kept_when_the_one_that_shall_replace_it_brings_less(tmp_path: Path) -> None:
    refusal = b'{"topic":"bbo","event":"sub","params":{"symbol":"BTCUSD"},"code":"-100011","msg":"Parameter error!"}'
    served: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handshake(reader, writer)
        served.append(1)
        writer.write(frame(ACK) + frame(PUSH) if len(served) == 1 else frame(refusal))
        while (await read_frame(reader))[0] != CLOSE:
            pass
        writer.write(frame(b"\x03\xe8", CLOSE))

    async with talking(talk, tmp_path) as script:
        while not script.named("live"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        script.line.replace("a test")
        while not script.named("disconnect"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert (script.state.lines[2].conn, script.state.lines[2].connected) == (1, True)
    assert script.named("disconnect")[0]["conn"] == 2
    assert "did not bring 1 streams" in script.named("error")[-1]["detail"]
    assert script.named("gap") == []
