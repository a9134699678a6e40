"""REST as of the moment that the replay has reached: what was recorded, as text, and what its trades make."""

from typing import Any

import orjson

from recorder.exchange import listing
from recorder.exchange.candles import INTERVALS
from recorder.exchange.replay_hub import ReplayHub
from recorder.exchange.replay_series import MOST_CANDLES, Played
from recorder.exchange.rest import Query, Rest, RestError, _limit, _number, _required
from recorder.exchange.series import Series

NO_DAY = {"c": "0", "h": "0", "l": "0", "o": "0", "v": "0", "qv": "0"}


class ReplayRest(Rest):
    """The same calls, answered from what was played."""

    def __init__(self, hub: ReplayHub) -> None:
        super().__init__(hub)
        self._replay = hub

    def _played(self, series: Series) -> Played:
        return self._replay.played[series.symbol]

    def exchange_info(self, query: Query) -> Any:
        """Each symbol as exchangeInfo had it at this moment; coins are made, since they are not recorded."""
        now = self._replay.clock.now()
        if "symbol" in query:
            series = self._series.get(query["symbol"])
            if series is None:
                raise RestError("-1151", "The trading pair is not open yet")
            return self._played(series).listed_at(now) | self._hub.site.named
        answer = listing.exchange_info(
            (series.instrument for series in self._series.values()), self._replay.clock.said_ms()
        )
        kinds: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
        for series in self._series.values():
            kinds[series.instrument.contract].append(self._played(series).listed_at(now))
        return answer | {"symbols": kinds[False], "contracts": kinds[True], "site": self._hub.site.listed}

    def depth(self, query: Query) -> Any:
        shown = self._played(self._one(query)).shown
        limit = _limit(query, 100)
        if shown is None:
            return {"t": self._replay.clock.now_ms(), "b": [], "a": []}
        levels = orjson.loads(b"{" + shown.levels + b"}")
        return {"t": shown.time, "b": levels["b"][:limit], "a": levels["a"][:limit]}

    def merged(self, query: Query) -> Any:
        self._played(self._one(query)).lay_out()
        return super().merged(query)

    def trades(self, query: Query) -> Any:
        """By their own time: those that REST filled in later stand where they belong."""
        return sorted(super().trades(query), key=lambda row: int(row["t"]))

    def klines(self, query: Query) -> Any:
        """What was recorded of this interval; of others, what the trades of the replay make."""
        series = self._played(self._one(query))
        interval = _required(query, "interval")
        bars = series.bars.get(interval)
        if interval not in INTERVALS or not bars:
            return super().klines(query)
        limit = _limit(query, MOST_CANDLES)
        start = _number(query, "startTime", 0) if "endTime" in query else 0
        end = _number(query, "endTime", 2**62)
        chosen = [at for at in sorted(bars) if start <= at <= end][-limit:]
        return [_candle(orjson.loads(bars[at].v1)) for at in chosen]

    def _day(self, series: Series) -> dict[str, Any]:
        played = self._played(series)
        if played.last_ticker is None:
            made = super()._day(series)
        else:
            day = NO_DAY | orjson.loads(played.last_ticker)
            made = {key: day.get(key) for key in ("t", "s", "c", "h", "l", "o")}
            made |= {"b": "0", "a": "0", "v": day["v"], "qv": day["qv"]}
            made["it"] = "FUTURES" if series.instrument.contract else "SPOT"
        quote = played.quote_now()
        return made | {side: quote.get(side, "0") for side in ("b", "a")}

    def _best(self, series: Series) -> dict[str, Any]:
        quote = self._played(series).quote_now()
        sizes = {"b": quote.get("b", "0"), "bq": quote.get("bz", "0"), "a": quote.get("a", "0")}
        return {"s": series.symbol, **sizes, "aq": quote.get("az", "0"), "t": quote.get("t", 0)}

    def index(self, query: Query) -> Any:
        """Indices of which nothing has been said yet are left out."""
        known = {name: index for name, index in self._hub.v1.indices.items() if index.time}
        names = query["symbol"].split(",") if query.get("symbol") else list(known)
        found = [known[name] for name in names if name in known]
        return {
            "index": {index.name: index.price for index in found},
            "edp": {index.name: index.average for index in found},
        }


def _candle(row: dict[str, Any]) -> list[int | str]:
    """A pushed candle as REST writes it; what V2 does not say is zero."""
    names = ("qv", "td", "tb", "tq")
    quote, count, buys, buy_quotes = (row.get(name, 0 if name == "td" else "0") for name in names)
    prices = [row[name] for name in "ohlcv"]
    return [row["t"], *prices, 0, quote, count, buys, buy_quotes]
