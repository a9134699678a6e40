"""`exchangeInfo`: what is listed here, in the venue's words and with all its filters."""

from collections.abc import Iterable
from typing import Any

from recorder.exchange.decimals import plain
from recorder.exchange.instruments import Instrument

NAMES = {"BTC": "Bitcoin", "ETH": "Ethereum", "SOL": "Solana", "USDT": "Tether USD", "USDC": "USD Coin"}
FIAT = {"USD", "HKD"}


def _band(rate: str, **more: Any) -> list[dict[str, Any]]:
    bounds = {"buyPriceUpRate": rate, "sellPriceDownRate": rate}
    return [
        {"maxSellPrice": more.pop("maxSellPrice", "0"), **bounds, **more, "filterType": "LIMIT_TRADING"},
        {**bounds, "filterType": "MARKET_TRADING"},
        {
            "noAllowMarketStartTime": "0",
            "noAllowMarketEndTime": "0",
            "limitOrderStartTime": "0",
            "limitOrderEndTime": "0",
            "limitMinPrice": "0",
            "limitMaxPrice": "0",
            "filterType": "OPEN_QUOTE",
        },
    ]


def _price_filter(tick: str) -> dict[str, Any]:
    return {"minPrice": tick, "maxPrice": "100000.00000000", "tickSize": tick, "filterType": "PRICE_FILTER"}


def _lot_filter(step: str, most: str) -> dict[str, Any]:
    return {
        "minQty": step,
        "maxQty": most,
        "stepSize": step,
        "marketOrderMinQty": step,
        "marketOrderMaxQty": most,
        "filterType": "LOT_SIZE",
    }


def spot_row(instrument: Instrument) -> dict[str, Any]:
    tick, step = plain(1, instrument.price_decimals), plain(1, instrument.size_decimals)
    return {
        "symbol": instrument.symbol,
        "symbolName": instrument.symbol,
        "status": "TRADING",
        "baseAsset": instrument.base,
        "baseAssetName": instrument.base,
        "baseAssetPrecision": step,
        "quoteAsset": instrument.quote,
        "quoteAssetName": instrument.quote,
        "quotePrecision": "0.0000001",
        "retailAllowed": True,
        "piAllowed": True,
        "corporateAllowed": True,
        "omnibusAllowed": True,
        "icebergAllowed": False,
        "isAggregate": False,
        "allowMargin": False,
        "filters": [
            _price_filter(tick),
            _lot_filter(step, "200000"),
            {"minNotional": "1", "filterType": "MIN_NOTIONAL"},
            {
                "minAmount": "1",
                "maxAmount": "400000",
                "minBuyPrice": "0",
                "marketOrderMinAmount": "1",
                "marketOrderMaxAmount": "200000",
                "filterType": "TRADE_AMOUNT",
            },
            *_band("0.1", maxEntrustNum=300),
        ],
    }


def contract_row(instrument: Instrument) -> dict[str, Any]:
    tick, step = plain(1, instrument.price_decimals), plain(1, instrument.size_decimals)
    margin = instrument.base if instrument.inverse else instrument.quote
    return {
        "filters": [
            _price_filter(tick),
            _lot_filter(step, "10000"),  # in base units, unlike every size in the data
            {"minNotional": "0", "filterType": "MIN_NOTIONAL"},
            *_band("0.05", maxSellPrice="999999", maxEntrustNum=200, maxConditionNum=200),
        ],
        "exchangeId": "301",
        "symbol": instrument.symbol,
        "symbolName": instrument.symbol,
        "status": "TRADING",
        "tradeStatus": "TRADABLE",
        "baseAsset": instrument.base,
        "baseAssetPrecision": step,
        "quoteAsset": instrument.quote,
        "quoteAssetPrecision": tick,
        "icebergAllowed": False,
        "inverse": instrument.inverse,
        "index": instrument.index,
        "marginToken": margin,
        "marginPrecision": "0.0001",
        "contractMultiplier": plain(instrument.multiplier, instrument.multiplier_scale),
        "underlying": instrument.base,
        "riskLimits": [_risk("127", "1000.00", "0.005"), _risk("128", "2000.00", "0.01")],
    }


def _risk(number: str, quantity: str, maintenance: str) -> dict[str, Any]:
    return {
        "riskLimitId": number,
        "quantity": quantity,
        "initialMargin": "0.10",
        "maintMargin": maintenance,
        "isWhite": False,
    }


def _coin(name: str) -> dict[str, Any]:
    chain = {
        "chainType": NAMES.get(name, name),
        "withdrawFee": "0",
        "minWithdrawQuantity": "0.002",
        "maxWithdrawQuantity": "0",
        "minDepositQuantity": "0.0005",
        "allowDeposit": True,
        "allowWithdraw": True,
    }
    return {
        "orgId": "9001",
        "coinId": name,
        "coinName": name,
        "coinFullName": NAMES.get(name, name),
        "allowWithdraw": True,
        "allowDeposit": True,
        "tokenType": "REAL_MONEY" if name in FIAT else "CHAIN_TOKEN",
        "chainTypes": [] if name in FIAT else [chain],
    }


def row(instrument: Instrument) -> dict[str, Any]:
    return contract_row(instrument) if instrument.contract else spot_row(instrument)


def exchange_info(instruments: Iterable[Instrument], now_ms: int) -> dict[str, Any]:
    """The whole site."""
    listed = list(instruments)
    coins = dict.fromkeys(coin for one in listed for coin in (one.base, one.quote))
    return {
        "timezone": "UTC",
        "serverTime": str(now_ms),
        "brokerFilters": [],
        "symbols": [spot_row(one) for one in listed if not one.contract],
        "options": [],
        "contracts": [contract_row(one) for one in listed if one.contract],
        "coins": [_coin(coin) for coin in coins],
        "site": "HK",
    }


def one_symbol(instrument: Instrument) -> dict[str, Any]:
    """The answer to `symbol=`: the one object itself, not a list, and the site in lower case."""
    return row(instrument) | {"site": "hk"}
