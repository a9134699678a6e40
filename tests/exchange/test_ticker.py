import random

from recorder.exchange.ticker import DAY, Day, Ticker


def test_without_a_trade_there_is_no_ticker() -> None:
    assert Ticker().day(0) is None


def test_the_window_equals_a_count_over_all_trades() -> None:
    chooser = random.Random(1)
    ticker, trades, time = Ticker(), [], 0
    for _ in range(400):
        time += chooser.randrange(1, 900_000)
        trade = (time, chooser.randrange(90, 110), chooser.randrange(1, 9), chooser.randrange(1, 99))
        trades.append(trade)
        ticker.add(*trade)
        inside = [one for one in trades if one[0] >= time - DAY]
        prices = [one[1] for one in inside]
        assert ticker.day(time) == Day(
            time, prices[0], max(prices), min(prices), prices[-1],
            sum(one[2] for one in inside), sum(one[3] for one in inside),
        )  # fmt: skip


def test_a_day_without_trades_is_flat_at_the_last_price() -> None:
    ticker = Ticker()
    ticker.add(1000, 100, 5, 500)
    assert ticker.day(1000 + DAY + 1) == Day(1000, 100, 100, 100, 100, 0, 0)
