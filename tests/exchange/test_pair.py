"""One synthetic symbol, watched event by event."""

import pytest

from recorder.exchange.candles import INTERVALS, Candles
from recorder.exchange.instruments import CONTRACTS, VENUE
from recorder.exchange.pair import Pair
from recorder.exchange.source import Quoted, Traded
from tests.exchange.bench import START_MS

LISTINGS = {listing.instrument.symbol: listing for listing in (*VENUE, *CONTRACTS)}


def pair(symbol: str, rate: float = 1.0, seed: int = 1) -> Pair:
    listing = LISTINGS[symbol]
    return Pair(listing.instrument, listing.temper, seed, 0, START_MS, rate)


@pytest.mark.parametrize("symbol", ["BTCUSD", "USDTUSD", "SOLHKD", "BTCUSDT-PERPETUAL"])
def test_every_trade_happens_at_the_quote_before_it_and_takes_from_it(symbol: str) -> None:
    one = pair(symbol, rate=20)
    trades = 0
    for _ in range(4000):
        before = one.series.quote
        assert before is not None
        for event in one.step():
            if isinstance(event, Traded):
                trades += 1
                level = before.bid if event.trade.buyer_is_maker else before.ask
                side = one.series.book.bids if event.trade.buyer_is_maker else one.series.book.asks
                assert level is not None
                assert event.trade.price == level[0]
                assert 0 < event.trade.size <= level[1]
                left = side.sizes.get(level[0] * side.sign, 0)
                assert left == level[1] - event.trade.size
                assert before.time < event.trade.time  # so "the quote just before" is never in doubt
    assert trades > 20


def test_books_are_never_crossed_and_versions_grow_with_jumps() -> None:
    one, steps = pair("BTCUSD", rate=50), set()
    for _ in range(3000):
        version, time = one.series.book.version, one.series.book.time
        list(one.step())
        book = one.series.book
        bid, ask = book.bids.best(), book.asks.best()
        assert bid and ask and bid[0] < ask[0]
        assert book.version > version and book.time > time
        steps.add(book.version - version)
    assert len(steps) > 5
    assert len(book.bids) >= 100 <= len(book.asks)


def test_a_quote_is_told_exactly_when_the_top_of_the_book_changes() -> None:
    one = pair("ETHUSD", rate=10)
    for _ in range(1000):
        before = one.series.book.bids.best(), one.series.book.asks.best()
        quotes = [event.quote for event in one.step() if isinstance(event, Quoted)]
        after = one.series.book.bids.best(), one.series.book.asks.best()
        assert len(quotes) == (before != after)
        for quote in quotes:
            assert (quote.bid, quote.ask, quote.version) == (*after, one.series.book.version)


def test_a_fickle_ask_side_is_often_empty() -> None:
    one, empty = pair("SOLHKD", rate=100), 0
    for _ in range(1000):
        list(one.step())
        empty += one.series.book.asks.best() is None
    assert 50 < empty < 950


def test_there_is_history_before_time_zero_old_on_a_quiet_pair() -> None:
    for symbol, oldest in (("BTCUSD", 60_000), ("CRVUSD", 3_600_000)):
        series = pair(symbol).series
        assert len(series.trades) == 100
        assert series.trades[-1].time < START_MS
        assert START_MS - series.trades[-60].time > oldest
        times, ids = [one.time for one in series.trades], [one.id for one in series.trades]
        assert times == sorted(times)
        assert ids == sorted(set(ids))
        assert all(len(str(number)) == 19 for number in ids)


@pytest.mark.parametrize("interval", INTERVALS)
def test_candles_equal_the_trades(interval: str) -> None:
    one = pair("BTCUSD", rate=30)
    series, trades = one.series, []
    known = sum(candle.volume for candle in series.candles(interval))
    told = Candles(interval)
    for _ in range(2000):
        trades += [event.trade for event in one.step() if isinstance(event, Traded)]
    for trade in trades:
        amount = series.instrument.quote_amount(trade.price, trade.size)
        told.add(trade.time, trade.price, trade.size, amount, not trade.buyer_is_maker)
    total = sum(candle.volume for candle in series.candles(interval))
    assert total - known == sum(trade.size for trade in trades)
    for start in told.opens[1:]:  # the first candle also holds history
        assert series.candles(interval).at(start) == told.at(start)


def test_a_dormant_contract_is_an_empty_book_that_never_changes() -> None:
    one = pair("BBTCUSD-PERPETUAL")
    assert one.next_ms is None
    assert one.series.book.version == 34_719_093
    assert not one.series.book.bids and not one.series.book.asks
    assert not one.series.trades
