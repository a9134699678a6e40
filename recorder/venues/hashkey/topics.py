"""What each topic's row means, as a table of readers: topic, its table, and how a row is read.

A reader takes one row as sent and gives (exchange time in us, values of the table's own columns).
Books are read by `depth`. Source: reference of the market data, sections 4 and 5.
"""

from collections.abc import Callable
from typing import Any

from recorder.venues.hashkey.frames import Push
from recorder.venues.hashkey.values import (
    Unreadable,
    decimal_text,
    integer,
    microseconds,
    optional_decimal_text,
    optional_integer,
    quote_text,
    truth,
    version,
    word,
)

Item = dict[str, Any]
Read = tuple[int | None, tuple[Any, ...]]


def trade(item: Item, _push: Push) -> Read:
    """Id and time are needed: without them a trade cannot be told from its repetition."""
    time = microseconds(item.get("t"), "t")
    if time is None:
        raise Unreadable("trade without t")
    return time, (
        integer(item.get("v"), "v"),
        decimal_text(item.get("p"), "p"),
        decimal_text(item.get("q"), "q"),
        truth(item.get("m"), "m"),
    )


def kline(item: Item, push: Push) -> Read:
    """`et` is documented as close time but always 0; V2 and older V1 send OHLCV only."""
    open_time = microseconds(item.get("t"), "t")
    if open_time is None:
        raise Unreadable("kline without t")
    interval = push.params.get("klineType") or push.topic.removeprefix("kline").removeprefix("_")
    return None, (
        word(interval, "klineType"),
        open_time,
        *(decimal_text(item.get(key), key) for key in ("o", "h", "l", "c", "v")),
        optional_decimal_text(item.get("qv"), "qv"),
        optional_integer(item.get("td"), "td"),
        optional_decimal_text(item.get("tb"), "tb"),
        optional_decimal_text(item.get("tq"), "tq"),
    )


def bbo(item: Item, _push: Push) -> Read:
    """A side counts only whole: price and size."""
    bid = quote_text(item.get("b"), "b"), quote_text(item.get("bz"), "bz")
    ask = quote_text(item.get("a"), "a"), quote_text(item.get("az"), "az")
    return microseconds(item.get("t"), "t"), (
        version(item.get("v")),
        *((None, None) if None in bid else bid),
        *((None, None) if None in ask else ask),
    )


def ticker(item: Item, _push: Push) -> Read:
    return microseconds(item.get("t"), "t"), (
        *(decimal_text(item.get(key), key) for key in ("o", "h", "l", "c", "v")),
        optional_decimal_text(item.get("qv"), "qv"),
    )


def index_price(item: Item, _push: Push) -> Read:
    formula = item.get("formula")
    return microseconds(item.get("time", item.get("t")), "time"), (
        decimal_text(item.get("index"), "index"),
        optional_decimal_text(item.get("edp"), "edp"),
        None if formula is None else word(formula, "formula"),
    )


def mark_price(item: Item, _push: Push) -> Read:
    """V1 says `price` and `time`, V2 `p` and `t`."""
    price = decimal_text(item.get("price", item.get("p")), "price")
    return microseconds(item.get("time", item.get("t")), "time"), (price,)


READERS: dict[str, tuple[str, Callable[[Item, Push], Read]]] = {
    "trade": ("trade", trade),
    "kline": ("kline", kline),
    "realtimes": ("ticker", ticker),
    "bbo": ("bbo", bbo),
    "index": ("index_price", index_price),
    "markPrice": ("mark_price", mark_price),
}


def reader_of(topic: str) -> tuple[str, Callable[[Item, Push], Read]]:
    """Table and reader of a topic. Raises Unreadable for one that we do not know."""
    found = READERS.get("kline" if topic.startswith("kline_") else topic)
    if found is None:
        raise Unreadable(f"unknown topic {topic[:60]}")
    return found
