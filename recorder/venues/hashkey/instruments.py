"""What `exchangeInfo` says about each symbol, and whether it says anything new.

Spot pairs are in `symbols`, perpetuals in `contracts`; asked for one symbol, the venue answers with that
object alone. Filters are a list whose order and keys differ between sites: found by `filterType`.
Source: reference of the market data, section 7.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from recorder.venues.hashkey.columns import Row
from recorder.venues.hashkey.values import Unreadable, optional_decimal_text, word

Known = dict[tuple[str, str], str]  # (venue, symbol) -> the object as it was last seen


def listed(reply: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(kind, object) of each symbol in a reply. Raises Unreadable if it is not an exchangeInfo."""
    if type(reply) is not dict:
        raise Unreadable("exchangeInfo is not an object")
    if "symbols" not in reply and "contracts" not in reply:
        if "symbol" not in reply:
            raise Unreadable("exchangeInfo without symbols and contracts")
        is_contract = "contractMultiplier" in reply or str(reply["symbol"]).endswith("-PERPETUAL")
        yield ("perpetual" if is_contract else "spot"), reply
        return
    for key, kind in (("symbols", "spot"), ("contracts", "perpetual")):
        for item in reply.get(key) or ():
            if type(item) is not dict:
                raise Unreadable(f"exchangeInfo: {key} holds something else than objects")
            yield kind, item


def raw_text(item: dict[str, Any]) -> str:
    """The object in one form: keys sorted, and without `site`, which only the one-symbol reply has."""
    kept = {key: value for key, value in item.items() if key != "site"}
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode()


def own_values(kind: str, item: dict[str, Any], raw: str) -> Row:
    """The columns of `instrument`. Raises Unreadable."""
    symbol = word(item.get("symbol"), "symbol")
    base = item.get("baseAsset")
    if kind == "perpetual":
        base = item.get("underlying") or base  # a contract's baseAsset may be its own name
    filters = {f.get("filterType"): f for f in item.get("filters") or () if type(f) is dict}
    return (
        word(base, f"{symbol}: baseAsset"),
        word(item.get("quoteAsset"), f"{symbol}: quoteAsset"),
        kind,
        word(item.get("status"), f"{symbol}: status"),
        optional_decimal_text(filters.get("PRICE_FILTER", {}).get("tickSize"), f"{symbol}: tickSize"),
        optional_decimal_text(filters.get("LOT_SIZE", {}).get("stepSize"), f"{symbol}: stepSize"),
        optional_decimal_text(filters.get("MIN_NOTIONAL", {}).get("minNotional"), f"{symbol}: minNotional"),
        optional_decimal_text(item.get("contractMultiplier"), f"{symbol}: contractMultiplier"),
        raw,
    )
