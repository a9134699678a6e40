"""Whatever arrives, the decoder gives rows or keeps the frame in quarantine; it never raises."""

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.journal.format import Kind
from tests.frames.arrivals import FRAMES, arrived, decoded, event, reply, sample

NAMES = sorted(path.stem for path in FRAMES.glob("ws-*.json"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["1", "0", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
PATHS = st.sampled_from(["/api/v1/exchangeInfo", "/quote/v1/klines", "/quote/v1/trades", "/quote/v1/depth"])
TOPICS = ["trade", "depth", "diffMergedDepth", "kline", "realtimes", "bbo", "index", "markPrice", "odd"]
KEYS = ["v", "t", "p", "q", "m", "o", "h", "l", "c", "b", "a", "bz", "az", "s", "symbolId", "index", "time", "price"]


def places(document: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a document."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [at, *(path for key, value in inner for path in places(value, (*at, key)))]


def replaced(document: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[at[0]] = replaced(copy[at[0]], at[1:], value)
    return copy


def check_frame(frame: bytes, kind: int = Kind.TEXT) -> None:
    """Each row belongs to the frame, and the frame is whole in quarantine if anything was odd."""
    made = decoded(arrived(frame, kind=kind))
    assert all(row["seq"] == 1 for rows in made.values() for row in rows)
    for row in made.get("quarantine", []):
        assert row["frame"] == frame and row["reason"]
    assert len(made.get("quarantine", [])) <= 1


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(NAMES), st.data(), JSON)
def test_a_value_of_another_type(name: str, data: st.DataObject, value: Any) -> None:
    document = orjson.loads(sample(name))
    at = data.draw(st.sampled_from(places(document)))
    try:
        frame = orjson.dumps(replaced(document, at, value))
    except TypeError:
        return  # an integer that JSON libraries do not write
    check_frame(frame)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 600), st.binary(max_size=4), st.integers(0, 600))
def test_frames_cut_short_or_with_foreign_bytes(name: str, at: int, foreign: bytes, end: int) -> None:
    frame = sample(name)
    check_frame(frame[:at])
    check_frame(frame[:at] + foreign + frame[at + end :])
    check_frame(foreign, Kind.BINARY)
    check_frame(b"\x1f\x8b\x08\x00" + foreign, Kind.BINARY)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(TOPICS), st.lists(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=9), max_size=3), JSON)
def test_rows_made_of_anything_are_each_accounted_for(topic: str, rows: list[Any], extra: Any) -> None:
    push = {"topic": topic, "symbol": "X", "params": {"klineType": "1m"}, "data": rows, "f": extra}
    try:
        frame = orjson.dumps(push)
    except TypeError:
        return
    made = decoded(frame)
    good = sum(len(found) for table, found in made.items() if table != "quarantine")
    assert good == len(rows) or len(made["quarantine"]) == 1
    assert good <= len(rows)


@settings(max_examples=150, deadline=None)
@given(JSON, PATHS, st.sampled_from(["store", None]))
def test_rest_bodies_of_any_form(body: Any, path: str, use: str | None) -> None:
    try:
        record = reply(body, path, use=use, params={"symbol": "X", "interval": "1m"})
    except TypeError:
        return
    decoded(record)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["event", "channel", "symbol", "symbols", "from_ns", "healed"]), JSON))
def test_own_events_of_any_form(fields: dict[str, Any]) -> None:
    try:
        record = event(**fields)
    except TypeError:
        return
    made = decoded(record)
    assert set(made) <= {"session", "gap", "clock", "quarantine"}


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40), st.sampled_from(list(Kind)))
def test_any_bytes_of_any_kind(payload: bytes, kind: Kind) -> None:
    decoded(arrived(payload, kind=kind))
