"""What V2 answers: each request is acknowledged, or refused with the request repeated.

One symbol a frame. A success says only that the request was understood: a dormant symbol is
acknowledged too, and never sends anything. What cannot be tied to a stream is refused as on V1.
"""

from typing import Any

import orjson

from recorder.exchange.candles import INTERVALS
from recorder.exchange.connection import Connection
from recorder.exchange.hub import Hub
from recorder.exchange.registry import Key, Subscription
from recorder.exchange.v1_requests import ERRORS, Refused, read

TOPICS = {"kline", "realtimes", "trade", "depth", "bbo", "markPrice"}
SUCCESS = ("0", "Success")
PARAMETER_ERROR = ("-100011", "Parameter error!")


class V2Requests:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def handle(self, connection: Connection, text: str | bytes) -> None:
        """Answer one frame of a client."""
        try:
            frame = read(text)
            if "ping" in frame:
                connection.send(b'{"pong":%d}' % self._hub.clock.said_ms(), role="pong")
            elif "pong" not in frame:
                self._act(connection, frame)
        except Refused as refused:
            error = {"code": ERRORS[str(refused)], "desc": str(refused)}
            connection.send(orjson.dumps(error))

    def _act(self, connection: Connection, frame: dict[str, Any]) -> None:
        event, topic = frame.get("event"), str(frame.get("topic") or "")
        if event == "cancel_all":
            self._hub.v2_clients.remove_all(connection)
            connection.send(b'{"event":"cancel_all","code":"0","msg":"Success"%b}' % self._hub.site.tail)
            return
        if topic not in TOPICS:
            raise Refused("Invalid topic!" if topic else "Topic required!")
        if event not in ("sub", "cancel"):
            raise Refused("Invalid event!" if event else "Event required!")
        key = self._key(topic, frame)
        code, message = SUCCESS if key or self._was_listed(frame) else PARAMETER_ERROR
        answer = {
            "topic": topic,
            "event": event,
            "params": frame.get("params", {}),
            "code": code,
            "msg": message,
        } | self._hub.site.named
        connection.send(orjson.dumps(answer))
        if key is not None and event == "sub":
            connection.subscribing(key)
            self._hub.v2.subscribe(Subscription(connection, key))
            self._hub.subscribed()
        elif key is not None:
            self._hub.v2_clients.remove(connection, key)

    def _was_listed(self, frame: dict[str, Any]) -> bool:
        """A delisted symbol is acknowledged all the same, and sends nothing."""
        params = frame.get("params")
        return isinstance(params, dict) and params.get("symbol") in self._hub.delisted

    def _key(self, topic: str, frame: dict[str, Any]) -> Key | None:
        """The stream asked for; None if there is no such stream (a list of symbols is none)."""
        params = frame.get("params")
        if not isinstance(params, dict) or not self._hub.site.serves(frame.get("site")):
            return None
        series = self._hub.source.series.get(str(params.get("symbol")))
        interval = str(params.get("klineType"))
        if series is None or (topic == "kline" and interval not in INTERVALS):
            return None
        if topic == "markPrice" and not series.instrument.contract:
            return None
        return Key(topic, series.symbol, interval if topic == "kline" else "")
