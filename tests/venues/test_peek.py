"""Peeking, on frames as the venue sends them (books cut short); sources are in the market-data reference."""

import gzip

import orjson
import pytest

from recorder.venues.hashkey.peek import (
    Ack,
    Ping,
    Pong,
    Push,
    Refusal,
    Unknown,
    counter_of,
    ids_of_push,
    peek,
    pieces,
    trade_ids,
)

DEPTH_V1 = (
    b'{"symbol":"ETHUSD","symbolName":"ETHUSD","topic":"depth","params":{"realtimeInterval":"24h","binary":"false"},'
    b'"data":[{"e":301,"s":"ETHUSD","t":1790128265172,"v":"2546770814_18","b":[["2750.84","14.541"]],'
    b'"a":[["2750.85","34.535"]],"o":0}],"f":%s,"sendTime":1790128268345,'
    b'"channelId":"92e9fefffe175075-00000001-00041081-26cd5ee464861299-452b8b0e","site":"hk","shared":false}'
)
KLINE_V1 = (
    b'{"symbol":"BTCUSDT","symbolName":"BTCUSDT","topic":"kline","params":{"realtimeInterval":"24h",'
    b'"klineType":"1m","binary":"false"},"data":[{"t":1766727660000,"s":"BTCUSDT","sn":"BTCUSDT","c":"88888.01",'
    b'"h":"88888.01","l":"88888.01","o":"88888.01","v":"0","et":0,"qv":"0","td":0,"tb":"0","tq":"0"}],"f":true,'
    b'"sendTime":1766727675969,"shared":false,"site":"mena"}'
)
MARK_V1 = b'{"topic":"markPrice","data":{"exchangeId":301,"symbolId":"BTCUSDT-PERPETUAL","price":"86651.8","time":1}}'
DEPTH_V2 = (
    b'{"topic":"depth","params":{"symbol":"BTCUSDT-PERPETUAL"},"data":{"s":"BTCUSDT-PERPETUAL","t":1790134581603,'
    b'"v":"14088520_1","b":[["86645.7","155"]],"a":[["86645.8","12"]]}}'
)
KLINE_V2 = (
    b'{"site":"mena","topic":"kline","params":{"symbol":"BTCUSDT","klineType":"1m"},"data":{"t":1766728080000,'
    b'"s":"BTCUSDT","sn":"BTCUSDT","c":"88947.71","h":"88947.71","l":"88947.71","o":"88947.71","v":"0"}}'
)
TRADE_V2 = (
    b'{"topic":"trade","params":{"symbol":"ETHUSDT"},"data":{"v":"4645465192627367936","t":1766728952350,'
    b'"p":"2974.53","q":"0.0089","m":false},"site":"hk"}'
)
EMPTY_V1 = b'{"symbol":"X","symbolName":"X","topic":"trade","params":{},"data":[],"f":true,"sendTime":1}'
FRAMES = [
    (DEPTH_V1 % b"true", Push("depth", "ETHUSD", True)),
    (DEPTH_V1 % b"false", Push("depth", "ETHUSD", False)),
    (KLINE_V1, Push("kline_1m", "BTCUSDT", True)),
    (MARK_V1, Push("markPrice", "BTCUSDT-PERPETUAL", False)),
    (EMPTY_V1, Push("trade", "X", True)),
    (DEPTH_V2, Push("depth", "BTCUSDT-PERPETUAL", False)),
    (KLINE_V2, Push("kline_1m", "BTCUSDT", False)),
    (TRADE_V2, Push("trade", "ETHUSDT", False)),
    (
        b'{"topic":"kline","event":"sub","params":{"symbol":"BTCUSDT","klineType":"1m"},"code":"0","msg":"Success"}',
        Ack("kline_1m", "BTCUSDT", "sub"),
    ),
    (
        b'{"topic":"depth","event":"cancel","params":{"symbol":"BTCUSDT"},"code":0,"msg":"Success","site":"hk"}',
        Ack("depth", "BTCUSDT", "cancel"),
    ),
    (
        b'{"topic":"depth","event":"sub","params":{"symbol":"NOPE"},"code":"-100011","msg":"Parameter error!"}',
        Refusal("-100011", "Parameter error!", "depth", "NOPE"),
    ),
    (
        b'{"code":"-100010","desc":"Invalid Symbols!","topic":"depth"}',
        Refusal("-100010", "Invalid Symbols!", "depth", ""),
    ),
    (b'{"code":-10001,"desc":"Invalid JSON!"}', Refusal("-10001", "Invalid JSON!", "", "")),
    (b'{"pong":1748503865406}', Pong(1748503865406)),
    (b'{"pong":"abc"}', Pong(None)),
    (b'{"ping":1748504490208,"channelId":"02ac"}', Ping(1748504490208)),
    (b'{"code":"0","msg":"Success","event":"cancel_all"}', Ack("", "", "cancel_all")),
]


