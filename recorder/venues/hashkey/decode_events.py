"""Our own events become the rows of session, gap and clock.

The table of events is in docs/architecture.md; an event that it does not name is a session row too.
"""

from typing import Any

import orjson

from recorder.venues.hashkey.columns import Row
from recorder.venues.hashkey.values import LARGEST_INT64, Unreadable, microseconds, shown, word

NOT_DETAIL = ("session", "event", "channel", "symbol", "symbols")


def event_rows(event: dict[str, Any], session: str) -> list[tuple[str, str, int | None, Row]]:
    """(table, symbol, exchange time in us, own values) of each row that an event becomes."""
    name = word(event.get("event"), "event")
    channel, symbol = _text(event, "channel"), _text(event, "symbol")
    if name == "segment":
        return []
    if name == "clock":
        server_ms = _number(event, "server_ms")
        own: Row = (server_ms, _number(event, "round_trip_ns"), _number(event, "offset_ns"))
        return [("clock", symbol, microseconds(server_ms, "server_ms"), own)]
    if name == "gap":
        healed = event.get("healed", False)
        if type(healed) is not bool:
            raise Unreadable(f"healed is {shown(healed)}")
        own = (
            channel,
            _text(event, "reason"),
            _number(event, "from_ns"),
            _number(event, "to_ns"),
            _number(event, "seq_before", optional=True),
            _number(event, "seq_after", optional=True),
            healed,
        )
        return [("gap", symbol, None, own)]
    detail = {key: value for key, value in event.items() if key not in NOT_DETAIL}
    text = orjson.dumps(detail).decode()
    own = (_text(event, "session") or session, name, channel, text)
    symbols = event.get("symbols")
    if symbols is None:
        return [("session", symbol, None, own)]
    if type(symbols) is not list or not all(type(s) is str for s in symbols):
        raise Unreadable(f"symbols is {shown(symbols)}")
    return [("session", s, None, own) for s in symbols]


def _text(event: dict[str, Any], key: str) -> str:
    value = event.get(key)
    if value is None:
        return ""
    if type(value) is not str:
        raise Unreadable(f"{key} is {shown(value)}, not a text")
    return value


def _number(event: dict[str, Any], key: str, optional: bool = False) -> int | None:
    value = event.get(key)
    if value is None and optional:
        return None
    if type(value) is not int or not -LARGEST_INT64 <= value <= LARGEST_INT64:
        raise Unreadable(f"{key} is {shown(value)}, not a whole number")
    return value


def read_event(payload: bytes) -> dict[str, Any]:
    """An own event. Raises Unreadable if it is not an object."""
    try:
        event = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"own event: {str(error)[:80]}") from error
    if type(event) is not dict:
        raise Unreadable("own event is not an object")
    return event
