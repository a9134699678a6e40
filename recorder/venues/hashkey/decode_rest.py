"""REST bodies: instruments always, candles and trades where the request says that we want them stored.

A body record is one line of JSON about our request, a newline, and the body as it came. Candles confirm
or fill what the sockets brought: those outside the range that was asked for are left out, among them the
running one, since the venue's rules for ranges are not documented. Trades have no id there, so each is a row
of its own; `keep` in the first line names those (by their place) that the lake did not hold.
Source: reference of the market data, section 6; record form in docs/architecture.md.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from recorder.venues.hashkey.columns import Row
from recorder.venues.hashkey.frames import parse, venue_of
from recorder.venues.hashkey.instruments import Known, listed, own_values, raw_text
from recorder.venues.hashkey.values import (
    Unreadable,
    decimal_text,
    integer,
    microseconds,
    optional_decimal_text,
    shown,
    truth,
    word,
)

TABLES = {
    "/api/v1/exchangeInfo": "instrument",
    "/quote/v1/klines": "kline",
    "/quote/v1/trades": "trade",
}
Made = tuple[str, str, int | None, Row]  # venue, symbol, exchange time in us, own values


@dataclass(slots=True)
class Reply:
    """A body that becomes rows of `table`, and what we asked."""

    table: str
    params: dict[str, Any]
    reason: str
    body: bytes
    keep: frozenset[int] | None = None  # places of the items that are stored; None: all


def read_reply(payload: bytes) -> Reply | None:
    """The reply in a record; None if nothing of it is stored. Raises Unreadable if its first line is not ours."""
    line, _, body = payload.partition(b"\n")
    about = parse(line)
    if type(about) is not dict:
        raise Unreadable("REST record without its request")
    table = TABLES.get(str(about.get("path")))
    if table is None or about.get("status") != 200:
        return None
    if table != "instrument" and about.get("use") != "store":
        return None
    params = about.get("params")
    keep = about.get("keep")
    if keep is not None and (type(keep) is not list or not all(type(place) is int for place in keep)):
        raise Unreadable(f"keep is {shown(keep)}, not a list of places")
    return Reply(
        table,
        params if type(params) is dict else {},
        str(about.get("reason", "")),
        body,
        None if keep is None else frozenset(keep),
    )


def rows(reply: Reply, venue: str, known: Known) -> Iterator[Made | Unreadable]:
    """Rows of a reply, in its order, and in place of each that cannot be decoded the reason.

    Raises Unreadable if the whole cannot be decoded.
    """
    document = parse(reply.body)
    if reply.table == "instrument":
        yield from _instruments(reply, document, venue, known)
        return
    if type(document) is not list:
        raise Unreadable(f"{reply.table} is {shown(document)}, not a list")
    venue = venue_of(reply.params.get("site"), venue)
    symbol = word(reply.params.get("symbol"), "symbol")
    interval = word(reply.params.get("interval"), "interval") if reply.table == "kline" else ""
    low, high = _asked(reply.params)
    for place, item in enumerate(document):
        if reply.keep is not None and place not in reply.keep:
            continue
        try:
            if reply.table == "kline":
                time, own = None, _kline(item, interval)
                if not low <= own[1] <= high:
                    continue
            else:
                time, own = _trade(item)
        except Unreadable as error:
            yield error
        else:
            yield venue, symbol, time, own


def _asked(params: dict[str, Any]) -> tuple[float, float]:
    """The range of open times that was asked for, in us."""
    low, high = params.get("startTime"), params.get("endTime")
    return low * 1000 if type(low) is int else -math.inf, high * 1000 if type(high) is int else math.inf


def _instruments(reply: Reply, document: Any, venue: str, known: Known) -> Iterator[Made | Unreadable]:
    """All symbols at a start, else those whose object changed since it was last seen."""
    found = list(listed(document))
    site = reply.params.get("site") or document.get("site")
    venue = venue_of(site, venue)
    time = microseconds(document.get("serverTime"), "serverTime")
    for kind, item in found:
        raw = raw_text(item)
        try:
            own = own_values(kind, item, raw)
        except Unreadable as error:
            yield error
            continue
        key = venue, item["symbol"]
        if reply.reason == "start" or known.get(key) != raw:
            known[key] = raw
            yield venue, item["symbol"], time, own


def _kline(item: Any, interval: str) -> Row:
    """Time, open, high, low, close, volume, an idle close time, quote volume, count, two taker volumes."""
    if type(item) is not list or len(item) < 6:
        raise Unreadable(f"kline is {shown(item)}, not a list of 11")
    time, *prices = item[:6]
    open_time = microseconds(time, "time")
    if open_time is None:
        raise Unreadable("kline without time")
    quote_volume, count, taker_volume, taker_quote_volume = (*item[7:11], *[None] * 4)[:4]
    return (
        interval,
        open_time,
        *(decimal_text(price, name) for price, name in zip(prices, ("o", "h", "l", "c", "v"), strict=True)),
        optional_decimal_text(quote_volume, "quote volume"),
        None if count is None else integer(count, "count"),
        optional_decimal_text(taker_volume, "taker volume"),
        optional_decimal_text(taker_quote_volume, "taker quote volume"),
    )


def _trade(item: Any) -> tuple[int | None, Row]:
    if type(item) is not dict:
        raise Unreadable(f"trade is {shown(item)}, not an object")
    own = None, decimal_text(item.get("p"), "p"), decimal_text(item.get("q"), "q"), truth(item.get("ibm"), "ibm")
    return microseconds(item.get("t"), "t"), own