@pytest.mark.parametrize(("frame", "seen"), FRAMES)
def test_a_frame_is_known_for_what_it_is(frame: bytes, seen: object) -> None:
    assert pieces(frame) == (frame,)
    assert peek(frame) == seen


@pytest.mark.parametrize(("frame", "seen"), FRAMES)
def test_other_spacing_and_key_order_change_nothing(frame: bytes, seen: object) -> None:
    document = orjson.loads(frame)
    assert peek(orjson.dumps(document, option=orjson.OPT_INDENT_2)) == seen
    assert peek(orjson.dumps(dict(reversed(document.items())))) == seen


def test_a_frame_that_is_gzip_or_a_list_is_taken_apart_into_its_messages() -> None:
    assert pieces(gzip.compress(KLINE_V1)) == (KLINE_V1,)
    both = b"[%s, %s]" % (TRADE_V2, KLINE_V1)
    assert pieces(both) == pieces(gzip.compress(both)) == [TRADE_V2, KLINE_V1]
    assert pieces(b"[]") == []


@pytest.mark.parametrize(
    "frame", [b"", b"{", b"[", b"\xff\xfe", b"null", b"[1]", b'"x"', b"{}", b'{"data":[]}', b"1e999999"]
)
def test_what_makes_no_sense_is_unknown_and_never_an_error(frame: bytes) -> None:
    assert [type(peek(piece)) for piece in pieces(frame)] == [Unknown]


@pytest.mark.parametrize("frame", [b"\x1f\x8b", b"\x1f\x8b\x08\x00zzzz", gzip.compress(KLINE_V1)[:-9]])
def test_a_damaged_gzip_is_unknown(frame: bytes) -> None:
    assert [type(peek(piece)) for piece in pieces(frame)] == [Unknown]


TRADE_V1 = (
    b'{"symbol":"BTCUSDT","symbolName":"BTCUSDT","topic":"trade","params":{"realtimeInterval":"24h","binary":"false"},'
    b'"data":[{"v":"4620696243481038848","t":1764598927887,"p":"86101.4","q":"0.00314","m":false},'
    b'{"v":4620696243481038849,"t":1764598927887}],"f":true,"sendTime":1764598928016,"shared":false,"site":"mena"}'
)
TRADE_V2 = (
    b'{"site":"mena","topic":"trade","params":{"symbol":"ETHUSDT"},"data":'
    b'{"v":"4645465192627367936","t":1766728952350,"p":"2974.53","q":"0.0089","m":false}}'
)


def test_the_ids_of_trades_come_from_both_apis_from_lists_and_from_gzip() -> None:
    v1 = ("BTCUSDT", True, [4620696243481038848, 4620696243481038849])
    v2 = ("ETHUSDT", False, [4645465192627367936])
    assert trade_ids(TRADE_V1) == [v1]
    assert trade_ids(TRADE_V2) == [v2]
    assert (ids_of_push(TRADE_V1), ids_of_push(TRADE_V2)) == (v1[2], v2[2])
    assert trade_ids(gzip.compress(b"[%b,%b]" % (TRADE_V1, TRADE_V2))) == [v1, v2]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        gzip.compress(b"{")[:9],
        b'{"topic":"depth","data":[]}',
        b'{"code":"-1","topic":"trade"}',
    ],
)
def test_what_is_no_trade_has_no_ids(payload: bytes) -> None:
    assert trade_ids(payload) == []
    assert counter_of(payload) is None


def test_rows_without_a_usable_id_are_left_out() -> None:
    payload = b'{"topic":"trade","symbol":"X","f":false,"data":[{"v":"1"},{"v":"x"},{"v":null},{},3,{"v":2.5}]}'
    assert trade_ids(payload) == [("X", False, [1])]


def test_the_counter_of_a_delta_is_read_from_its_end_or_else_from_the_whole() -> None:
    assert counter_of(DEPTH_V1 % b"false") == 0
    assert counter_of(b'{"topic":"diffMergedDepth","data":[{"o":387704,"t":1}],"f":false}') == 387704
    assert counter_of(gzip.compress(b'{"topic":"diffMergedDepth","data":[{"v":"1_2","o":12}]}')) == 12
    assert counter_of(b'{"topic":"diffMergedDepth","data":[{"v":"1_2"}]}') is None
