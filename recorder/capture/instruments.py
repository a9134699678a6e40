"""From `exchangeInfo` to what to subscribe: symbols, their delta-book scale, the index of each contract.

Pure, and without the decoder, which would bring pyarrow into this process. A symbol that once traded
stays subscribed while the venue lists it at all: a halt ends without notice, and what happens at that
moment is worth having.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from recorder.config import SYMBOL
from recorder.errors import VenueError
from recorder.venues.hashkey.subscribe import Route, dump_scale

PERPETUAL = "-PERPETUAL"


@dataclass(frozen=True, slots=True)
class Instrument:
    symbol: str
    is_contract: bool
    is_trading: bool
    scale: int | None  # of diffMergedDepth; None if the tick is unknown
    index: str  # name of the index of a contract, '' if there is none


@dataclass(frozen=True, slots=True)
class Listing:
    """What the venue lists, and the names that we refuse to use."""

    instruments: Mapping[str, Instrument]
    invalid: tuple[str, ...]


def read_listing(document: Any) -> Listing:
    """Read an exchangeInfo. Raises VenueError if it is none, or lists nothing at all."""
    found: dict[str, Instrument] = {}
    invalid: list[str] = []
    for key in ("symbols", "contracts"):
        items = document.get(key) if isinstance(document, dict) else None
        for item in items if isinstance(items, list) else ():
            symbol = item.get("symbol") if isinstance(item, dict) else None
            if isinstance(symbol, str) and SYMBOL.fullmatch(symbol):
                found[symbol] = _instrument(symbol, key == "contracts", item)
            else:
                invalid.append(repr(symbol)[:80])
    if not found:
        raise VenueError("exchangeInfo lists no symbols")
    return Listing(found, tuple(invalid))


def _instrument(symbol: str, is_contract: bool, item: dict[str, Any]) -> Instrument:
    filters = item.get("filters")
    ticks = [
        str(rule.get("tickSize"))
        for rule in (filters if isinstance(filters, list) else ())
        if isinstance(rule, dict) and rule.get("filterType") == "PRICE_FILTER"
    ]
    index = ""
    if is_contract:
        name, coin = str(item.get("index") or ""), str(item.get("underlying") or "")
        index = name if coin and name.startswith(coin) else coin + name
        if not SYMBOL.fullmatch(index):
            index = ""
    return Instrument(
        symbol, is_contract, item.get("status") == "TRADING", dump_scale(ticks[0]) if ticks else None, index
    )


def choose(configured: Iterable[str], listing: Listing | None, present: Iterable[str] = ()) -> tuple[str, ...]:
    """The symbols to record. Without a listing: those that are named, or with "*" those that are `present`.

    `present` are recorded now, or were by the last run: with "*" they stay while they are listed.
    """
    configured = tuple(configured)
    if listing is None:
        return tuple(present) if configured == ("*",) else configured
    known = listing.instruments
    if configured == ("*",):
        kept = [symbol for symbol in present if symbol in known]
        return tuple(dict.fromkeys([*kept, *(s for s, instrument in known.items() if instrument.is_trading)]))
    return tuple(symbol for symbol in configured if symbol in known)


def unknown(configured: Iterable[str], listing: Listing) -> dict[str, list[str]]:
    """Configured symbols that the venue does not list, each with names that are close to it."""
    names = list(listing.instruments)
    return {
        symbol: difflib.get_close_matches(symbol.upper(), names, n=3, cutoff=0.5)
        for symbol in configured
        if symbol != "*" and symbol not in listing.instruments
    }


def subscriptions(
    topics: Iterable[tuple[Route, str]], symbols: Iterable[str], listing: Listing | None
) -> list[tuple[Route, str, str]]:
    """(route, topic, symbol) of all that is to be asked for; without a listing, only what needs none."""
    symbols = tuple(symbols)
    known = listing.instruments if listing else {}
    asks: list[tuple[Route, str, str]] = []
    for route, topic in topics:
        for symbol in symbols:
            instrument = known.get(symbol)
            name = symbol
            if route.per == "contract" and not (instrument.is_contract if instrument else symbol.endswith(PERPETUAL)):
                continue
            if route.per == "index":
                name = instrument.index if instrument else ""
            if route.stream == "depth_delta" and (instrument is None or instrument.scale is None):
                continue
            if name:
                asks.append((route, topic, name))
    return list(dict.fromkeys(asks))
