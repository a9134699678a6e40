"""The lake's rows as NautilusTrader's objects, exact: raw fixed-point integers, never floats.

ts_event is the venue's time, ts_init is when we had it. Nautilus' wranglers know one constant delay only, so the
objects are built one by one here.
"""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pyarrow as pa

from recorder.exports.bars import Bar
from recorder.exports.changes import ADD, CLEAR, REMOVE, SNAPSHOT, UPDATE, Changes
from recorder.exports.errors import ExportError
from recorder.exports.exact import Places
from recorder.exports.files import need
from recorder.exports.source import Scales, Trades

F_LAST, F_SNAPSHOT = 128, 32
AGGREGATIONS = {"s": "SECOND", "m": "MINUTE", "h": "HOUR", "d": "DAY", "w": "WEEK", "M": "MONTH"}


class Maker:
    """Makes the objects of one instrument. All have the decimal places of `scales` as they are now."""

    def __init__(self, instrument_id: Any, scales: Scales) -> None:
        self._data = need("nautilus_trader.model.data")
        enums = need("nautilus_trader.model.enums")
        objects = need("nautilus_trader.model.objects")
        self._trade_id = need("nautilus_trader.model.identifiers").TradeId
        self.instrument_id = instrument_id
        self.price_places, self.size_places = scales.price.places, scales.size.places
        self._price_unit = 10 ** (objects.FIXED_PRECISION - self.price_places)
        self._size_unit = 10 ** (objects.FIXED_PRECISION - self.size_places)
        self._buyer, self._seller = enums.AggressorSide.BUYER, enums.AggressorSide.SELLER
        self._buy, self._sell, self._no_side = enums.OrderSide.BUY, enums.OrderSide.SELL, enums.OrderSide.NO_ORDER_SIDE
        action = enums.BookAction
        self._actions = {
            CLEAR: action.CLEAR,
            REMOVE: action.DELETE,
            SNAPSHOT: action.ADD,
            ADD: action.ADD,
            UPDATE: action.UPDATE,
        }

    def deltas(self, changes: Changes, shift: int) -> list[Any]:
        """OrderBookDelta of each change; one clear does for both sides."""
        make, identity, places = (
            self._data.OrderBookDelta.from_raw,
            self.instrument_id,
            (self.price_places, self.size_places),
        )
        rows = zip(
            changes.kind.tolist(),
            changes.bid.tolist(),
            changes.price.tolist(),
            changes.size.tolist(),
            changes.last.tolist(),
            changes.sequence.tolist(),
            changes.exchange_ns.tolist(),
            changes.receive_ns.tolist(),
            strict=True,
        )
        made: list[Any] = []
        for kind, bid, price, size, last, sequence, event_ns, init_ns in rows:
            if kind == CLEAR and not bid:
                if last:  # an empty book after a clear: the clear of the bids must end the event
                    made[-1] = self._clear(F_SNAPSHOT | F_LAST, sequence, event_ns, init_ns + shift)
                continue
            if kind == CLEAR:
                made.append(self._clear(F_SNAPSHOT, sequence, event_ns, init_ns + shift))
                continue
            made.append(
                make(
                    identity,
                    self._actions[kind],
                    self._buy if bid else self._sell,
                    price * self._price_unit,
                    places[0],
                    0 if kind == REMOVE else size * self._size_unit,
                    places[1],
                    0,
                    (F_LAST if last else 0) | (F_SNAPSHOT if kind == SNAPSHOT else 0),
                    sequence,
                    event_ns,
                    init_ns + shift,
                )
            )
        return made

    def trades(self, trades: Trades, shift: int) -> list[Any]:
        """TradeTick of each trade, in order of arrival. A trade from REST has no id: its time and place stand in."""
        make = self._data.TradeTick.from_raw
        rows = zip(
            trades.price.tolist(),
            trades.size.tolist(),
            trades.bought.tolist(),
            trades.trade_id,
            trades.exchange_ns.tolist(),
            trades.receive_ns.tolist(),
            strict=True,
        )
        made = [
            make(
                self.instrument_id,
                price * self._price_unit,
                self.price_places,
                size * self._size_unit,
                self.size_places,
                self._buyer if bought else self._seller,
                self._trade_id(str(trade_id) if trade_id is not None else f"rest-{event_ns}-{number}"),
                event_ns,
                init_ns + shift,
            )
            for number, (price, size, bought, trade_id, event_ns, init_ns) in enumerate(rows)
        ]
        return sorted(made, key=lambda one: one.ts_init)

    def quotes(self, rows: pa.RecordBatch, scales: Scales, shift: int) -> list[Any]:
        """QuoteTick of each bbo row: exchange_ns, receive_ns, bid_price, ask_price, bid_size, ask_size."""
        prices = [scales.price.ints(rows.column(name)).tolist() for name in ("bid_price", "ask_price")]
        sizes = [scales.size.ints(rows.column(name)).tolist() for name in ("bid_size", "ask_size")]
        times = [rows.column(name).to_pylist() for name in ("exchange_ns", "receive_ns")]
        return [
            self._data.QuoteTick.from_raw(
                self.instrument_id,
                bid * self._price_unit,
                ask * self._price_unit,
                self.price_places,
                self.price_places,
                bid_size * self._size_unit,
                ask_size * self._size_unit,
                self.size_places,
                self.size_places,
                event_ns,
                init_ns + shift,
            )
            for bid, ask, bid_size, ask_size, event_ns, init_ns in zip(*prices, *sizes, *times, strict=True)
        ]

    def bars(self, bars: Iterable[tuple[Bar, int, int]], interval: str) -> list[Any]:
        """Bar of each (bar, close time, ts_init), ns."""
        kind = self._data.BarType.from_str(f"{self.instrument_id}-{nautilus_interval(interval)}-LAST-EXTERNAL")
        objects = need("nautilus_trader.model.objects")
        price_unit, size_unit = 10**self.price_places, 10**self.size_places

        def price(value: Decimal) -> Any:
            return objects.Price.from_raw(int(value * price_unit) * self._price_unit, self.price_places)

        return [
            self._data.Bar(
                kind,
                price(bar.open),
                price(bar.high),
                price(bar.low),
                price(bar.close),
                objects.Quantity.from_raw(int(bar.volume * size_unit) * self._size_unit, self.size_places),
                close_ns,
                init_ns,
            )
            for bar, close_ns, init_ns in bars
        ]

    def _clear(self, flags: int, sequence: int, event_ns: int, init_ns: int) -> Any:
        places = self.price_places, self.size_places
        clear, side = self._actions[CLEAR], self._no_side
        return self._data.OrderBookDelta.from_raw(
            self.instrument_id, clear, side, 0, places[0], 0, places[1], 0, flags, sequence, event_ns, init_ns
        )


