"""What is traded here: the pairs of the Hong Kong venue, a few perpetuals, and how busy each one is.

An `Instrument` says how its numbers are written; a `Temper` says how its market moves. Names and
counts follow the reference (38 spot pairs: 27 USD, 5 HKD, 2 each FDUSD, USDT, USDC; one dormant
contract); the prices are only a place to start from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from recorder.exchange.errors import ExchangeError


@dataclass(frozen=True)
class Instrument:
    """One symbol and the units of its integers: price x 10**-price_scale, size x 10**-size_scale."""

    symbol: str
    base: str
    quote: str
    price_scale: int  # the integers we keep
    size_scale: int
    price_decimals: int  # the tick size the venue publishes; shown after `_` in a V2 book version
    size_decimals: int  # the lot size the venue publishes
    contract: bool = False
    inverse: bool = False
    multiplier: int = 1  # base (or, inverse, quote) units of one contract x 10**-multiplier_scale
    multiplier_scale: int = 0
    index: str = ""  # the name of a contract's index, as the `index` topic takes it

    @property
    def quote_scale(self) -> int:
        """The scale of price x size, which is what quote volumes are kept in."""
        price = 0 if self.inverse else self.price_scale
        return price + self.size_scale + self.multiplier_scale

    def quote_amount(self, price: int, size: int) -> int:
        """Quote volume of one trade, exact; an inverse contract is worth a fixed amount of quote."""
        return size * self.multiplier * (1 if self.inverse else price)


@dataclass(frozen=True)
class Temper:
    """How a synthetic market behaves; rates are per second of exchange time."""

    price: float
    changes: float  # changes of the book
    trades: float
    levels: int  # a side
    half_spread: float = 0.0004  # of the price
    spacing: float = 0.00006  # mean distance of two levels, of the price
    volatility: float = 0.00004  # per square root of a second, of the price
    notional: float = 3_000.0  # typical level in quote currency
    top_share: float = 0.10  # of the changes, those that resize the best level
    fickle_asks: bool = False  # the ask side is often empty
    dormant: bool = False  # an empty book that never changes


@dataclass(frozen=True)
class Listing:
    """A line of the catalogue: the instrument and its temper."""

    instrument: Instrument
    temper: Temper = field(repr=False)


def _spot(base: str, quote: str, price_decimals: int, size_decimals: int, temper: Temper) -> Listing:
    instrument = Instrument(base + quote, base, quote, price_decimals, size_decimals, price_decimals, size_decimals)
    return Listing(instrument, temper)


def _contract(underlying: str, quote: str, price_decimals: int, temper: Temper, prefix: str = "") -> Listing:
    instrument = Instrument(
        f"{prefix}{underlying}{quote}-PERPETUAL",
        underlying,
        quote,
        price_decimals,
        0,
        price_decimals,
        3,
        contract=True,
        multiplier=1,
        multiplier_scale=3,  # one contract is 0.001 of the underlying
        index=underlying + quote,
    )
    return Listing(instrument, temper)


def _busy(price: float, trades: float, levels: int, notional: float = 6_000.0) -> Temper:
    return Temper(price, 15.0, trades, levels, half_spread=0.00005, notional=notional)


def _steady(price: float, levels: int = 40) -> Temper:
    return Temper(price, 0.85, 0.04, levels, half_spread=0.0012, spacing=0.0004, notional=800.0)


def _slow(price: float, levels: int = 20, fickle_asks: bool = False) -> Temper:
    return Temper(
        price, 0.14, 1 / 240, levels, half_spread=0.003, spacing=0.001, notional=400.0, fickle_asks=fickle_asks
    )


def _still(price: float) -> Temper:
    return Temper(price, 1 / 300, 1 / 5400, 6, half_spread=0.006, spacing=0.003, notional=300.0)


def _stable(price: float, trades: float) -> Temper:
    return Temper(price, 15.0, trades, 35, half_spread=0.0001, spacing=0.0001, volatility=0.000001, notional=20_000.0)


HK_DOLLAR = 7.8
VENUE: tuple[Listing, ...] = (  # the first six are the default; `--pairs N` takes the first N
    _spot("BTC", "USD", 2, 5, _busy(86_500, 1.2, 115)),
    _spot("ETH", "USD", 2, 4, _busy(2_750, 0.8, 115)),
    _spot("BTC", "USDT", 2, 5, _busy(86_520, 0.5, 115)),
    _spot("USDT", "USD", 4, 2, _stable(0.9992, 0.3)),
    _spot("SOL", "USD", 2, 3, _busy(142, 0.3, 45)),
    _spot("BTC", "HKD", 1, 5, _busy(86_500 * HK_DOLLAR, 0.15, 40, notional=20_000.0)),
    _spot("ETH", "USDT", 2, 4, _busy(2_751, 0.3, 50)),
    _spot("USDC", "USD", 4, 2, _stable(0.9998, 0.1)),
    _spot("ETH", "HKD", 1, 4, _busy(2_750 * HK_DOLLAR, 0.1, 35, notional=20_000.0)),
    _spot("XRP", "USD", 4, 1, _steady(1.52)),
    _spot("DOGE", "USD", 5, 0, _steady(0.118)),
    _spot("ADA", "USD", 4, 1, _steady(0.41)),
    _spot("LINK", "USD", 3, 2, _steady(11.3)),
    _spot("AVAX", "USD", 3, 2, _steady(14.2)),
    _spot("LTC", "USD", 2, 3, _steady(81.4)),
    _spot("BCH", "USD", 2, 3, _steady(512.6)),
    _spot("UNI", "USD", 3, 2, _steady(5.61)),
    _spot("AAVE", "USD", 2, 3, _steady(168.2)),
    _spot("DOT", "USD", 3, 2, _steady(2.31)),
    _spot("ATOM", "USD", 3, 2, _steady(2.64)),
    _spot("ARB", "USD", 4, 1, _steady(0.213)),
    _spot("APT", "USD", 3, 2, _steady(2.12)),
    _spot("SUI", "USD", 4, 1, _steady(1.62)),
    _spot("TON", "USD", 3, 2, _steady(1.71)),
    _spot("TRX", "USD", 4, 1, _steady(0.281)),
    _spot("NEAR", "USD", 3, 2, _steady(1.83)),
    _spot("USDT", "HKD", 4, 2, _steady(7.79, 30)),
    _spot("BTC", "USDC", 2, 5, _steady(86_510, 30)),
    _spot("FIL", "USD", 3, 2, _slow(1.44)),
    _spot("COMP", "USD", 2, 3, _slow(32.1)),
    _spot("SOL", "HKD", 1, 3, _slow(142 * HK_DOLLAR, 12, fickle_asks=True)),
    _spot("ETH", "USDC", 2, 4, _slow(2_751)),
    _spot("BTC", "FDUSD", 2, 5, _slow(86_480)),
    _spot("ETH", "FDUSD", 2, 4, _still(2_749)),
    _spot("USDC", "HKD", 4, 2, _still(7.8)),
    _spot("POL", "USD", 4, 1, _still(0.118)),
    _spot("GRT", "USD", 5, 0, _still(0.0391)),
    _spot("CRV", "USD", 4, 1, _still(0.262)),
)
DORMANT = _contract("BTC", "USD", 1, Temper(86_500, 0.0, 0.0, 0, dormant=True), prefix="B")
CONTRACTS: tuple[Listing, ...] = (
    _contract("BTC", "USDT", 1, _busy(86_500, 0.6, 60)),
    _contract("ETH", "USDT", 2, _busy(2_750, 0.4, 60)),
    _contract("SOL", "USDT", 2, _steady(142)),
    _contract("BTC", "USD", 1, _steady(86_480)),
    _contract("ETH", "USD", 2, _steady(2_749)),
    DORMANT,
)


def choose(symbols: Sequence[str], pairs: int) -> list[Listing]:
    """The listings for `--symbols` and `--pairs`; both empty gives a handful.

    Raises ExchangeError for a name or a number that is not in the catalogue.
    """
    if not 0 <= pairs <= len(VENUE):
        raise ExchangeError(f"--pairs {pairs}: give a number from 1 to {len(VENUE)} (the whole venue)")
    known = {listing.instrument.symbol: listing for listing in (*VENUE, *CONTRACTS)}
    chosen: dict[str, Listing] = {}
    for symbol in symbols:
        if symbol not in known:
            raise ExchangeError(f"--symbols {symbol}: not traded here; choose from {', '.join(known)}")
        chosen[symbol] = known[symbol]
    for listing in VENUE[: pairs if pairs or symbols else 6]:
        chosen.setdefault(listing.instrument.symbol, listing)
    if pairs == len(VENUE):
        chosen.setdefault(DORMANT.instrument.symbol, DORMANT)
    return list(chosen.values())
