"""One symbol as the replay has shown it so far; what REST answers, and what V1 says first to a new subscriber.

The last push of everything is kept as the text it was. `Series`, which knows trades and can make candles and
tickers of them, stands in for what was not recorded.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from recorder.exchange.decimals import decimals_of, parse
from recorder.exchange.instruments import Instrument
from recorder.exchange.listing import row
from recorder.exchange.replay_rows import SCALE, Bar, Book, Change, Fill
from recorder.exchange.replay_tape import Listed, index_name
from recorder.exchange.series import Series, Trade
from recorder.exchange.ticker import Ticker

QUOTES = ("FDUSD", "USDT", "USDC", "USD", "HKD", "BTC", "ETH")
MOST_CANDLES = 1000  # of an interval, for REST


class Played(Series):
    """A symbol. `recorded` are the views that the range has pushes of, of whatever symbol, and their intervals."""

    def __init__(self, symbol: str, listings: Sequence[Listed], recorded: Mapping[str, frozenset[str]]) -> None:
        self.listings = listings or [_unlisted(symbol)]
        self.recorded = recorded
        super().__init__(_instrument(symbol, self.listings[-1]))
        if "ticker" in recorded:
            self.ticker = Unasked()
        self.shown: Book | None = None
        self.best: bytes | None = None  # the last V2 bbo frame
        self.last_ticker: bytes | None = None  # as V1 says it
        self.bars: dict[str, dict[int, Bar]] = {}
        self.delta: Delta | None = None
        self.fresh: dict[str, str] = {}  # what V1 may say first: topic -> API that brought it; see `forget`
        self.history_from = 0  # trades that V1 may repeat: those counted after so many

    def listed_at(self, moment: int) -> dict[str, Any]:
        """The object of exchangeInfo; before the first one known, that one."""
        known = [listed for listed in self.listings if listed.moment <= moment]
        return (known or self.listings[:1])[-1].raw

    # -- what happens

    def trade(self, fill: Fill) -> Trade:
        made = self.record(fill.id or 0, fill.time, fill.price, fill.size, fill.buyer_is_maker)
        if fill.id is None:  # sockets cannot repeat it, since they would have to name its id
            self.trades[-1] = made = Trade(0, made.time, made.price, made.size, made.buyer_is_maker, b"")
        return made

    def bar(self, interval: str, bar: Bar) -> None:
        bars = self.bars.setdefault(interval, {})
        bars[bar.open_time] = bar
        if len(bars) > 2 * MOST_CANDLES:
            for old in sorted(bars)[:-MOST_CANDLES]:
                del bars[old]

    def change(self, change: Change) -> None:
        if change.is_snapshot:
            self.delta = Delta()
        if self.delta is not None:
            self.delta.apply(change)

    def forget(self, api: str, lost_trades: bool) -> None:
        """A gap of a line: what it had brought need not be so any more, and V1 must not say that it is."""
        self.fresh = {topic: by for topic, by in self.fresh.items() if by != api}
        if lost_trades:
            self.history_from = self.trade_count

    # -- what can be said

    def history(self, count: int) -> list[bytes]:
        """The last trades that V1 may repeat, oldest first."""
        since = self.trade_count - self.history_from
        known = [trade for trade in list(self.trades)[-since:] if trade.row] if since else []
        return [trade.row for trade in sorted(known, key=lambda trade: trade.time)[-count:]]

    def lay_out(self) -> None:
        """Bring `book` up to what was shown; only grouped books need it."""
        shown = self.shown
        if shown is None or (self.book.version, self.book.time) == (shown.version or 1, shown.time or 0):
            return
        levels = orjson.loads(b"{" + shown.levels + b"}")
        for side, rows in ((self.book.bids, levels["b"]), (self.book.asks, levels["a"])):
            side.clear()
            for price, size in rows:
                side.set(parse(price, SCALE), parse(size, SCALE))
        self.book.version, self.book.time = shown.version or 1, shown.time or 0

    def quote_now(self) -> dict[str, Any]:
        """The data of the last bbo push, else the top of the book; empty before both."""
        if self.best is not None:
            data: dict[str, Any] = orjson.loads(self.best)["data"]
            return data
        if self.shown is None:
            return {}
        levels = orjson.loads(b"{" + self.shown.levels + b"}")
        (bid, bid_size), (ask, ask_size) = (levels[side][0] if levels[side] else ("0", "0") for side in "ba")
        return {"b": bid, "bz": bid_size, "a": ask, "az": ask_size, "t": self.shown.time}


class Unasked(Ticker):
    """A ticker that need not be made, since there is a recorded one: a day of trades is much to remember."""

    def add(self, time: int, price: int, size: int, quote: int) -> None:
        pass


class Delta:
    """The book that `diffMergedDepth` has told so far, as text."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        self.time: int | None = None
        self.version: int | None = None

    def apply(self, change: Change) -> None:
        self.time, self.version = change.time, change.version
        for name, rows in orjson.loads(b"{" + change.levels + b"}").items():
            side = self.sides[name]
            for price, size in rows:
                if size == "0":
                    side.pop(price, None)
                else:
                    side[price] = size

    def levels(self) -> bytes:
        """ "b":[…],"a":[…], best first."""
        bids, asks = (
            sorted(self.sides[name].items(), key=lambda level: parse(level[0], SCALE), reverse=name == "b")
            for name in "ba"
        )
        return b'"b":%b,"a":%b' % (orjson.dumps(bids), orjson.dumps(asks))


def _instrument(symbol: str, listed: Listed) -> Instrument:
    """Units of 10**-SCALE everywhere, so that every number of the lake is whole."""
    raw = listed.raw
    filters = {one.get("filterType"): one for one in raw.get("filters", ()) if isinstance(one, dict)}
    tick = str(filters.get("PRICE_FILTER", {}).get("tickSize") or "0.01")
    step = str(filters.get("LOT_SIZE", {}).get("stepSize") or "0.01")
    multiplier = str(raw.get("contractMultiplier") or "1")
    return Instrument(
        symbol,
        str(raw.get("underlying") or raw.get("baseAsset") or ""),
        str(raw.get("quoteAsset") or ""),
        SCALE,
        SCALE,
        decimals_of(tick),
        decimals_of(step),
        contract=listed.is_contract,
        inverse=raw.get("inverse") is True,
        multiplier=parse(multiplier, SCALE) if listed.is_contract else 1,
        multiplier_scale=SCALE if listed.is_contract else 0,
        index=index_name(raw) if listed.is_contract else "",
    )


def _unlisted(symbol: str) -> Listed:
    """A symbol whose exchangeInfo was never recorded, as its name has it."""
    is_contract = symbol.endswith("-PERPETUAL")
    pair = symbol.removesuffix("-PERPETUAL")
    quote = next((quote for quote in QUOTES if pair.endswith(quote)), "")
    base = pair.removesuffix(quote)
    made = Instrument(symbol, base, quote, SCALE, SCALE, 8, 8, contract=is_contract, index=pair if is_contract else "")
    return Listed(0, row(made), is_contract)
