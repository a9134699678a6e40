from recorder.exchange.connection import Connection
from recorder.exchange.ledger import Ledger
from recorder.exchange.registry import Key, Registry, Subscription
from tests.exchange.bench import Wire

DEPTH = Key("depth", "BTCUSD")


def connection(number: int) -> Connection:
    return Connection(number, "v1", Wire(), Ledger(None), 1 << 20)


def test_a_second_subscription_replaces_the_first() -> None:
    registry, one = Registry(), connection(1)
    assert registry.add(Subscription(one, DEPTH))
    later = Subscription(one, DEPTH)
    assert not registry.add(later)
    assert registry.subscribers(DEPTH) == [later]


def test_a_stream_without_subscribers_is_gone() -> None:
    registry, one, two = Registry(), connection(1), connection(2)
    registry.add(Subscription(one, DEPTH))
    registry.add(Subscription(two, DEPTH))
    registry.remove(one, DEPTH)
    assert DEPTH in registry
    registry.remove_all(two)
    assert DEPTH not in registry
    assert registry.streams("depth") == []
    registry.remove(two, DEPTH)  # cancelling twice is no harm
