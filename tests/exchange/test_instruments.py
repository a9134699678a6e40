from collections import Counter

import pytest

from recorder.exchange.errors import ExchangeError
from recorder.exchange.instruments import VENUE, Instrument, choose


def symbols(chosen: tuple[str, ...], pairs: int) -> list[str]:
    return [listing.instrument.symbol for listing in choose(chosen, pairs)]


def test_the_whole_venue_is_the_hong_kong_list_and_one_dormant_contract() -> None:
    whole = choose((), 38)
    assert Counter(one.instrument.quote for one in whole if not one.instrument.contract) == {
        "USD": 27, "HKD": 5, "FDUSD": 2, "USDT": 2, "USDC": 2,
    }  # fmt: skip
    assert [one.instrument.symbol for one in whole if one.instrument.contract] == ["BBTCUSD-PERPETUAL"]


def test_without_a_wish_there_is_a_handful() -> None:
    assert symbols((), 0) == ["BTCUSD", "ETHUSD", "BTCUSDT", "USDTUSD", "SOLUSD", "BTCHKD"]
    assert symbols(("BTCUSDT-PERPETUAL",), 0) == ["BTCUSDT-PERPETUAL"]
    assert symbols(("ETHUSD",), 2) == ["ETHUSD", "BTCUSD"]


@pytest.mark.parametrize(("chosen", "pairs", "says"), [(("NOPE",), 0, "NOPE"), ((), 39, "1 to 38"), ((), -1, "-1")])
def test_what_is_not_listed_is_refused_with_a_remedy(chosen: tuple[str, ...], pairs: int, says: str) -> None:
    with pytest.raises(ExchangeError, match=says):
        choose(chosen, pairs)


def test_some_pairs_are_quiet_and_one_has_a_fickle_ask_side() -> None:
    assert sum(one.temper.changes < 0.01 for one in VENUE) == 5
    assert any(one.temper.fickle_asks for one in VENUE)


def test_quote_volume_of_contracts_counts_the_multiplier() -> None:
    linear = Instrument("X", "BTC", "USDT", 1, 0, 1, 3, contract=True, multiplier=1, multiplier_scale=3)
    inverse = Instrument("Y", "ETH", "USD", 2, 0, 2, 0, contract=True, inverse=True, multiplier=10)
    assert (linear.quote_amount(891642, 823), linear.quote_scale) == (891642 * 823, 4)
    assert (inverse.quote_amount(268217, 3), inverse.quote_scale) == (30, 0)
