"""The pace: what happened before a tick is told before the tick, however late we are."""

import asyncio

from recorder.exchange.clock import Clock
from recorder.exchange.hub import Hub
from recorder.exchange.ledger import Ledger
from tests.exchange.bench import Bench, Frame, market


async def story(steps: list[int]) -> list[Frame]:
    bench = Bench(market("BTCUSD", "ETHUSD", rate=5))
    v1, v2 = bench.client("v1"), bench.client("v2")
    for symbol in ("BTCUSD", "ETHUSD"):
        for topic in ("depth", "trade", "bbo", "realtimes"):
            v2.sub(topic, symbol)
        for topic in ("depth", "trade", "kline_1m", "realtimes"):
            v1.sub(topic, symbol)
    v1.heard()
    for ms in steps:
        await bench.run(ms)
    return [{key: frame[key] for key in ("topic", "data")} for frame in v1.heard() + v2.heard() if "data" in frame]


async def test_a_late_exchange_tells_the_same_story() -> None:
    punctual = await story([50] * 100)
    assert await story([5000]) == punctual
    assert await story([1, 999, 2500, 700, 800]) == punctual


async def test_a_source_that_waits_begins_only_after_the_last_subscription() -> None:
    source = market("BTCUSD")
    source.waits = True
    begun = asyncio.Event()

    class Told(Clock):
        def begin(self, at: int | None = None) -> None:
            super().begin(at)
            begun.set()

    clock = Told(source.start_ns, 1.0)
    hub = Hub(source, clock, Ledger(None), settle_seconds=0.05)
    task = asyncio.create_task(hub.run())
    await asyncio.sleep(0)
    assert not begun.is_set()
    hub.subscribed()
    await asyncio.wait_for(begun.wait(), 5)
    assert clock.running
    task.cancel()
    await asyncio.wait({task})
