"""The decoder's rules, one by one: shapes that the venue sends or may send, routing, exactness, quarantine."""

import gzip
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pytest

from recorder.journal.format import Kind, Line
from recorder.lake.schema import tables
from recorder.venues.hashkey.columns import COMMON, OWN
from tests.frames.arrivals import Row, arrived, decoded, depth_push, head, sample, trade_push

TRADE = (4620696243481038848, 1764598927887, "86101.4", "0.00314", False)
BBO = {"s": "BTCUSD", "b": "10", "bz": "1", "a": "11", "az": "2", "t": 1_766_729_017_183}


def quarantined(frame: Any) -> str:
    """The reason why a frame gave nothing but one quarantine row, which holds the frame."""
    made = decoded(frame)
    assert list(made) == ["quarantine"]
    (row,) = made["quarantine"]
    assert row["frame"] == (frame if isinstance(frame, bytes) else orjson.dumps(frame))
    return str(row["reason"])


def bbo(**changes: Any) -> Row:
    row = {key: value for key, value in (BBO | changes).items() if value != "missing"}
    return {"topic": "bbo", "params": {"symbol": "BTCUSD"}, "data": row}


def test_the_decoders_columns_are_those_of_the_schema() -> None:
    for name, table in tables().items():
        assert pa.schema(list((COMMON | OWN[name]).items())).types == table.arrow.types
        assert list(COMMON | OWN[name]) == table.arrow.names


@pytest.mark.parametrize("data", [[], None, "missing"])
def test_a_push_without_rows_gives_none(data: Any) -> None:
    push = trade_push("BTCUSD", []) | {"data": data}
    if data == "missing":
        del push["data"]
    assert decoded(push) == {}


def test_data_may_be_one_object_or_a_list() -> None:
    push = trade_push("BTCUSD", [TRADE])
    single = push | {"data": push["data"][0]}
    assert decoded(push)["trade"] == decoded(single)["trade"]


def test_a_frame_may_be_a_list_of_messages_whose_rows_are_counted_through() -> None:
    second = (TRADE[0] + 1, *TRADE[1:])
    rows = decoded([trade_push("BTCUSD", [TRADE]), trade_push("BTCUSD", [second])])["trade"]
    assert [(row["trade_id"], row["idx"]) for row in rows] == [(TRADE[0], 0), (TRADE[0] + 1, 1)]


def test_a_later_mark_price_of_v1_is_routed_by_its_inner_symbol() -> None:
    inner = {"exchangeId": 301, "symbolId": "BTCUSD-PERPETUAL", "price": "89768.358", "time": 1769068545000}
    (row,) = decoded({"topic": "markPrice", "data": inner, "f": False})["mark_price"]
    assert (row["symbol"], row["price"]) == ("BTCUSD-PERPETUAL", Decimal("89768.358"))


def test_numbers_as_text_are_read_as_numbers() -> None:
    push = trade_push("BTCUSD", [TRADE])
    push["data"][0] |= {"t": str(TRADE[1]), "v": TRADE[0], "m": "true"}
    push["sendTime"] = "1764598928016"
    (row,) = decoded(push)["trade"]
    assert (row["trade_id"], row["send_ms"], row["buyer_is_maker"]) == (TRADE[0], 1764598928016, True)


@pytest.mark.parametrize(
    ("sent", "meant"),
    [("1865138374", 1865138374), ("14081098_18", 14081098), (12, 12), ("missing", None), ("a_b", None), (-1, None)],
)
def test_a_version_is_the_number_before_the_underscore_else_null(sent: Any, meant: int | None) -> None:
    assert decoded(bbo(v=sent))["bbo"][0]["version"] == meant


@pytest.mark.parametrize("empty", ["missing", "", "0", "0.00", None])
@pytest.mark.parametrize("key", ["b", "bz"])
def test_every_form_of_an_empty_side_is_no_quote(key: str, empty: Any) -> None:
    (row,) = decoded(bbo(**{key: empty}))["bbo"]
    assert (row["bid_price"], row["bid_size"]) == (None, None)
    assert (row["ask_price"], row["ask_size"]) == (Decimal(11), Decimal(2))


@pytest.mark.parametrize(
    ("venue", "site", "meant"),
    [
        ("hashkey", "hk", "hashkey"),
        ("hashkey", "mena", "hashkey-mena"),
        ("hashkey", "MENA", "hashkey-mena"),
        ("hashkey-mena", "HK", "hashkey"),
        ("hashkey-sandbox", "mena", "hashkey-mena-sandbox"),
        ("hashkey-global", None, "hashkey-global"),
        ("hashkey", "BMU", "hashkey-global"),
        ("hashkey", "sg", "hashkey-sg"),
        ("hashkey", ["odd"], "hashkey"),
    ],
)
def test_the_site_of_a_push_decides_its_venue(venue: str, site: Any, meant: str) -> None:
    push = trade_push("BTCUSD", [TRADE]) | ({} if site is None else {"site": site})
    assert decoded(push, venue=venue)["trade"][0]["venue"] == meant


def test_the_segment_event_names_the_venue_of_what_follows() -> None:
    push = arrived(trade_push("BTCUSD", [TRADE]), seq=2)
    assert decoded(head(venue="hashkey-sandbox"), push)["trade"][0]["venue"] == "hashkey-sandbox"


def test_binary_frames_hold_gzip() -> None:
    frame = gzip.compress(sample("ws-v1-trade"))
    made = decoded(arrived(frame, kind=Kind.BINARY))
    assert made["trade"][0]["price"] == Decimal("86101.4")
    cut = decoded(arrived(frame[:-9], kind=Kind.BINARY))["quarantine"][0]
    assert cut["reason"].startswith("gzip") and cut["frame"] == frame[:-9]


