"""What V1 answers: a client's text frame in, an error, a pong or the first push of a stream out.

There is no acknowledgement on V1; the first push is the answer. An error has the key `desc`, a code
that is a string, and never names the symbol. A list of symbols is handled name by name.
"""

import json
from typing import Any

import orjson

from recorder.exchange.candles import INTERVALS
from recorder.exchange.connection import Connection
from recorder.exchange.hub import Hub
from recorder.exchange.registry import Key, Subscription

ERRORS = {
    "Invalid Symbols!": "-100010",
    "Invalid topic!": "-10004",
    "Invalid JSON!": "-10001",
    "Invalid event!": "-10002",
    "Event required!": "-10003",
    "Topic required!": "-10005",
    "Period required!": "-10008",
    "Invalid period!": "-10009",
    "DumpScale required!": "-100013",
    "DumpScale error!": "-100009",
}
PLAIN_TOPICS = {"realtimes", "trade", "depth", "index", "markPrice"}
MERGED_TOPICS = {"mergedDepth", "diffMergedDepth"}
SCALES = range(-18, 19)
ECHOED = ("klineType", "dumpScale", "limit", "binary")


class Refused(Exception):
    """The request is wrong; the text is a key of ERRORS."""


class V1Requests:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def handle(self, connection: Connection, text: str | bytes) -> None:
        """Answer one frame of a client."""
        topic = ""
        try:
            frame = read(text)
            if "ping" in frame:
                connection.send(b'{"pong":%d}' % self._hub.clock.said_ms(), role="pong")
            elif "pong" not in frame:
                topic = str(frame.get("topic") or "")
                self._act(connection, frame, topic)
        except Refused as refused:
            self._refuse(connection, str(refused), topic)

    def _act(self, connection: Connection, frame: dict[str, Any], topic: str) -> None:
        event = frame.get("event")
        if event == "cancel_all":
            self._hub.v1_clients.remove_all(connection)
            connection.send(b'{"code":"0","msg":"Success","event":"cancel_all"}')
            return
        if not event:
            raise Refused("Event required!")
        if event not in ("sub", "cancel"):
            raise Refused("Invalid event!")
        params = _params(frame)
        name, variant = self._stream(topic, params)
        for symbol in str(frame.get("symbol") or "").split(","):
            key = Key(name, symbol.strip(), variant)
            if not self._known(key, frame):
                self._refuse(connection, "Invalid Symbols!", topic)
            elif event == "cancel":
                self._hub.v1_clients.remove(connection, self._complete(key))
            else:
                self._subscribe(connection, self._complete(key), params, frame)

    def _stream(self, topic: str, params: dict[str, Any]) -> tuple[str, str]:
        """The topic without its interval, and the interval or scale."""
        if not topic:
            raise Refused("Topic required!")
        if topic in PLAIN_TOPICS:
            return topic, ""
        if topic in MERGED_TOPICS:
            scale = params.get("dumpScale")
            if scale is None and topic == "diffMergedDepth":
                raise Refused("DumpScale required!")
            if scale is not None and _number(scale) not in SCALES:
                raise Refused("DumpScale error!")
            return topic, "" if scale is None else str(_number(scale))
        name, _, interval = topic.partition("_")
        if name != "kline":
            raise Refused("Invalid topic!")
        if interval not in INTERVALS:
            raise Refused("Invalid period!" if interval else "Period required!")
        return name, interval

    def _known(self, key: Key, frame: dict[str, Any]) -> bool:
        if not self._hub.site.serves(frame.get("site")):
            return False  # a symbol of another site
        if key.topic == "index":
            return key.symbol in self._hub.v1.indices
        series = self._hub.source.series.get(key.symbol)
        return series is not None and (key.topic != "markPrice" or series.instrument.contract)

    def _complete(self, key: Key) -> Key:
        """A merged book without a scale has the symbol's own."""
        if key.topic == "mergedDepth" and not key.variant:
            return key._replace(variant=str(self._hub.source.series[key.symbol].instrument.price_decimals))
        return key

    def _subscribe(self, connection: Connection, key: Key, params: dict[str, Any], frame: dict[str, Any]) -> None:
        echoed = {"realtimeInterval": "24h"}
        sent = params | ({"klineType": key.variant} if key.topic == "kline" else {})
        if key.topic in MERGED_TOPICS:
            sent["dumpScale"] = key.variant
        echoed.update((name, _text(sent[name])) for name in ECHOED if name in sent)
        subscription = Subscription(
            connection,
            key,
            json.dumps(echoed, separators=(",", ":")),
            f',"id":{orjson.dumps(frame["id"]).decode()}' if frame.get("id") is not None else "",
            _text(params.get("binary", False)) == "true",
        )
        connection.subscribing(key)
        self._hub.v1.subscribe(subscription, max(1, _number(params.get("limit")) or 1))
        self._hub.subscribed()

    def _refuse(self, connection: Connection, reason: str, topic: str) -> None:
        error = {"code": ERRORS[reason], "desc": reason}
        connection.send(orjson.dumps(error | ({"topic": topic} if topic else {})))


def read(text: str | bytes) -> dict[str, Any]:
    """A client's frame as an object; raises Refused if it is none."""
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Refused("Invalid JSON!") from error
    if not isinstance(frame, dict):
        raise Refused("Invalid JSON!")
    return frame


def _params(frame: dict[str, Any]) -> dict[str, Any]:
    params = frame.get("params")
    return params if isinstance(params, dict) else {}


def _text(value: object) -> str:
    """Parameters come back as strings, and true as `true`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: object) -> int | None:
    """A whole number, sent as one or as text; None for anything else."""
    try:
        return int(str(value))
    except ValueError:
        return None
