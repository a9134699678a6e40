"""What we ask for: which stream comes by which line, and the frames that ask for it.

Two lines, because neither is enough. V2 is faster (depth each 100 ms, each trade alone) and answers each
request. V1 sends a snapshot or history first, has whole candles (quote volume, counts) and the delta
book. Trades come by both: V2 brings them first, and the 60 past ones of V1 heal what a lost line missed.
The ticker comes by V1: there it starts with a snapshot and carries the venue's `sendTime`.
Source: reference of the market data, sections 3 to 5.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import orjson

V1, V2 = 1, 2  # lines, numbered as in the journal
TRADES, DELTA_BOOK = "trade", "diffMergedDepth"  # topics that are looked into


@dataclass(frozen=True, slots=True)
class Route:
    """A stream on a line. `per` is what it exists for: any symbol, contracts only, or index names."""

    stream: str  # as in config.toml
    line: int
    topic: str  # '{interval}' stands for each of the kline intervals
    per: str = "symbol"


ROUTES = (
    Route("depth", V2, "depth"),  # in the order to ask: what nothing else can bring first
    Route("bbo", V2, "bbo"),
    Route("trade", V2, "trade"),
    Route("trade", V1, "trade"),
    Route("kline", V1, "kline_{interval}"),
    Route("ticker", V1, "realtimes"),
    Route("depth_delta", V1, "diffMergedDepth"),
    Route("index", V1, "index", per="index"),
    Route("mark_price", V1, "markPrice", per="contract"),
)
CHANNELS = {  # topic -> channel, which is the table that it fills
    "trade": "trade",
    "depth": "depth",
    "bbo": "bbo",
    "kline": "kline",
    "realtimes": "ticker",
    "diffMergedDepth": "depth_delta",
    "index": "index_price",
    "markPrice": "mark_price",
}
STREAM_CHANNELS = {"index": "index_price"}  # the others are named as their stream


def channel_of(topic: str) -> str:
    """The channel of a topic, '' if we do not know it. `kline_1m` and `kline_1h` are one channel."""
    return CHANNELS.get("kline" if topic.startswith("kline_") else topic, "")


def channel_of_stream(stream: str) -> str:
    return STREAM_CHANNELS.get(stream, stream)


def topics(streams: Iterable[str], intervals: Iterable[str]) -> list[tuple[Route, str]]:
    """(route, topic) of everything that `streams` need, in the order in which to ask."""
    wanted, intervals = set(streams), tuple(intervals)
    return [
        (route, topic)
        for route in ROUTES
        if route.stream in wanted
        for topic in (
            [route.topic.format(interval=interval) for interval in intervals] if "{" in route.topic else [route.topic]
        )
    ]


def dump_scale(tick_size: str) -> int | None:
    """The scale at which `diffMergedDepth` merges nothing: 2 for a tick of 0.01, -1 for 1. None if unknown."""
    try:
        tick = Decimal(tick_size)
        if not tick.is_finite() or tick <= 0:
            return None
    except InvalidOperation:
        return None
    exponent = tick.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent if exponent < 0 else -(exponent + 1)  # 0 has no meaning there, -1 means whole numbers


def v1_request(event: str, topic: str, symbols: Sequence[str], site: str = "", scale: int | None = None) -> bytes:
    """A V1 frame for one topic and any number of symbols. `event` is sub or cancel."""
    params: dict[str, object] = {"binary": False}
    if scale is not None:
        params["dumpScale"] = scale
    frame: dict[str, object] = {"symbol": ",".join(symbols), "topic": topic, "event": event}
    if site:
        frame["site"] = site
    return orjson.dumps({**frame, "params": params})


def v2_request(event: str, topic: str, symbol: str, site: str = "") -> bytes:
    """A V2 frame; one symbol each, a list would be refused."""
    name, _, interval = topic.partition("_")
    params = {"symbol": symbol, "klineType": interval} if name == "kline" else {"symbol": symbol}
    frame: dict[str, object] = {"topic": name if name == "kline" else topic, "event": event}
    if site:
        frame["site"] = site
    return orjson.dumps({**frame, "params": params})


def ping(now_ms: int) -> bytes:
    """Keeps a line open, and is answered with the server's clock."""
    return b'{"ping":%d}' % now_ms


def pong(value: object) -> bytes:
    """The answer to a ping of the server: what it sent."""
    return orjson.dumps({"pong": value})
