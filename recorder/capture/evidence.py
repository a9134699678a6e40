"""What REST can tell about a silent stream: which question to ask, and whether its answer is news.

Of a frame and of an answer alike only a `Mark` is taken: how far the stream had come. An answer that is
further than the last frame means that something was not sent to us. Source: reference of the market
data, sections 4 to 6.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from recorder.venues.hashkey.peek import messages, rows

TICKER_LAGS_MS = 2_000  # a trade so much newer than the ticker must have changed it
ABSENT = ("", "0", None)


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a stream has come: the venue's time, and what there was then."""

    time: int
    state: tuple[Any, ...] = ()


_TEXT = rb'"([0-9.]+)"'
_TOP_OF_DEPTH = re.compile(rb'"b":\[\[' + _TEXT + b"," + _TEXT + rb'\].*?"a":\[\[' + _TEXT + b"," + _TEXT).search
_BBO = re.compile(rb'"b":' + _TEXT + b',"bz":' + _TEXT + b',"a":' + _TEXT + b',"az":' + _TEXT).search
NOTHING = Mark(0)  # the venue has nothing at all yet


@dataclass(frozen=True, slots=True)
class Question:
    path: str
    params: Mapping[str, str | int]


def question(topic: str, symbol: str) -> Question | None:
    """What to ask about a stream; None if REST has nothing like it."""
    kind, _, interval = topic.partition("_")
    if topic in ("depth", "diffMergedDepth"):
        return Question("/quote/v1/depth", {"symbol": symbol, "limit": 20})
    if topic == "bbo":
        return Question("/quote/v1/ticker/bookTicker", {"symbol": symbol})
    if topic in ("trade", "realtimes"):
        return Question("/quote/v1/trades", {"symbol": symbol, "limit": 1})
    if kind == "kline":
        return Question("/quote/v1/klines", {"symbol": symbol, "interval": interval, "limit": 2})
    if topic == "markPrice":
        return Question("/quote/v1/markPrice", {"symbol": symbol})
    return None


def mark_of_frame(topic: str, symbol: str, payload: bytes) -> Mark | None:
    """How far the last frame was; None if it says nothing."""
    marks = [
        mark
        for message in messages(payload)
        if str(message.get("topic")) == topic.partition("_")[0]
        for row in rows(message)
        if (row.get("s") or message.get("symbol") or _symbol_of(message) or symbol) == symbol
        and (mark := _mark(topic, row)) is not None
    ]
    return max(marks, key=lambda mark: mark.time, default=None)


def mark_of_answer(topic: str, body: Any) -> Mark | None:
    """How far the venue is; None if the answer does not say."""
    if topic.startswith("kline_"):
        candles = [
            Mark(time, (_number(row[5]),))
            for row in (body if isinstance(body, list) else [])
            if isinstance(row, list) and len(row) > 5 and (time := _time(row[0])) is not None and _number(row[5])
        ]
        return max(candles, key=lambda mark: mark.time, default=NOTHING if body == [] else None)
    items = body if isinstance(body, list) else [body]
    marks = [mark for row in items if isinstance(row, dict) and (mark := _mark(topic, row)) is not None]
    return max(marks, key=lambda mark: mark.time, default=NOTHING if body == [] else None)


def is_news(topic: str, ours: Mark | None, theirs: Mark | None) -> bool:
    """Whether the venue is further than we are. Nothing to compare with is no news."""
    if ours is None or theirs is None:
        return False
    if topic == "bbo":
        return theirs.state != ours.state
    if topic == "realtimes":
        return theirs.time > ours.time + TICKER_LAGS_MS
    if topic.startswith("kline_"):
        return theirs.time > ours.time or (theirs.time == ours.time and theirs.state != ours.state)
    return theirs.time > ours.time


def best_quotes(topic: str, payload: bytes) -> tuple[bytes, ...] | None:
    """The best bid and ask as they stand in a `depth` or `bbo` frame of V2; None if a side is missing."""
    found = _TOP_OF_DEPTH(payload) if topic == "depth" else _BBO(payload)
    return found.groups() if found else None


def _mark(topic: str, row: dict[str, Any]) -> Mark | None:
    time = _time(row.get("t", row.get("time")))
    if time is None:
        return None
    if topic == "bbo":
        sides = (("b", ("bz", "bq")), ("a", ("az", "aq")))
        return Mark(time, tuple(_quote(row, price, sizes) for price, sizes in sides))
    if topic.startswith("kline_"):
        return Mark(time, (_number(row.get("v")),))
    return Mark(time)


def _quote(row: dict[str, Any], price: str, sizes: tuple[str, str]) -> tuple[Decimal, Decimal] | None:
    size = row.get(sizes[0], row.get(sizes[1]))
    if size in ABSENT or row.get(price) in ABSENT:
        return None
    found = _number(row[price]), _number(size)
    return (found[0], found[1]) if found[0] is not None and found[1] is not None else None


def _symbol_of(message: dict[str, Any]) -> str:
    params = message.get("params")
    return str(params.get("symbol") or "") if isinstance(params, dict) else ""


def _time(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _number(value: Any) -> Decimal | None:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None
