"""What a replay pushes: on each socket what it would have said, from what the recorder heard on either.

A row goes out as the frame that made it, on the API that brought it. The other API says the same in its own words:
V1 gets books and trades of V2 on its own cadence, V2 gets candles and tickers of V1 at once. What was never recorded
(an interval of candles, the ticker) is made of the trades.
"""

from recorder.exchange import rows
from recorder.exchange.candles import INTERVALS
from recorder.exchange.registry import Key, Registry, Subscription
from recorder.exchange.replay_clock import PushTime
from recorder.exchange.replay_rows import V1, Bars, Book, Change, Entry
from recorder.exchange.replay_series import Played
from recorder.exchange.series import Trade
from recorder.exchange.source import Index, Mark, Source, Traded
from recorder.exchange.v1_pushes import FIRST_TRADES, V1Pushes
from recorder.exchange.v2_pushes import V2Pushes

NEVER_EMPTY = {"depth", "mergedDepth", "realtimes"}  # clients take the first row of a first push for granted
BOOKS, CANDLES, TICKERS, CHANGES = "depth", "kline_update", "ticker", "depth_delta"


def recorded_scale(series: Played) -> str:
    """The `dumpScale` at which nothing is merged, which is what recorders ask for."""
    return str(series.instrument.price_decimals or -1)


def is_recorded(series: Played, key: Key) -> bool:
    """Whether a stream of candles, tickers or changes is one that the recorder had, and must not be made up.

    That is so for all symbols alike: one that stayed silent must stay silent.
    """
    if key.topic == "kline":
        return key.variant in series.recorded.get(CANDLES, ())
    if key.topic == "diffMergedDepth":
        return CHANGES in series.recorded and key.variant == recorded_scale(series)
    return TICKERS in series.recorded


class ReplayV1(V1Pushes):
    def __init__(self, source: Source, registry: Registry, time: PushTime, played: dict[str, Played]) -> None:
        super().__init__(source, registry, time)
        self._played = played
        self._time = time
        self._changed: dict[str, None] = {}  # symbols with a book since the last tick
        self._current: set[Key] = set()  # mark prices and indices that were told since the last gap of V1
        self._unanswered: set[Subscription] = set()  # their first push is still to come
        self.has_news = False  # whether the next tick has something to say

    def _send(self, subscription: Subscription, data: bytes, *, first: bool) -> None:
        """Where there is no row yet for a first push that must have one, the next push is the first."""
        if first and data == b"[]" and subscription.key.topic in NEVER_EMPTY:
            self._unanswered = {one for one in self._unanswered if one.connection.is_open} | {subscription}
            return
        if subscription in self._unanswered:
            self._unanswered.remove(subscription)
            first = True
        super()._send(subscription, data, first=first)

    def told(self, entry: Entry, topic: str, data: bytes, variant: str = "", first: bool = False) -> None:
        """Push what V1 itself had said, with its `sendTime`; else at the time of the replay."""
        subscribers = self._registry.subscribers(Key(topic, entry.symbol, variant))
        if subscribers:
            self._time.send_ms = entry.send_ms
            for subscription in subscribers:
                self._send(subscription, data, first=first)
            self._time.send_ms = None

    # -- what happens

    def book(self, entry: Entry) -> None:
        if entry.source == V1:
            self.told(entry, "depth", b"[%b]" % book_v1(entry.symbol, entry.data))
        self._changed[entry.symbol] = None
        self.has_news = True

    def trades(self, entry: Entry, made: list[Trade]) -> None:
        """A batch or history of V1 as it came; a trade of V2 waits for V1's next batch."""
        if entry.source == V1:
            self.told(entry, "trade", b"[%b]" % b",".join(trade.row for trade in made))
        else:
            self._batches.setdefault(entry.symbol, []).extend(trade.row for trade in made)
        self.has_news = True

    def bars(self, entry: Entry) -> None:
        found: Bars = entry.data
        if Key("kline", entry.symbol, found.interval) in self._registry:
            self.told(entry, "kline", b"[%b]" % b",".join(bar.v1 for bar in found.bars), found.interval)

    def changes(self, entry: Entry, series: Played) -> None:
        change: Change = entry.data
        key = Key("diffMergedDepth", entry.symbol, recorded_scale(series))
        if key in self._registry:
            name = entry.symbol if change.is_snapshot else ""
            data = change_v1(name, change.time, change.version, key.variant, change.levels, change.counter or 0)
            self.told(entry, key.topic, b"[%b]" % data, key.variant, change.is_snapshot)

    def mark(self, entry: Entry, mark: Mark) -> None:
        self.marks[mark.symbol] = mark
        self._current.add(Key("markPrice", mark.symbol))
        self.told(entry, "markPrice", rows.mark_v1(mark))

    def index(self, entry: Entry, index: Index) -> None:
        self.indices[index.name] = index
        self._current.add(Key("index", index.name))
        self.told(entry, "index", b"[%b]" % rows.index_v1(index))

    # -- the cadence

    def tick(self, now_ms: int) -> None:
        """Each 300 ms: books and trades that V2 brought, and candles that were not recorded."""
        changed, self._changed = self._changed, {}
        batches, self._batches = self._batches, {}
        self.has_news = False
        for symbol, batch in batches.items():
            self._push(Key("trade", symbol), b"[%b]" % b",".join(batch))
        for symbol in changed:
            key = Key("depth", symbol)
            shown = self._played[symbol].shown
            if key in self._registry and shown is not None and not self._told_itself(symbol):
                self._push(key, b"[%b]" % book_v1(symbol, shown))
        for topic in ("mergedDepth", "diffMergedDepth"):
            for key in self._registry.streams(topic):
                self._grouped(key, changed)
        for key in self._registry.streams("kline"):
            if not is_recorded(self._played[key.symbol], key):
                self._push_candles(key, now_ms)

    def _grouped(self, key: Key, changed: dict[str, None]) -> None:
        series = self._played[key.symbol]
        if key.symbol not in changed or (is_recorded(series, key) and key.topic == "diffMergedDepth"):
            return
        series.lay_out()
        if key.topic == "mergedDepth":
            self._push(key, b"[%b]" % self._merged(key, series))
        else:
            self._push_change(key)

    def _told_itself(self, symbol: str) -> bool:
        """Whether the last book came by V1 and so was told already."""
        return self._played[symbol].fresh.get("depth") == "v1"

    def tick_tickers(self, now_ms: int) -> None:
        """Each 500 ms: tickers that were not recorded."""
        for key in self._registry.streams("realtimes"):
            series = self._played[key.symbol]
            if not is_recorded(series, key) and series.trade_count != self._ticker_counts.get(key.symbol):
                self._ticker_counts[key.symbol] = series.trade_count
                row = rows.ticker_v1(series, now_ms)
                if row is not None:
                    self._push(key, b"[%b]" % row)

    def forget_prices(self) -> None:
        """A gap of V1: mark prices and indices may have changed."""
        self._current.clear()

    def forget_news(self) -> None:
        """What is known is no news: it happened before the replay began."""
        self._batches.clear()
        self._changed.clear()
        self.has_news = False

    # -- the first push

    def _first(self, key: Key, new: bool, limit: int) -> bytes:
        if key.topic in ("index", "markPrice"):
            return super()._first(key, new, limit) if key in self._current else b""
        series = self._played[key.symbol]
        if key.topic == "trade":
            return b",".join(series.history(FIRST_TRADES))
        if key.topic in ("kline", "realtimes") and not is_recorded(series, key):
            return super()._first(key, new, limit)
        if key.topic == "kline":
            bars = series.bars.get(key.variant, {}) if f"kline_{key.variant}" in series.fresh else {}
            return b",".join(bars[at].v1 for at in sorted(bars)[-limit:])
        if key.topic == "realtimes":
            return series.last_ticker or b"" if "realtimes" in series.fresh else b""
        if key.topic == "diffMergedDepth" and is_recorded(series, key):
            delta = series.delta if "diffMergedDepth" in series.fresh else None
            if delta is None:
                return b""
            return change_v1(key.symbol, delta.time, delta.version, key.variant, delta.levels(), 0)
        if series.shown is None or "depth" not in series.fresh:
            return b""
        if key.topic == "depth":
            return book_v1(key.symbol, series.shown)
        series.lay_out()
        return super()._first(key, new, limit)


