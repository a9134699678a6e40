"""The public REST calls: the same series the sockets show, asked for once.

Errors are an object with HTTP 400: the code is a number on `/quote`, a string on `/api`. A route is
a function of the query; the table at the end says where each one lives.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from recorder.exchange import listing, rows
from recorder.exchange.candles import INTERVALS
from recorder.exchange.hub import Hub
from recorder.exchange.series import Series

Query = Mapping[str, str]
FUNDING_PERIOD = 8 * 3_600_000  # ms
NOT_ROUTED = ("/quote/v2/index",)  # documented, not there: answered by another layer of the venue


class RestError(Exception):
    """A refusal: the code as it is written, and the message."""

    def __init__(self, code: int | str, message: str) -> None:
        super().__init__(message)
        self.answer = {"code": code, "msg": message}


class Rest:
    """Answers from a hub's series."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._series = hub.source.series

    # -- service

    def ping(self, query: Query) -> Any:
        return {}

    def time(self, query: Query) -> Any:
        return {"serverTime": self._hub.clock.said_ms()}

    def exchange_info(self, query: Query) -> Any:
        if "symbol" not in query:
            return listing.exchange_info(
                (series.instrument for series in self._series.values()), self._hub.clock.said_ms()
            )
        series = self._series.get(query["symbol"])
        if series is None:
            raise RestError("-1151", "The trading pair is not open yet")
        return listing.one_symbol(series.instrument)

    # -- books, trades, candles

    def depth(self, query: Query) -> Any:
        book = self._one(query).book
        limit = _limit(query, 100)
        return {
            "t": book.time,
            "b": orjson.Fragment(book.bids.text(limit)),
            "a": orjson.Fragment(book.asks.text(limit)),
        }

    def merged(self, query: Query) -> Any:
        series = self._one(query)
        scale = max(-18, min(18, _number(query, "scale", series.instrument.price_decimals)))
        limit = _limit(query, 100)
        book = series.book
        sides = (dict(list(side.items())[:limit]) for side in book.merged(scale))
        bids, asks = (orjson.Fragment(book.text(side)) for side in sides)
        return {"t": book.time, "b": bids, "a": asks}

    def trades(self, query: Query) -> Any:
        series = self._one(query)
        limit = _limit(query, 100)
        return [
            {"t": one.time, "p": series.price(one.price), "q": series.size(one.size), "ibm": one.buyer_is_maker}
            for one in list(series.trades)[-limit:]
        ]

    def klines(self, query: Query) -> Any:
        """Without `endTime` the `startTime` is ignored; with both, the newest rows in the range."""
        series = self._one(query)
        interval = _required(query, "interval")
        if interval not in INTERVALS:
            raise RestError(-10009, "Invalid period!")
        limit = _limit(query, 1000)
        now = self._hub.clock.now_ms()
        start = _number(query, "startTime", 0) if "endTime" in query else 0
        end = max(0, min(now, _number(query, "endTime", now)))
        if end == now and series.trades:
            end = max(now, series.trades[-1].time)  # a recording's trades may be ahead of our clock
        found = series.candles(interval).last(limit, end, start)
        return [rows.candle_rest(series, candle) for candle in found]

    # -- tickers

    def day(self, query: Query) -> Any:
        kind = query.get("instType", "SPOT").upper()
        if kind not in ("SPOT", "FUTURES", "ANY"):
            raise RestError(-100002, "Parameter instType [String] is wrong!")
        wanted = self._some(query) if "symbol" in query else [
            series
            for series in self._series.values()
            if kind == "ANY" or series.instrument.contract == (kind == "FUTURES")
        ]  # fmt: skip
        return [self._day(series) for series in wanted]

    def _day(self, series: Series) -> dict[str, Any]:
        now = self._hub.clock.now_ms()
        day = series.ticker.day(now)
        bid, ask = (series.quote.bid, series.quote.ask) if series.quote else (None, None)
        prices = (day.last, day.high, day.low, day.open) if day else (0, 0, 0, 0)
        last, high, low, first = (series.price(price) for price in prices)
        return {
            "t": day.time if day else now,
            "s": series.symbol,
            "c": last,
            "h": high,
            "l": low,
            "o": first,
            "b": series.price(bid[0]) if bid else "0",
            "a": series.price(ask[0]) if ask else "0",
            "v": series.size(day.volume) if day else "0",
            "qv": series.amount(day.quote) if day else "0",
            "it": "FUTURES" if series.instrument.contract else "SPOT",
        }

    def price(self, query: Query) -> Any:
        return [
            {"s": series.symbol, "p": series.price(series.trades[-1].price) if series.trades else "0"}
            for series in self._some(query)
        ]

    def best(self, query: Query) -> Any:
        return [self._best(series) for series in self._some(query)]

    def _best(self, series: Series) -> dict[str, Any]:
        quote = series.quote
        bid, ask = ((quote.bid or (0, 0)), (quote.ask or (0, 0))) if quote else ((0, 0), (0, 0))
        return {
            "s": series.symbol,
            "b": series.price(bid[0]),
            "bq": series.size(bid[1]),
            "a": series.price(ask[0]),
            "aq": series.size(ask[1]),
            "t": quote.time if quote else series.book.time,
        }

    # -- contracts

    def mark(self, query: Query) -> Any:
        """200 with an empty body for what has no mark price."""
        mark = self._hub.v1.marks.get(_required(query, "symbol"))
        return {"symbolId": mark.symbol, "price": mark.price, "time": mark.time} if mark else None

    def index(self, query: Query) -> Any:
        known = self._hub.v1.indices
        names = query["symbol"].split(",") if query.get("symbol") else list(known)
        found = [known[name] for name in names if name in known]
        return {
            "index": {index.name: index.price for index in found},
            "edp": {index.name: index.average for index in found},
        }

    def funding(self, query: Query) -> Any:
        self._timestamp(query)
        settles = (self._hub.clock.now_ms() // FUNDING_PERIOD + 1) * FUNDING_PERIOD
        return [
            {"symbol": symbol, "rate": "0.0001", "nextSettleTime": str(settles)} for symbol in self._contracts(query)
        ]

    def funding_history(self, query: Query) -> Any:
        self._timestamp(query)
        last = self._hub.clock.now_ms() // FUNDING_PERIOD
        limit = _limit(query, 100, 20)
        return [
            {
                "id": str(period),
                "symbol": symbol,
                "settleTime": str(period * FUNDING_PERIOD),
                "settleRate": "0.0001",
            }
            for symbol in self._contracts(query)
            for period in range(last, last - limit, -1)
        ][:limit]

    def _contracts(self, query: Query) -> list[str]:
        wanted = query.get("symbol")
        return [symbol for symbol in self._hub.v1.marks if wanted in (None, symbol)]

    # -- parameters

    def _timestamp(self, query: Query) -> None:
        if not query.get("timestamp", "").isdigit():
            raise RestError("0001", "Required field timestamp missing or invalid")

    def _one(self, query: Query) -> Series:
        series = self._series.get(_required(query, "symbol"))
        if series is None or not self._hub.site.serves(query.get("site")):
            raise RestError(-100011, "Not supported symbols")
        return series

    def _some(self, query: Query) -> list[Series]:
        return [self._one(query)] if "symbol" in query else list(self._series.values())


def _required(query: Query, name: str) -> str:
    if not query.get(name):
        raise RestError(-100012, f"Parameter {name} [String] missing!")
    return query[name]


def _number(query: Query, name: str, default: int) -> int:
    try:
        return int(query.get(name) or default)
    except ValueError as error:
        raise RestError(-100002, f"Parameter {name} [Integer] is wrong!") from error


def _limit(query: Query, most: int, default: int = 100) -> int:
    return max(1, min(most, _number(query, "limit", default)))


def routes(rest: Rest) -> dict[str, Callable[[Query], Any]]:
    """Path to answer."""
    return {
        "/api/v1/ping": rest.ping,
        "/api/v1/time": rest.time,
        "/api/v1/exchangeInfo": rest.exchange_info,
        "/quote/v1/depth": rest.depth,
        "/quote/v1/depth/merged": rest.merged,
        "/quote/v1/trades": rest.trades,
        "/quote/v1/klines": rest.klines,
        "/quote/v1/ticker/24hr": rest.day,
        "/quote/v1/ticker/price": rest.price,
        "/quote/v1/ticker/bookTicker": rest.best,
        "/quote/v1/markPrice": rest.mark,
        "/quote/v2/markPrice": rest.mark,
        "/quote/v1/index": rest.index,
        "/api/v1/futures/fundingRate": rest.funding,
        "/api/v1/futures/historyFundingRate": rest.funding_history,
    }


def answer(route: Callable[[Query], Any], query: Query) -> web.Response:
    """Run one route: 200 with its JSON, or 400 with the venue's error object."""
    try:
        found = route(query)
    except RestError as error:
        return respond(error.answer, 400)
    return respond(found, 200)


def unknown(path: str) -> web.Response:
    """The venue's two kinds of 404; the first is HTML under a JSON content type."""
    if path in NOT_ROUTED:
        return respond({"code": 404, "msg": f"No static resource {path[1:]}."}, 404)
    page = b"<html><body><h2>404 Not found</h2></body></html>"
    return web.Response(body=page, status=404, content_type="application/json")


def respond(found: Any, status: int) -> web.Response:
    body = b"" if found is None else orjson.dumps(found)
    return web.Response(body=body, status=status, content_type="application/json")
