"""What V2 says unasked: trades, quotes, candles and tickers at once, books each 100 ms on change.

There is no snapshot and no history: the first push is the next change. A push is the same for every
subscriber, so it is made once and its bytes are shared.
"""

from recorder.exchange import rows
from recorder.exchange.candles import INTERVALS
from recorder.exchange.clock import Clock
from recorder.exchange.registry import Key, Registry, Subscription
from recorder.exchange.site import HK
from recorder.exchange.source import Mark, Quoted, Source, Traded


class V2Pushes:
    site = HK

    def __init__(self, source: Source, registry: Registry, clock: Clock) -> None:
        self._source = source
        self._registry = registry
        self._clock = clock
        self._versions = {symbol: series.book.version for symbol, series in source.series.items()}
        self._opens: dict[Key, int] = {}  # the candle each kline stream has reached

    def subscribe(self, subscription: Subscription) -> None:
        key = subscription.key
        if self._registry.add(subscription) and key.topic == "kline":
            current = self._source.series[key.symbol].candles(key.variant).current(self._clock.now_ms())
            if current is not None:
                self._opens[key] = current.open_time

    def traded(self, event: Traded) -> None:
        series, trade = event.series, event.trade
        self._push(Key("trade", series.symbol), trade.row)
        if Key("realtimes", series.symbol) in self._registry:
            row = rows.ticker_v2(series, trade.time)
            if row is not None:
                self._push(Key("realtimes", series.symbol), row)
        for interval in INTERVALS:
            key = Key("kline", series.symbol, interval)
            if key in self._registry:
                candle = series.candle_at(interval, trade.time)
                self._opens[key] = candle.open_time
                self._push(key, rows.candle_v2(series, candle))

    def quoted(self, event: Quoted) -> None:
        key = Key("bbo", event.series.symbol)
        if key in self._registry:
            self._push(key, rows.quote_v2(event.series, event.quote))

    def tick(self, now_ms: int) -> None:
        """Each 100 ms: the books that changed, and the flat candle of a minute that begins quietly."""
        for symbol, series in self._source.series.items():
            if series.book.version != self._versions.get(symbol):
                self._versions[symbol] = series.book.version
                key = Key("depth", symbol)
                if key in self._registry:
                    self._push(key, rows.book_v2(series))
        for key in self._registry.streams("kline"):
            series = self._source.series[key.symbol]
            candle = series.candles(key.variant).current(now_ms)
            if candle is not None and candle.open_time != self._opens.get(key):
                self._opens[key] = candle.open_time
                self._push(key, rows.candle_v2(series, candle))

    def second(self, marks: list[Mark]) -> None:
        for mark in marks:
            self._push(Key("markPrice", mark.symbol), rows.mark_v2(mark))

    def _push(self, key: Key, data: bytes) -> None:
        subscribers = self._registry.subscribers(key)
        if not subscribers:
            return
        interval = f',"klineType":"{key.variant}"' if key.topic == "kline" else ""
        head = f'{{"topic":"{key.topic}","params":{{"symbol":"{key.symbol}"{interval}}},"data":'
        payload = b"%b%b%b}" % (head.encode(), data, self.site.tail)
        for subscription in subscribers:
            subscription.connection.send(payload, role="push", key=key)
