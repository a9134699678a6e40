"""From the bytes of a frame to the pushes in it: unpack, parse, tell data from answers, route.

The venue sends `data` as a list, an object, nothing or null, puts the symbol in four places, and mixes
errors and acknowledgements in. Everything after this module sees `Push` only.
Source: reference of the market data, sections 3 and 9.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from recorder.venues.hashkey.values import Unreadable, milliseconds, shown

TEXT, BINARY, OWN_EVENT, REST_BODY = 0, 1, 2, 3  # kinds of journal records that can become rows
SOURCES = {0: "", 1: "ws_v1", 2: "ws_v2", 3: "rest"}  # by line
SUCCESS = (0, "0", "0000", 200, "200")
GZIP_MAGIC = b"\x1f\x8b"
LARGEST_FRAME = 64 << 20  # bytes after unpacking; a frame of the venue has a few kB
SITE_VENUES = {"hk": "hashkey", "mena": "hashkey-mena", "bmu": "hashkey-global", "glb": "hashkey-global"}
SITE = re.compile(r"[a-z0-9]{1,16}")
SANDBOX = "-sandbox"


class Arrival(Protocol):
    """A journal record, as far as decoding needs it."""

    @property
    def seq(self) -> int: ...
    @property
    def receive_ns(self) -> int: ...
    @property
    def conn(self) -> int: ...
    @property
    def kind(self) -> int: ...
    @property
    def line(self) -> int: ...
    @property
    def payload(self) -> bytes: ...


@dataclass(slots=True)
class Push:
    """One message with data: where it belongs, and its rows as sent."""

    topic: str
    symbol: str
    venue: str
    send_ms: int | None
    first: Any  # `f` as sent
    params: dict[str, Any]
    items: list[Any]


def text_of(record: Arrival) -> bytes:
    """The JSON of a frame; binary frames hold gzip. Raises Unreadable."""
    payload = record.payload
    if record.kind != BINARY or not payload.startswith(GZIP_MAGIC):
        return payload
    try:
        unpacker = zlib.decompressobj(wbits=31)
        text = unpacker.decompress(payload, LARGEST_FRAME)
    except zlib.error as error:
        raise Unreadable(f"gzip: {error}") from error
    if not unpacker.eof:
        raise Unreadable("gzip: cut short, or too large")
    return text


def parse(text: bytes) -> Any:
    """JSON, or Unreadable."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"JSON: {str(error)[:80]}") from error
    except RecursionError as error:
        raise Unreadable("JSON: nested too deep") from error


def messages(document: Any) -> Iterator[Any]:
    """The messages of a frame: it is one, or a list of them."""
    if isinstance(document, list):
        yield from document
    else:
        yield document


def read_push(message: Any, venue: str) -> Push | None:
    """Route one message; None if it is an answer (error, acknowledgement, pong) and so no data.

    `venue` is the one that the connection belongs to; a push with `site` goes to that site's venue.
    Raises Unreadable if it is no object, or names no topic or no symbol though it has data.
    """
    if type(message) is not dict:
        raise Unreadable(f"message is {shown(message)}, not an object")
    code = message.get("code")
    if code is not None and (code not in SUCCESS or message.get("data") is None):
        return None  # test `code` before `topic`: error frames carry a topic too
    topic = message.get("topic")
    if type(topic) is not str or not topic:
        if "pong" in message or "ping" in message or message.get("msg") == "Success":
            return None
        raise Unreadable("no topic")
    data = message.get("data")
    if data is None:
        items = []
    elif type(data) is list:
        items = data
    else:
        items = [data]
    raw_params = message.get("params")
    params = raw_params if type(raw_params) is dict else {}
    symbol = message.get("symbol") or params.get("symbol") or _inner_symbol(items)
    if type(symbol) is not str:
        if not items:
            return None
        raise Unreadable(f"{topic[:40]}: no symbol")
    site = message.get("site")
    return Push(
        topic=topic,
        symbol=symbol,
        venue=venue if site is None else venue_of(site, venue),
        send_ms=milliseconds(message.get("sendTime"), "sendTime"),
        first=message.get("f"),
        params=params,
        items=items,
    )


def _inner_symbol(items: list[Any]) -> Any:
    if items and type(items[0]) is dict:
        return items[0].get("s") or items[0].get("symbolId")
    return None


def venue_of(site: Any, venue: str) -> str:
    """The venue of a site (`hk`, `mena`, in any case) within the environment of `venue`."""
    if type(site) is not str or SITE.fullmatch(site.lower()) is None:
        return venue
    name = SITE_VENUES.get(site.lower()) or f"hashkey-{site.lower()}"
    return name + SANDBOX if venue.endswith(SANDBOX) else name
