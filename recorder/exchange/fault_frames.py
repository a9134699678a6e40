"""The odd things a venue may say, as bytes: each error shape of the reference, garbage, empty data.

Only what they look like; when they are said is the business of the script.
"""

from collections.abc import Callable

import orjson

ERRORS: dict[str, Callable[[str, str], bytes]] = {  # (topic, symbol) -> frame
    "v1": lambda topic, symbol: _json(code="-100010", desc="Invalid Symbols!", topic=topic),
    "v1_no_topic": lambda topic, symbol: _json(code="-100010", desc="Invalid Symbols!"),
    "v1_topic": lambda topic, symbol: _json(code="-10004", desc="Invalid topic!", topic=topic),
    "v1_json": lambda topic, symbol: _json(code="-10001", desc="Invalid JSON!"),
    "v1_scale": lambda topic, symbol: _json(code="-100013", desc="DumpScale required!", topic="diffMergedDepth"),
    "v1_server": lambda topic, symbol: _json(code="-9999", desc="Server Error"),
    "v2": lambda topic, symbol: _json(
        topic=topic, event="sub", params={"symbol": symbol}, code="-100011", msg="Parameter error!", site="hk"
    ),
    "v2_kline": lambda topic, symbol: _json(
        topic="kline",
        event="sub",
        params={"symbol": symbol, "klineType": "122m"},
        code="-100011",
        msg="Parameter error!",
    ),
    "numeric": lambda topic, symbol: _json(code=-100010, desc="Invalid Symbols!", topic=topic),
    "rest_like": lambda topic, symbol: _json(code=-1000, msg="Internal error"),
}
GARBAGE: dict[str, Callable[[bytes], bytes]] = {  # a push -> what comes instead of it, or besides
    "not_json": lambda push: b"<html><body><h1>502 Bad Gateway</h1></body></html>",
    "invalid_utf8": lambda push: push[: len(push) // 2] + b"\xff\xfe\xc3\x28" + push[len(push) // 2 :],
    "truncated": lambda push: push[: max(1, len(push) * 2 // 3)],
}
EMPTIES = ("list", "null", "missing")
SAMPLE = (
    b'{"symbol":"BTCUSD","symbolName":"BTCUSD","topic":"depth","params":{"realtimeInterval":"24h","binary":"false"},'
    b'"data":[{"e":301,"s":"BTCUSD","t":1790127380923,"v":"1865138364_18","b":[["86505.1","0.00024"]],"a":[["86512.01",'
    b'"0.00024"]],"o":0}],"f":false,"sendTime":1790127380943,"site":"hk","shared":false}'
)
"""What `garbage` spoils when there is no push at hand."""


def _json(**fields: object) -> bytes:
    return orjson.dumps(fields)


def emptied(push: bytes, shape: str) -> bytes:
    """A push with its data gone: an empty list, null, or no such key."""
    frame = orjson.loads(push)
    if shape == "missing":
        del frame["data"]
    else:
        frame["data"] = [] if shape == "list" else None
    return orjson.dumps(frame)


def oversized(size: int) -> bytes:
    """A JSON document of `size` bytes (or the smallest there is) that belongs to no topic we know."""
    head, tail = b'{"topic":"oversized","data":"', b'"}'
    return head + b"x" * max(0, size - len(head) - len(tail)) + tail
