"""From rows of the lake to entries: what happened when, with the text that said it, ready to be put on a socket.

A batch of a table comes in as Arrow and leaves as entries. Rows that one V1 frame brought stay one entry. Nothing
here knows of clients or time.
"""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from enum import IntEnum
from itertools import groupby
from typing import Any, NamedTuple

import pyarrow as pa

from recorder.exchange.decimals import change
from recorder.exchange.replay_text import bytes_of, filled, joined, numbers, optional, plain, sides, whole
from recorder.exchange.rows import EXCHANGE_ID
from recorder.exchange.site import Site

SCALE = 12  # decimals that the lake keeps; the unit of all whole prices and sizes in a replay
V1, V2, REST = "ws_v1", "ws_v2", "rest"
COMMON = "receive_ns, seq, idx, symbol, source, send_ms, conn, epoch_us(exchange_time) // 1000 AS t"


class Kind(IntEnum):
    """What an entry is; the order of `HANDLERS` in the hub."""

    DEPTH = 0
    TRADE = 1
    BBO = 2
    KLINE = 3
    TICKER = 4
    DELTA = 5
    MARK = 6
    INDEX = 7
    LINE = 8


class Entry(NamedTuple):
    """One thing that happened; sorts by time and arrival."""

    moment: int  # ns
    seq: int
    idx: int
    symbol: str
    source: str  # ws_v1, ws_v2 or rest; '' of a line's own event
    send_ms: int | None
    conn: int
    kind: Kind
    data: Any  # see the maker of its kind


class Book(NamedTuple):
    """A whole book; `frame` is its V2 push."""

    time: int | None  # ms
    version: int | None
    frame: bytes

    @property
    def levels(self) -> bytes:
        """ "b":[…],"a":[…]"""
        return self.frame[self.frame.index(b'"b":[') : self.frame.rindex(b"]") + 1]


class Fill(NamedTuple):
    """A trade, in whole units of 10**-SCALE; those of REST have no id."""

    id: int | None
    time: int  # ms
    price: int
    size: int
    buyer_is_maker: bool


class Bar(NamedTuple):
    """A candle as pushed; `prices` is the JSON up to the volume, which is all that V2 says."""

    open_time: int  # ms
    prices: bytes
    rest: bytes  # what V1 says besides

    @property
    def v1(self) -> bytes:
        return self.prices + self.rest + b"}"

    @property
    def v2(self) -> bytes:
        return self.prices + b"}"


class Bars(NamedTuple):
    """The candles of one frame."""

    interval: str
    bars: tuple[Bar, ...]


class Change(NamedTuple):
    """A push of diffMergedDepth; `levels` is "b":[…],"a":[…]."""

    time: int | None
    version: int | None
    counter: int | None
    is_snapshot: bool
    levels: bytes


Rows = Any  # a table of pyarrow
Maker = Callable[[Rows, "Context"], Iterator[Entry]]


class Context(NamedTuple):
    """What makers must know of the symbols."""

    decimals: dict[str, int]  # of the price; the V2 book version ends with it
    site: Site


def _entry(head: Iterable[Any], kind: Kind, data: Any) -> Entry:
    return Entry._make((*head, kind, data))


def _columns(rows: Rows, *names: str) -> list[Any]:
    return [rows[name].to_pylist() for name in names]


def _heads(rows: Rows) -> Iterator[tuple[Any, ...]]:
    """What each entry begins with."""
    return zip(*_columns(rows, "moment", "seq", "idx", "symbol", "source", "send_ms", "conn"), strict=True)


def _array(rows: Rows, name: str) -> pa.Array:
    column = rows[name].combine_chunks()
    return column.chunk(0) if isinstance(column, pa.ChunkedArray) else column


def _v2(topic: str, symbols: pa.Array, data: pa.Array, site: Site) -> list[bytes]:
    """Whole V2 frames."""
    head = joined(f'{{"topic":"{topic}","params":{{"symbol":"', symbols, '"},"data":{"s":"', symbols, '",')
    return bytes_of(joined(head, data, f"}}{site.tail.decode()}}}"))


