"""The public state of one symbol: its book, best quote, last trades, candles and ticker.

Every source of market data keeps one `Series` a symbol up to date; everything that talks to clients
only reads it. So a synthetic market, a recording and a replayed lake are served by the same code.
"""

from collections import deque
from dataclasses import dataclass, field

from recorder.exchange.book import Book
from recorder.exchange.candles import Candle, Candles
from recorder.exchange.decimals import plain
from recorder.exchange.instruments import Instrument
from recorder.exchange.ticker import Ticker

HISTORY = 100  # trades REST can give; V1 gives the last 60 of them


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade; `row` is its JSON, the same on V1 and V2."""

    id: int
    time: int  # ms
    price: int
    size: int
    buyer_is_maker: bool  # true: the taker sold
    row: bytes = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Quote:
    """The best bid and ask at one version; None where a side is empty."""

    version: int
    time: int  # ms
    bid: tuple[int, int] | None  # price, size
    ask: tuple[int, int] | None


class Series:
    """One symbol. `quote` is the last best quote, None before the first."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.book = Book(instrument.price_scale, instrument.size_scale)
        self.quote: Quote | None = None
        self.trades: deque[Trade] = deque(maxlen=HISTORY)
        self.ticker = Ticker()
        self.trade_count = 0
        self._minutes = Candles("1m")
        self._candles = {"1m": self._minutes}

    @property
    def symbol(self) -> str:
        return self.instrument.symbol

    def price(self, value: int) -> str:
        return plain(value, self.instrument.price_scale)

    def size(self, value: int) -> str:
        return plain(value, self.instrument.size_scale)

    def amount(self, value: int) -> str:
        return plain(value, self.instrument.quote_scale)

    def candles(self, interval: str) -> Candles:
        """The candles of `interval`, made from the minutes when first asked for."""
        if interval not in self._candles:
            self._candles[interval] = Candles(interval, self._minutes)
        return self._candles[interval]

    def record(self, trade_id: int, time: int, price: int, size: int, buyer_is_maker: bool) -> Trade:
        """Take one trade into history, candles and ticker."""
        maker = "true" if buyer_is_maker else "false"
        row = f'{{"v":"{trade_id}","t":{time},"p":"{self.price(price)}","q":"{self.size(size)}","m":{maker}}}'
        trade = Trade(trade_id, time, price, size, buyer_is_maker, row.encode())
        self.trades.append(trade)
        self.trade_count += 1
        quote = self.instrument.quote_amount(price, size)
        for candles in self._candles.values():
            candles.add(time, price, size, quote, not buyer_is_maker)
        self.ticker.add(time, price, size, quote)
        return trade

    def candle_at(self, interval: str, time: int) -> Candle:
        """The candle a recorded trade of `time` fell into."""
        candle = self.candles(interval).current(time)
        assert candle is not None  # a trade has just been recorded
        return candle

    def see_book(self, time: int) -> Quote | None:
        """Compare the top of the book with the last quote; returns the new one if it moved."""
        bid, ask = self.book.bids.best(), self.book.asks.best()
        if self.quote is not None and (bid, ask) == (self.quote.bid, self.quote.ask):
            return None
        self.quote = Quote(self.book.version, time, bid, ask)
        return self.quote
