"""What V1 says unasked: the first push of each stream, then batches on the venue's cadence.

The data of a push is made once and shared; only the envelope belongs to a subscriber. The hub calls
`tick` each 300 ms, `tick_tickers` each 500 ms and `second` each second of exchange time.
"""

import gzip
from dataclasses import dataclass, field

from recorder.exchange import rows
from recorder.exchange.book import difference
from recorder.exchange.clock import Clock
from recorder.exchange.registry import Key, Registry, Subscription
from recorder.exchange.series import Series
from recorder.exchange.site import HK
from recorder.exchange.source import Index, Mark, Source, Traded

FIRST_TRADES = 60
FIRST_CANDLES_MOST = 2000
WITH_CHANNEL = {"depth", "mergedDepth", "diffMergedDepth"}


@dataclass(slots=True)
class Grouped:
    """The grouped book that the subscribers of one `diffMergedDepth` stream have reached."""

    counter: int
    version: int = 0
    time: int = 0
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)


class V1Pushes:
    site = HK

    def __init__(self, source: Source, registry: Registry, clock: Clock) -> None:
        self._source = source
        self._registry = registry
        self._clock = clock
        self.marks: dict[str, Mark] = {}
        self.indices: dict[str, Index] = {}
        self._versions: dict[str, int] = {}
        self._batches: dict[str, list[bytes]] = {}
        self._ticker_counts: dict[str, int] = {}
        self._candles: dict[Key, tuple[int, int]] = {}  # open time and count as last pushed
        self._groups: dict[Key, Grouped] = {}

    # -- the first push

    def subscribe(self, subscription: Subscription, limit: int = 1) -> None:
        """Begin a stream and answer with its first push; `limit` is the number of candles wanted."""
        key = subscription.key
        new = self._registry.add(subscription)
        data = self._first(key, new, min(limit, FIRST_CANDLES_MOST))
        self._send(subscription, b"[%b]" % data, first=True)

    def repeat(self, subscription: Subscription) -> None:
        """Say the first push again, unasked."""
        self._send(subscription, b"[%b]" % self._first(subscription.key, False, 1), first=True)

    def restart(self) -> None:
        """Forget what streams had reached: the counters of `diffMergedDepth` begin anew."""
        self._groups.clear()

    def _first(self, key: Key, new: bool, limit: int) -> bytes:
        if key.topic == "index":
            index = self.indices.get(key.symbol)
            return rows.index_v1(index) if index else b""
        if key.topic == "markPrice":
            mark = self.marks.get(key.symbol)
            return rows.mark_v1(mark) if mark else b""
        series = self._source.series[key.symbol]
        if key.topic == "trade":
            return b",".join([trade.row for trade in series.trades][-FIRST_TRADES:])
        if key.topic == "realtimes":
            if new:
                self._ticker_counts[key.symbol] = series.trade_count
            return rows.ticker_v1(series, self._clock.now_ms()) or b""
        if key.topic == "kline":
            return self._first_candles(key, series, new, limit)
        if not series.book.version:
            return b""  # no book yet
        if key.topic == "depth":
            return rows.book_v1(series)
        if key.topic == "mergedDepth":
            return self._merged(key, series)
        return self._first_group(key, series, new)

    def _first_candles(self, key: Key, series: Series, new: bool, limit: int) -> bytes:
        candles = series.candles(key.variant)
        current = candles.current(self._clock.now_ms())
        if current is None:
            return b""
        if new:
            self._candles[key] = (current.open_time, current.count)
        return b",".join(rows.candle_v1(series, candle) for candle in candles.last(limit, current.open_time))

    def _first_group(self, key: Key, series: Series, new: bool) -> bytes:
        """The state the other subscribers have reached, so that the next change fits it too."""
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Grouped(series.book.version % 400_000)
        if new or not group.version:
            group.bids, group.asks = series.book.merged(int(key.variant))
            group.version, group.time = series.book.version, series.book.time
        text = series.book.text
        version = f"{group.version}_{key.variant}"
        return rows.levels_v1(series.symbol, group.time, version, text(group.bids), text(group.asks), 0)

    # -- later pushes

    def traded(self, event: Traded) -> None:
        self._batches.setdefault(event.series.symbol, []).append(event.trade.row)

    def tick(self, now_ms: int) -> None:
        """Each 300 ms: the books, trades and candles that changed."""
        changed = set()
        for symbol, series in self._source.series.items():
            if series.book.version != self._versions.get(symbol):
                self._versions[symbol] = series.book.version
                changed.add(symbol)
        for symbol, batch in self._batches.items():
            self._push(Key("trade", symbol), b"[%b]" % b",".join(batch))
        self._batches.clear()
        for key in self._registry.streams("depth"):
            if key.symbol in changed:
                self._push(key, b"[%b]" % rows.book_v1(self._source.series[key.symbol]))
        for key in self._registry.streams("mergedDepth"):
            if key.symbol in changed:
                self._push(key, b"[%b]" % self._merged(key, self._source.series[key.symbol]))
        for key in self._registry.streams("diffMergedDepth"):
            if key.symbol in changed:
                self._push_change(key)
        for key in self._registry.streams("kline"):
            self._push_candles(key, now_ms)

    def tick_tickers(self, now_ms: int) -> None:
        """Each 500 ms: the tickers of what has traded."""
        for key in self._registry.streams("realtimes"):
            series = self._source.series[key.symbol]
            if series.trade_count != self._ticker_counts.get(key.symbol):
                self._ticker_counts[key.symbol] = series.trade_count
                row = rows.ticker_v1(series, now_ms)
                if row is not None:
                    self._push(key, b"[%b]" % row)

    def second(self, marks: list[Mark], indices: list[Index]) -> None:
        """Each second: mark prices (one object, no longer a list) and indices."""
        self.marks.update((mark.symbol, mark) for mark in marks)
        self.indices.update((index.name, index) for index in indices)
        for mark in marks:
            self._push(Key("markPrice", mark.symbol), rows.mark_v1(mark))
        for index in indices:
            self._push(Key("index", index.name), b"[%b]" % rows.index_v1(index))

    def _merged(self, key: Key, series: Series) -> bytes:
        book = series.book
        bids, asks = book.merged(int(key.variant))
        version = f"{book.version}_{key.variant}"
        return rows.levels_v1(series.symbol, book.time, version, book.text(bids), book.text(asks), 0)

    def _push_change(self, key: Key) -> None:
        book = self._source.series[key.symbol].book
        group = self._groups.setdefault(key, Grouped(book.version % 400_000))
        bids, asks = book.merged(int(key.variant))
        more_bids, more_asks = difference(group.bids, bids), difference(group.asks, asks)
        if not more_bids and not more_asks:
            return  # what changed is deeper than the venue shows
        group.bids, group.asks, group.version, group.time = bids, asks, book.version, book.time
        group.counter += 1
        version = f"{group.version}_{key.variant}"
        changes = book.text(more_bids), book.text(more_asks)
        self._push(key, b"[%b]" % rows.levels_v1("", group.time, version, *changes, group.counter))

    def _push_candles(self, key: Key, now_ms: int) -> None:
        series = self._source.series[key.symbol]
        candles = series.candles(key.variant)
        current = candles.current(now_ms)
        if current is None:
            return
        state = (current.open_time, current.count)
        before = self._candles.get(key)
        if state == before:
            return
        self._candles[key] = state
        data = rows.candle_v1(series, current)
        if before is not None and before[0] != current.open_time:
            closed = candles.at(before[0])
            if closed is not None and closed.count != before[1]:
                data = rows.candle_v1(series, closed) + b"," + data
        self._push(key, b"[%b]" % data)

    # -- the envelope

    def _push(self, key: Key, data: bytes) -> None:
        for subscription in self._registry.subscribers(key):
            self._send(subscription, data, first=False)

    def _send(self, subscription: Subscription, data: bytes, *, first: bool) -> None:
        key, connection = subscription.key, subscription.connection
        # Later mark prices carry no symbol; readers must route on data.symbolId.
        named = first or key.topic != "markPrice"
        names = f'"symbol":"{key.symbol}","symbolName":"{key.symbol}",' if named else ""
        channel = f',"channelId":"{connection.channel_id}"' if first or key.topic in WITH_CHANNEL else ""
        payload = b'{%b"topic":"%b","params":%b,"data":%b,"f":%b,"sendTime":%d%b%b,"shared":false%b}' % (
            names.encode(),
            key.topic.encode(),
            subscription.params.encode(),
            data,
            b"true" if first else b"false",
            self._clock.said_ms(),
            channel.encode(),
            self.site.tail,
            subscription.tail.encode(),
        )
        packed = gzip.compress(payload, mtime=0) if subscription.binary else None
        connection.send(payload, role="first" if first else "push", key=key, packed=packed)
