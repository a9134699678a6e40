"""See what a frame is without reading it: capture needs topic, symbol and little else, thousands of times.

Pushes have a fixed beginning, so one match of it tells all; the book that follows is never looked at.
Whatever does not look like that is rare and small, and is parsed as a whole. Nothing here raises: a
frame that makes no sense is `Unknown`, is kept in the journal all the same, and is counted.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

SUCCESS = (0, "0", "0000", 200, "200")
GZIP_MAGIC = b"\x1f\x8b"
LARGEST = 64 << 20  # bytes after unpacking; a frame of the venue has a few kB
TAIL = 500  # `f` stands behind the data, in front of a few short fields


@dataclass(slots=True)
class Push:
    """Data of a stream. `topic` names the interval too (`kline_1m`); `first` is the snapshot or history."""

    topic: str
    symbol: str
    first: bool


@dataclass(slots=True)
class Ack:
    """V2 accepted a request; `event` is sub or cancel."""

    topic: str
    symbol: str
    event: str


@dataclass(slots=True)
class Refusal:
    """An error. V1 never names the symbol, and not always the topic: '' then."""

    code: str
    text: str
    topic: str
    symbol: str


@dataclass(slots=True)
class Pong:
    """The answer to our ping: the server's clock, None if it was not a number."""

    server_ms: int | None


@dataclass(slots=True)
class Ping:
    """The server asks for `{"pong": value}`."""

    value: Any


@dataclass(slots=True)
class Unknown:
    reason: str


Seen = Push | Ack | Refusal | Pong | Ping | Unknown

_NAME = rb'"([A-Za-z0-9._-]{1,64})"'
_V2 = re.compile(
    rb'\{(?:"site":"\w*",)?"topic":"(\w+)","params":\{"symbol":' + _NAME + rb'(?:,"klineType":"(\w+)")?\},"data":\{'
).match
_V1 = re.compile(
    rb'\{"symbol":' + _NAME + rb',(?:"symbolName":"[^"\\]*",)?"topic":"(\w+)",(?:"params":\{([^{}]*)\},)?"data":\['
).match
_INTERVAL = re.compile(rb'"klineType":"(\w+)"').search
_IDS = re.compile(rb'"v":\s*"?(\d{1,19})"?\s*[,}]').findall
_COUNTER = re.compile(rb'"o":(\d{1,18})\}').search
_names: dict[bytes, str] = {}  # of the few hundred topics and symbols that there are


def pieces(payload: bytes) -> Sequence[bytes]:
    """The messages of a frame, each alone: nearly always it is one. A frame that makes no sense is its only piece."""
    if payload.startswith(b"{"):
        return (payload,)
    text = unpacked(payload)
    if text is None or not text.startswith(b"["):
        return (payload if text is None else text,)
    try:
        return [orjson.dumps(item) for item in orjson.loads(text)]
    except orjson.JSONDecodeError:
        return (text,)


def peek(payload: bytes) -> Seen:
    """What a message is."""
    found = _V2(payload)
    if found is not None:
        topic, symbol, interval = found.groups()
        if interval is not None:
            topic += b"_" + interval
        return Push(_name(topic), _name(symbol), False)
    found = _V1(payload)
    if found is not None:
        symbol, topic, params = found.groups()
        if topic == b"kline":
            interval_found = _INTERVAL(params or b"")
            if interval_found is None:
                return _parsed(payload)
            topic = b"kline_" + interval_found[1]
        first = payload.rfind(b'"f":true', max(0, len(payload) - TAIL)) >= 0
        return Push(_name(topic), _name(symbol), first)
    return _parsed(payload)


def unpacked(payload: bytes) -> bytes | None:
    """The JSON of a frame, which may hold it as gzip; None if it cannot be unpacked or is too large."""
    if not payload.startswith(GZIP_MAGIC):
        return payload
    unpacking = zlib.decompressobj(wbits=31)
    try:
        text = unpacking.decompress(payload, LARGEST)
    except zlib.error:
        return None
    return text if unpacking.eof else None


def messages(payload: bytes) -> list[dict[str, Any]]:
    """All messages of a frame, read as a whole; nothing of one that makes no sense."""
    text = unpacked(payload)
    try:
        document = orjson.loads(text or b"[]")
    except orjson.JSONDecodeError:
        return []
    return [item for item in (document if isinstance(document, list) else [document]) if isinstance(item, dict)]


def trade_ids(payload: bytes) -> list[tuple[str, bool, list[int]]]:
    """(symbol, whether it is V1's history, trade ids in the order sent) of each trade message of a frame."""
    found = []
    for message in messages(payload):
        if message.get("topic") == "trade" and "code" not in message:
            ids = [number for row in rows(message) if (number := _whole(row.get("v"))) is not None]
            found.append((_symbol(message), message.get("f") is True, ids))
    return found


def ids_of_push(payload: bytes) -> list[int]:
    """The ids of a `trade` push that is a single message; it is not parsed."""
    return [int(found) for found in _IDS(payload)]


def counter_of(payload: bytes) -> int | None:
    """The counter `o` of a `diffMergedDepth` push, which counts up by one; None if it has none."""
    found = _COUNTER(payload, max(0, len(payload) - TAIL))
    if found is not None:
        return int(found[1])
    for message in messages(payload):
        for row in rows(message):
            return _whole(row.get("o"))
    return None


def rows(message: dict[str, Any]) -> list[dict[str, Any]]:
    """What `data` holds, always as a list."""
    data = message.get("data")
    return [row for row in (data if isinstance(data, list) else [data]) if isinstance(row, dict)]


def _whole(value: Any) -> int | None:
    try:
        return int(value) if isinstance(value, str | int) else None
    except ValueError:
        return None


def _name(text: bytes) -> str:
    known = _names.get(text)
    if known is None:
        known = text.decode("ascii", "replace")
        if len(_names) < 10_000:
            _names[text] = known
    return known


def _parsed(payload: bytes) -> Seen:
    try:
        frame = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        return Unknown(f"not JSON: {str(error)[:80]}")
    if not isinstance(frame, dict):
        return Unknown(f"a {type(frame).__name__}, not an object")
    if "code" in frame:  # before topic: errors carry the topic of data
        return _answer(frame)
    if "pong" in frame:
        value = frame["pong"]
        return Pong(value if type(value) is int else None)
    if "ping" in frame:
        return Ping(frame["ping"])
    if "topic" in frame:
        return Push(_topic(frame), _symbol(frame), frame.get("f") is True)
    return Unknown("neither topic, code, ping nor pong")


def _answer(frame: dict[str, Any]) -> Seen:
    topic, symbol = _topic(frame), _symbol(frame)
    if frame["code"] in SUCCESS:
        return Ack(topic, symbol, str(frame.get("event", "")))
    text = frame.get("desc", frame.get("msg", ""))
    return Refusal(str(frame["code"])[:40], str(text)[:200], topic, symbol)


def _topic(frame: dict[str, Any]) -> str:
    topic = str(frame.get("topic") or "")
    params = frame.get("params")
    if topic == "kline" and isinstance(params, dict) and params.get("klineType"):
        return f"kline_{params['klineType']}"
    return topic


def _symbol(frame: dict[str, Any]) -> str:
    """The symbol stands in one of four places."""
    data = frame.get("data")
    row = data[0] if isinstance(data, list) and data else data
    for place, key in ((frame, "symbol"), (frame.get("params"), "symbol"), (row, "s"), (row, "symbolId")):
        if isinstance(place, dict) and isinstance(place.get(key), str) and place[key]:
            return str(place[key])
    return ""