class ReplayV2(V2Pushes):
    def __init__(self, source: Source, registry: Registry, time: PushTime, played: dict[str, Played]) -> None:
        super().__init__(source, registry, time)
        self._played = played

    def subscribe(self, subscription: Subscription) -> None:
        self._registry.add(subscription)

    def told(self, topic: str, symbol: str, frame: bytes) -> None:
        """A frame as it was, the same bytes for all."""
        key = Key(topic, symbol)
        for subscription in self._registry.subscribers(key):
            subscription.connection.send(frame, role="push", key=key)

    def trades(self, series: Played, made: list[Trade]) -> None:
        for trade in made:
            self._push(Key("trade", series.symbol), trade.row)

    def bars(self, symbol: str, found: Bars) -> None:
        key = Key("kline", symbol, found.interval)
        if key in self._registry:
            for bar in found.bars:
                self._push(key, bar.v2)

    def ticker(self, symbol: str, row: bytes) -> None:
        self._push(Key("realtimes", symbol), row)

    def mark(self, mark: Mark) -> None:
        self._push(Key("markPrice", mark.symbol), rows.mark_v2(mark))

    def made_of(self, event: Traded) -> None:
        """The ticker and the candles that a trade makes, where the recorder has none."""
        series, trade = self._played[event.series.symbol], event.trade
        ticker = Key("realtimes", series.symbol)
        if ticker in self._registry and not is_recorded(series, ticker):
            row = rows.ticker_v2(series, trade.time)
            if row is not None:
                self._push(ticker, row)
        for interval in INTERVALS:
            key = Key("kline", series.symbol, interval)
            if key in self._registry and not is_recorded(series, key):
                self._push(key, rows.candle_v2(series, series.candle_at(interval, trade.time)))

    def tick(self, now_ms: int) -> None:
        """Nothing waits on V2."""


def book_v1(symbol: str, book: Book) -> bytes:
    return change_v1(symbol, book.time, book.version, "18", book.levels, 0)


def change_v1(symbol: str, time: int | None, version: int | None, suffix: str, levels: bytes, counter: int) -> bytes:
    """A book, or (without a symbol) a change of one."""
    name = f'"s":"{symbol}",' if symbol else ""
    at = f'"t":{time},' if time is not None else ""
    of = f'"v":"{version}_{suffix}",' if version is not None else ""
    return b'{"e":%d,%b%b,"o":%d}' % (rows.EXCHANGE_ID, f"{name}{at}{of}".encode(), levels, counter)
