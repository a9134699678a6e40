from recorder.exchange.instruments import CONTRACTS, VENUE
from recorder.exchange.listing import exchange_info, one_symbol

INSTRUMENTS = {listing.instrument.symbol: listing.instrument for listing in (*VENUE, *CONTRACTS)}


def test_the_whole_site_has_the_keys_of_the_venue() -> None:
    info = exchange_info([INSTRUMENTS["BTCUSD"], INSTRUMENTS["BTCUSDT-PERPETUAL"]], 1721661653952)
    assert list(info) == [
        "timezone", "serverTime", "brokerFilters", "symbols", "options", "contracts", "coins", "site",
    ]  # fmt: skip
    assert info["serverTime"] == "1721661653952"
    assert info["site"] == "HK"
    assert [row["symbol"] for row in info["symbols"]] == ["BTCUSD"]
    assert [row["symbol"] for row in info["contracts"]] == ["BTCUSDT-PERPETUAL"]
    assert [coin["coinId"] for coin in info["coins"]] == ["BTC", "USD", "USDT"]


def test_a_spot_row_has_its_steps_in_the_filters() -> None:
    row = one_symbol(INSTRUMENTS["ETHUSD"])
    filters = {one["filterType"]: one for one in row["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01"
    assert filters["LOT_SIZE"]["stepSize"] == "0.0001"
    assert filters["MIN_NOTIONAL"]["minNotional"] == "1"
    assert (row["baseAsset"], row["quoteAsset"], row["status"], row["site"]) == ("ETH", "USD", "TRADING", "hk")
    assert filters.keys() == {
        "PRICE_FILTER", "LOT_SIZE", "MIN_NOTIONAL", "TRADE_AMOUNT", "LIMIT_TRADING", "MARKET_TRADING", "OPEN_QUOTE",
    }  # fmt: skip


def test_a_contract_row_has_its_multiplier_and_a_lot_in_base_units() -> None:
    row = one_symbol(INSTRUMENTS["BTCUSDT-PERPETUAL"])
    filters = {one["filterType"]: one for one in row["filters"]}
    assert (row["contractMultiplier"], row["underlying"], row["index"], row["inverse"]) == (
        "0.001", "BTC", "BTCUSDT", False,
    )  # fmt: skip
    assert filters["LOT_SIZE"]["stepSize"] == "0.001"
    assert filters["LIMIT_TRADING"]["maxConditionNum"] == 200