def instrument_id(symbol: str, venue: str) -> Any:
    return need("nautilus_trader.model.identifiers").InstrumentId.from_str(f"{symbol}.{venue.upper()}")


def make_instrument(told: dict[str, Any], identity: Any, scales: Scales, at_ns: int) -> Any:
    """CurrencyPair or CryptoPerpetual. Fees are not recorded: zero. Sizes of perpetuals are contracts."""
    objects, kinds = need("nautilus_trader.model.objects"), need("nautilus_trader.model.instruments")
    raw = json.loads(told["raw"] or "{}")
    price_places, size_places = scales.price.places, scales.size.places
    tick = told["tick_size"] or Decimal(1).scaleb(-price_places)
    lot = told["lot_size"] or Decimal(1).scaleb(-size_places)
    perpetual, inverse = told["kind"] == "perpetual", bool(raw.get("inverse", False))
    multiplier = told["contract_multiplier"] or Decimal(1)
    if perpetual:
        lot = max(lot if inverse else lot / multiplier, Decimal(1).scaleb(-size_places))
    base, quote = (objects.Currency.from_str(told[name]) for name in ("base", "quote"))
    common = {
        "instrument_id": identity,
        "raw_symbol": identity.symbol,
        "base_currency": base,
        "quote_currency": quote,
        "price_precision": price_places,
        "size_precision": size_places,
        "price_increment": objects.Price.from_str(f"{tick:.{price_places}f}"),
        "size_increment": objects.Quantity.from_str(f"{lot:.{size_places}f}"),
        "ts_event": at_ns,
        "ts_init": at_ns,
    }
    if not perpetual:
        least = told["min_notional"]
        return kinds.CurrencyPair(**common, min_notional=objects.Money(least, quote) if least else None)
    text = f"{multiplier.normalize():f}"
    settlement = objects.Currency.from_str(str(raw.get("marginToken") or (told["base"] if inverse else told["quote"])))
    return kinds.CryptoPerpetual(
        **common, settlement_currency=settlement, is_inverse=inverse, multiplier=objects.Quantity.from_str(text)
    )


def decimal_places(value: Decimal | None) -> int:
    return max(0, -int(value.normalize().as_tuple().exponent)) if value else 0


def first_scales(told: dict[str, Any]) -> Scales:
    """Places of the tick and of the lot; perpetuals count whole contracts."""
    size = 0 if told["kind"] == "perpetual" else decimal_places(told["lot_size"])
    return Scales(Places(decimal_places(told["tick_size"])), Places(size))


def nautilus_interval(interval: str) -> str:
    """'5m' is '5-MINUTE'. Raises ExportError for what Nautilus has no name for."""
    number, unit = interval[:-1], interval[-1:]
    if not number.isdigit() or unit not in AGGREGATIONS:
        raise ExportError(f"--interval {interval}: Nautilus has no such bar; write it as 1s 5m 1h 1d 1w 1M")
    return f"{int(number)}-{AGGREGATIONS[unit]}"