def depth(rows: Rows, context: Context) -> Iterator[Entry]:
    symbols = _array(rows, "symbol")
    suffixes = pa.array([f'_{context.decimals.get(symbol, 18)}",' for symbol in symbols.to_pylist()], pa.string())
    bids = sides(_array(rows, "bid_prices"), _array(rows, "bid_sizes"))
    asks = sides(_array(rows, "ask_prices"), _array(rows, "ask_sizes"))
    time = optional('"t":', whole(_array(rows, "t")), ",")
    version = optional('"v":"', whole(_array(rows, "version")), suffixes)
    frames = _v2("depth", symbols, joined(time, version, '"b":[', bids, '],"a":[', asks, "]"), context.site)
    books = zip(*_columns(rows, "t", "version"), frames, strict=True)
    for head, book in zip(_heads(rows), books, strict=True):
        yield _entry(head, Kind.DEPTH, Book(*book))


def bbo(rows: Rows, context: Context) -> Iterator[Entry]:
    """An empty side is sent as zeros."""
    words = [filled(numbers(_array(rows, name)), "0") for name in ("bid_price", "bid_size", "ask_price", "ask_size")]
    quote = joined('"b":"', words[0], '","bz":"', words[1], '","a":"', words[2], '","az":"', words[3], '"')
    time = optional(',"t":', whole(_array(rows, "t")), "")
    version = optional(',"v":"', whole(_array(rows, "version")), '"')
    frames = _v2("bbo", _array(rows, "symbol"), joined(quote, time, version), context.site)
    for head, frame in zip(_heads(rows), frames, strict=True):
        yield _entry(head, Kind.BBO, frame)


def trade(rows: Rows, context: Context) -> Iterator[Entry]:
    found = zip(_heads(rows), *_columns(rows, "trade_id", "t", "price", "size", "buyer_is_maker"), strict=True)
    fills = ((head, Fill(id, t, units(price), units(size), maker)) for head, id, t, price, size, maker in found)
    for head, same in _frames(fills):
        yield _entry(head, Kind.TRADE, same)


def kline(rows: Rows, context: Context) -> Iterator[Entry]:
    """`interval` is part of what makes a frame."""
    symbols, opens = _array(rows, "symbol"), _array(rows, "open_ms")
    head = joined('{"t":', whole(opens), ',"s":"', symbols, '","sn":"', symbols, '"')
    words = {key: numbers(_array(rows, name)) for key, name in zip("chlov", CANDLE, strict=True)}
    pieces: list[Any] = [part for key, word in words.items() for part in (f',"{key}":"', word, '"')]
    more = [('"qv":"', "quote_volume"), ('"tb":"', "taker_buy_volume"), ('"tq":"', "taker_buy_quote_volume")]
    volume, buys, buy_quotes = (optional("," + key, numbers(_array(rows, name)), '"') for key, name in more)
    # The close time `et` is always 0, and comes with the other fields that V2 does not send.
    count = optional(',"et":0,"td":', whole(_array(rows, "trade_count")), "")
    texts = zip(bytes_of(joined(head, *pieces)), bytes_of(joined(volume, count, buys, buy_quotes)), strict=True)
    bars = (Bar(at, *text) for at, text in zip(opens.to_pylist(), texts, strict=True))
    heads = ((*head, interval) for head, interval in zip(_heads(rows), rows["interval"].to_pylist(), strict=True))
    for (*head, interval), same in _frames(zip(heads, bars, strict=True)):
        yield _entry(head, Kind.KLINE, Bars(interval, same))


CANDLE = ("close", "high", "low", "open", "volume")