@pytest.mark.parametrize(
    "frame",
    [
        {"code": "-100010", "desc": "Invalid Symbols!", "topic": "depth"},
        {"code": 404, "msg": "No static resource"},
        {"topic": "kline", "event": "sub", "params": {"symbol": "X"}, "code": "0", "msg": "Success"},
        {"msg": "Success"},
        {"pong": 1748503865406},
        {"ping": 1748504490208, "channelId": "x"},
    ],
)
def test_answers_are_no_data(frame: Row) -> None:
    assert decoded(frame) == {}


@pytest.mark.parametrize(
    "price",
    ["1e5", "-1", "+1", "", "NaN", "1.0000000000001", "1000000000000000000", ".5", "5.", "1_0", " 1", 1.5, None],
)
def test_a_number_that_is_not_exact_goes_to_quarantine_with_its_frame(price: Any) -> None:
    push = trade_push("BTCUSD", [(*TRADE[:2], price, *TRADE[3:])])
    assert quarantined(push).startswith("p is ")
    assert quarantined(depth_push("BTCUSD", [[price, "1"]], [])).startswith("b is ")


@pytest.mark.parametrize(
    "price", ["999999999999999999.999999999999", "0.000000000001", "007", "1.50000000000000000000000000000000000"]
)
def test_a_number_that_fits_is_kept_to_the_last_digit(price: str) -> None:
    push = trade_push("BTCUSD", [(*TRADE[:2], price, *TRADE[3:])])
    assert decoded(push)["trade"][0]["price"] == Decimal(price)
    assert decoded(depth_push("BTCUSD", [], [[price, "1"]]))["depth"][0]["ask_prices"] == [Decimal(price)]


def test_the_good_rows_of_a_frame_with_a_bad_one_stay() -> None:
    bad = (TRADE[0] + 1, TRADE[1], "1e5", "1", True)
    made = decoded(trade_push("BTCUSD", [TRADE, bad, (TRADE[0] + 2, *TRADE[1:])]))
    assert [row["trade_id"] for row in made["trade"]] == [TRADE[0], TRADE[0] + 2]
    (row,) = made["quarantine"]
    assert (row["channel"], row["symbol"]) == ("trade", "BTCUSD")


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"not json", "JSON: "),
        (b'{"topic":"trade"', "JSON: "),
        (b'{"topic":"\xff"}', "JSON: "),
        (b"", "JSON: "),
        (b"7", "message is 7, not an object"),
        ({}, "no topic"),
        ({"topic": "fundingRate", "symbol": "X", "data": [{}]}, "unknown topic fundingRate"),
        ({"topic": "mergedDepth", "symbol": "X", "data": [{}]}, "unknown topic mergedDepth"),
        ({"topic": "trade", "data": [{"v": "1"}]}, "trade: no symbol"),
        ({"topic": "trade", "symbol": "X", "data": [7]}, "row is 7, not an object"),
        (trade_push("X", [(2**63, 1, "1", "1", True)]), "v is 9223372036854775808"),
        (trade_push("X", [(1, 10**17, "1", "1", True)]), "t is 100000000000000000"),
        (trade_push("X", [(1, -1, "1", "1", True)]), "t is -1"),
        (trade_push("X", [(1, 1, "1", "1", True)]) | {"sendTime": 1.5}, "sendTime is 1.5"),
        ({"topic": "kline", "symbol": "X", "data": [{"t": 1}]}, "klineType is "),
        ({"topic": "depth", "symbol": "X", "data": [{"t": 1}]}, "book without b and a"),
        (depth_push("X", [["1", "1", "1"]], []), "b holds "),
    ],
)
def test_what_cannot_be_understood_goes_to_quarantine(frame: Any, reason: str) -> None:
    assert quarantined(frame).startswith(reason)


def test_a_frame_that_defeats_the_decoder_itself_is_kept_and_the_next_one_read() -> None:
    deep = b'{"topic":"trade","symbol":"X","data":' + b"[" * 1000 + b"]" * 1000 + b"}"
    made = decoded(deep, trade_push("BTCUSD", [TRADE]))
    assert [row["frame"] for row in made["quarantine"]] == [deep]
    assert len(made["trade"]) == 1


def test_a_frame_with_more_rows_than_idx_can_count_keeps_the_first_ones() -> None:
    trades = [(i, 1, "1", "1", True) for i in range(2**15 + 1)]
    made = decoded(trade_push("BTCUSD", trades))
    assert (len(made["trade"]), made["trade"][-1]["idx"]) == (2**15, 2**15 - 1)
    assert made["quarantine"][0]["reason"] == "more than 32768 rows"


def test_rows_come_sorted_by_venue_symbol_and_arrival() -> None:
    frames = [trade_push(s, [(i, 1, "1", "1", True)]) for i, s in enumerate(["B", "A", "B", "A"])]
    rows = decoded(*frames)["trade"]
    assert [(row["symbol"], row["seq"]) for row in rows] == [("A", 2), ("A", 4), ("B", 1), ("B", 3)]


def test_frames_that_we_sent_give_nothing() -> None:
    assert decoded(arrived(trade_push("BTCUSD", [TRADE]), kind=Kind.SENT)) == {}


def test_the_line_becomes_the_source() -> None:
    rows = [decoded(arrived(bbo(), line=line))["bbo"][0]["source"] for line in (Line.WS_V1, Line.WS_V2)]
    assert rows == ["ws_v1", "ws_v2"]
