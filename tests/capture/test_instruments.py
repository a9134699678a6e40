"""From exchangeInfo to what to subscribe."""

from typing import Any

import pytest

from recorder.capture.instruments import choose, read_listing, subscriptions, unknown
from recorder.errors import VenueError
from recorder.venues.hashkey.subscribe import topics


def spot(symbol: str, status: str = "TRADING", tick: str = "0.01") -> dict[str, Any]:
    return {
        "symbol": symbol,
        "status": status,
        "baseAsset": symbol[:3],
        "quoteAsset": symbol[3:],
        "filters": [{"filterType": "PRICE_FILTER", "tickSize": tick}],
    }


CONTRACT = {
    **spot("BTCUSDT-PERPETUAL", tick="0.1"),
    "underlying": "BTC",
    "index": "USDT",
    "contractMultiplier": "0.001",
}
INFO = {"symbols": [spot("BTCUSD"), spot("ETHUSD"), spot("OLDUSD", "HALT")], "contracts": [CONTRACT]}


def test_all_that_trades_is_chosen_by_the_star() -> None:
    assert choose(["*"], read_listing(INFO)) == ("BTCUSD", "ETHUSD", "BTCUSDT-PERPETUAL")
    assert choose(["*"], None) == ()


def test_until_the_venue_says_what_it_lists_the_star_is_what_the_last_run_had() -> None:
    assert choose(["*"], None, ["BTCUSD", "OLDUSD"]) == ("BTCUSD", "OLDUSD")
    assert choose(["NAMED"], None, ["BTCUSD", "OLDUSD"]) == ("NAMED",)


def test_a_symbol_that_halts_stays_and_one_that_is_not_listed_any_more_goes() -> None:
    assert choose(["*"], read_listing(INFO), ["OLDUSD", "GONEUSD"])[:2] == ("OLDUSD", "BTCUSD")


def test_named_symbols_are_taken_as_they_are_until_the_venue_says_what_it_lists() -> None:
    assert choose(["BTCUSD", "NOPE"], None) == ("BTCUSD", "NOPE")
    assert choose(["BTCUSD", "NOPE"], read_listing(INFO)) == ("BTCUSD",)


def test_an_unknown_symbol_comes_with_names_that_are_close() -> None:
    assert unknown(["btcusd", "ETHUSD"], read_listing(INFO)) == {"btcusd": ["BTCUSD", "ETHUSD", "BTCUSDT-PERPETUAL"]}


def test_a_name_that_could_not_be_a_file_name_or_a_symbol_is_left_out() -> None:
    listing = read_listing({"symbols": [spot("BTCUSD"), spot("../../etc"), spot("A B"), {"symbol": 5}]})
    assert list(listing.instruments) == ["BTCUSD"]
    assert len(listing.invalid) == 3


@pytest.mark.parametrize(
    "document", [None, [], {}, {"symbols": []}, {"symbols": 5}, {"code": "0003"}, {"symbols": ["x"]}]
)
def test_what_is_no_listing_or_an_empty_one_is_refused(document: object) -> None:
    with pytest.raises(VenueError):
        read_listing(document)


def asked(streams: list[str], with_listing: bool = True) -> list[tuple[int, str, str]]:
    listing = read_listing(INFO) if with_listing else None
    symbols = ["BTCUSD", "BTCUSDT-PERPETUAL"]
    found = subscriptions(topics(streams, ["1m"]), symbols, listing)
    return [(route.line, topic, symbol) for route, topic, symbol in found]


def test_mark_prices_are_of_contracts_and_indices_of_what_underlies_them() -> None:
    assert asked(["mark_price"]) == [(1, "markPrice", "BTCUSDT-PERPETUAL")]
    assert asked(["index"]) == [(1, "index", "BTCUSDT")]


def test_the_delta_book_waits_until_the_tick_is_known() -> None:
    assert asked(["depth_delta"], with_listing=False) == []
    assert len(asked(["depth_delta"])) == 2
    assert read_listing(INFO).instruments["BTCUSD"].scale == 2


def test_everything_else_can_be_asked_for_without_a_listing() -> None:
    assert asked(["bbo", "trade"], with_listing=False) == asked(["bbo", "trade"])
    assert asked(["index"], with_listing=False) == []