def ticker(rows: Rows, context: Context) -> Iterator[Entry]:
    """`data` is (V1 row, V2 row)."""
    names = ("t", "open", "high", "low", "last", "volume", "quote_volume")
    for head, t, *values in zip(_heads(rows), *_columns(rows, *names), strict=True):
        symbol = head[3]
        first, high, low, last, volume = map(plain, values[:5])
        more = f',"qv":"{plain(values[5])}"' if values[5] is not None else ""
        time = f'"t":{t},' if t is not None else ""
        moved = change(units(values[0]), units(values[3]))
        v1 = (
            f'{{{time}"s":"{symbol}","sn":"{symbol}","c":"{last}","h":"{high}","l":"{low}","o":"{first}",'
            f'"v":"{volume}"{more},"m":"{moved}","e":{EXCHANGE_ID}}}'
        )
        v2 = (
            f'{{{time}"s":"{symbol}","o":"{first}","h":"{high}","l":"{low}","c":"{last}","v":"{volume}"{more},'
            f'"m":"{moved}"}}'
        )
        yield _entry(head, Kind.TICKER, (v1.encode(), v2.encode()))


def depth_delta(rows: Rows, context: Context) -> Iterator[Entry]:
    bids = sides(_array(rows, "bid_prices"), _array(rows, "bid_sizes"))
    asks = sides(_array(rows, "ask_prices"), _array(rows, "ask_sizes"))
    levels = bytes_of(joined('"b":[', bids, '],"a":[', asks, "]"))
    changes = zip(*_columns(rows, "t", "version", "counter", "is_snapshot"), levels, strict=True)
    for head, found in zip(_heads(rows), changes, strict=True):
        yield _entry(head, Kind.DELTA, Change(*found))


def mark_price(rows: Rows, context: Context) -> Iterator[Entry]:
    """`data` is (price, time)."""
    for head, price, t in zip(_heads(rows), *_columns(rows, "price", "t"), strict=True):
        if price is not None and t is not None:
            yield _entry(head, Kind.MARK, (plain(price), t))


def index_price(rows: Rows, context: Context) -> Iterator[Entry]:
    """`data` is (price, average, formula, time)."""
    found = zip(_heads(rows), *_columns(rows, "price", "average_price", "formula", "t"), strict=True)
    for head, price, average, formula, t in found:
        data = plain(price), "" if average is None else plain(average), formula or "", t or 0
        yield _entry(head, Kind.INDEX, data)


def units(value: Decimal) -> int:
    return int(value.scaleb(SCALE))


def _frames(rows: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Rows as (head, value) become (head of the first, values) of each frame: V1 sends several rows at once."""
    for _, same in groupby(rows, key=lambda row: (row[0][0], row[0][1], row[0][3:])):
        several = list(same)
        yield several[0][0], tuple(value for _, value in several)


class Table(NamedTuple):
    """A view that is played: its own columns, how they become entries, and how much a row weighs in memory."""

    columns: str
    make: Maker
    weight: float
    is_wide: bool = False
    has_time: bool = True  # whether rows have an exchange_time for `--timing exchange` to go by


LISTS = "bid_prices, bid_sizes, ask_prices, ask_sizes"
TABLES: dict[str, Table] = {
    "depth": Table(f"version, {LISTS}", depth, 1.0, is_wide=True),
    "bbo": Table("version, bid_price, bid_size, ask_price, ask_size", bbo, 0.1),
    "trade": Table("trade_id, price, size, buyer_is_maker", trade, 0.1),
    "kline_update": Table(
        'interval, epoch_us(open_time) // 1000 AS open_ms, open, high, low, "close", volume, quote_volume, '
        "trade_count, taker_buy_volume, taker_buy_quote_volume",
        kline,
        0.15,
        has_time=False,
    ),
    "ticker": Table('open, high, low, "last", volume, quote_volume', ticker, 0.1),
    "depth_delta": Table(f"version, counter, is_snapshot, {LISTS}", depth_delta, 0.5, is_wide=True),
    "mark_price": Table("price", mark_price, 0.05),
    "index_price": Table("price, average_price, formula", index_price, 0.05),
}
