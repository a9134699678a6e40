"""Who is subscribed to what, on one version of the socket API."""

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from recorder.exchange.connection import Connection


class Key(NamedTuple):
    """One stream: `variant` is the interval of a kline, the scale of a merged book, else empty."""

    topic: str
    symbol: str
    variant: str = ""


@dataclass(slots=True, eq=False)
class Subscription:
    """One client's interest in one stream, with the parts of its frames that never change."""

    connection: Connection
    key: Key
    params: str = "{}"  # as echoed
    tail: str = ""  # `,"id":…` if the client gave one
    binary: bool = False


class Registry:
    """Subscriptions by stream; a connection has at most one to each."""

    def __init__(self) -> None:
        self._topics: defaultdict[str, dict[Key, dict[Connection, Subscription]]] = defaultdict(dict)

    def add(self, subscription: Subscription) -> bool:
        """Subscribe, or replace the earlier one. True if nobody had this stream before."""
        streams = self._topics[subscription.key.topic]
        new = subscription.key not in streams
        streams.setdefault(subscription.key, {})[subscription.connection] = subscription
        return new

    def remove(self, connection: Connection, key: Key) -> None:
        streams = self._topics[key.topic]
        subscribers = streams.get(key)
        if subscribers is not None and subscribers.pop(connection, None) is not None and not subscribers:
            del streams[key]

    def remove_all(self, connection: Connection) -> None:
        for streams in self._topics.values():
            for key in [key for key, subscribers in streams.items() if connection in subscribers]:
                self.remove(connection, key)

    def remove_symbol(self, symbol: str) -> None:
        """The symbol is gone: nobody hears of it any more, and nobody is told."""
        for streams in self._topics.values():
            for key in [key for key in streams if key.symbol == symbol]:
                del streams[key]

    def __contains__(self, key: Key) -> bool:
        return key in self._topics[key.topic]

    def streams(self, topic: str) -> list[Key]:
        return list(self._topics[topic])

    def keys_of(self, connection: Connection) -> list[Key]:
        return [key for streams in self._topics.values() for key in streams if connection in streams[key]]

    def subscribers(self, key: Key) -> list[Subscription]:
        return list(self._topics[key.topic].get(key, {}).values())
