"""The rows of data inside the pushes, as bytes: what V1, V2 and REST say about one symbol."""

from recorder.exchange.candles import Candle
from recorder.exchange.decimals import change
from recorder.exchange.series import Quote, Series
from recorder.exchange.source import Index, Mark

EXCHANGE_ID = 301


def book_v1(series: Series, version_suffix: str = "18") -> bytes:
    book = series.book
    head = f'{{"e":{EXCHANGE_ID},"s":"{series.symbol}","t":{book.time},"v":"{book.version}_{version_suffix}","b":'
    return b'%b%b,"a":%b,"o":0}' % (head.encode(), book.bids.text(), book.asks.text())


def levels_v1(symbol: str, time: int, version: str, bids: bytes, asks: bytes, counter: int) -> bytes:
    """A grouped book, or (without a symbol) a change of one."""
    name = f'"s":"{symbol}",' if symbol else ""
    head = f'{{"e":{EXCHANGE_ID},{name}"t":{time},"v":"{version}","b":'
    return b'%b%b,"a":%b,"o":%d}' % (head.encode(), bids, asks, counter)


def book_v2(series: Series) -> bytes:
    book = series.book
    version = f"{book.version}_{series.instrument.price_decimals}"
    head = f'{{"s":"{series.symbol}","t":{book.time},"v":"{version}","b":'
    return b'%b%b,"a":%b}' % (head.encode(), book.bids.text(), book.asks.text())


def quote_v2(series: Series, quote: Quote) -> bytes:
    """An empty side is sent as zeros, as the ancestor of the venue does."""

    def side(level: tuple[int, int] | None) -> tuple[str, str]:
        return ("0", "0") if level is None else (series.price(level[0]), series.size(level[1]))

    (bid, bid_size), (ask, ask_size) = side(quote.bid), side(quote.ask)
    return (
        f'{{"s":"{series.symbol}","b":"{bid}","bz":"{bid_size}","a":"{ask}","az":"{ask_size}",'
        f'"t":{quote.time},"v":"{quote.version}"}}'
    ).encode()


def candle_v1(series: Series, candle: Candle) -> bytes:
    return (
        f'{_candle(series, candle)},"et":0,"qv":"{series.amount(candle.quote)}","td":{candle.count},'
        f'"tb":"{series.size(candle.taker_volume)}","tq":"{series.amount(candle.taker_quote)}"}}'
    ).encode()


def candle_v2(series: Series, candle: Candle) -> bytes:
    return f"{_candle(series, candle)}}}".encode()


def _candle(series: Series, candle: Candle) -> str:
    price = series.price
    return (
        f'{{"t":{candle.open_time},"s":"{series.symbol}","sn":"{series.symbol}","c":"{price(candle.close)}",'
        f'"h":"{price(candle.high)}","l":"{price(candle.low)}","o":"{price(candle.open)}",'
        f'"v":"{series.size(candle.volume)}"'
    )


def candle_rest(series: Series, candle: Candle) -> list[int | str]:
    price, size, amount = series.price, series.size, series.amount
    return [
        candle.open_time,
        price(candle.open),
        price(candle.high),
        price(candle.low),
        price(candle.close),
        size(candle.volume),
        0,  # close time: always 0 on the venue
        amount(candle.quote),
        candle.count,
        size(candle.taker_volume),
        amount(candle.taker_quote),
    ]


def ticker_v1(series: Series, now_ms: int) -> bytes | None:
    """None if the symbol has never traded."""
    day = series.ticker.day(now_ms)
    if day is None:
        return None
    price = series.price
    return (
        f'{{"t":{day.time},"s":"{series.symbol}","sn":"{series.symbol}","c":"{price(day.last)}",'
        f'"h":"{price(day.high)}","l":"{price(day.low)}","o":"{price(day.open)}",'
        f'"v":"{series.size(day.volume)}","qv":"{series.amount(day.quote)}",'
        f'"m":"{change(day.open, day.last)}","e":{EXCHANGE_ID}}}'
    ).encode()


def ticker_v2(series: Series, now_ms: int) -> bytes | None:
    day = series.ticker.day(now_ms)
    if day is None:
        return None
    price = series.price
    return (
        f'{{"t":{day.time},"s":"{series.symbol}","o":"{price(day.open)}","h":"{price(day.high)}",'
        f'"l":"{price(day.low)}","c":"{price(day.last)}","v":"{series.size(day.volume)}",'
        f'"qv":"{series.amount(day.quote)}","m":"{change(day.open, day.last)}"}}'
    ).encode()


def mark_v1(mark: Mark) -> bytes:
    return (
        f'{{"exchangeId":{EXCHANGE_ID},"symbolId":"{mark.symbol}","price":"{mark.price}","time":{mark.time}}}'
    ).encode()


def mark_v2(mark: Mark) -> bytes:
    return f'{{"s":"{mark.symbol}","p":"{mark.price}","t":{mark.time}}}'.encode()


def index_v1(index: Index) -> bytes:
    return (
        f'{{"symbol":"{index.name}","index":"{index.price}","edp":"{index.average}",'
        f'"formula":"{index.formula}","time":{index.time}}}'
    ).encode()
