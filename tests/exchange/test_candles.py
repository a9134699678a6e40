import pytest

from recorder.exchange.candles import INTERVALS, Candle, Candles, open_time

T = 1_790_128_268_345  # Wednesday 2026-09-23 01:11:08 UTC


@pytest.mark.parametrize(
    ("interval", "opened"),
    [
        ("1m", 1_790_128_260_000),
        ("15m", 1_790_127_900_000),
        ("1h", 1_790_125_200_000),
        ("1d", 1_790_121_600_000),
        ("1w", 1_789_948_800_000),  # Monday
        ("1M", 1_788_220_800_000),  # 1 September
    ],
)
def test_a_candle_opens_on_its_utc_boundary(interval: str, opened: int) -> None:
    assert open_time(interval, T) == opened
    assert open_time(interval, opened) == opened
    assert open_time(interval, opened - 1) < opened


def test_a_candle_is_its_trades() -> None:
    candles = Candles("1m")
    candles.add(T, 100, 2, 200, True)
    candles.add(T + 1, 103, 1, 103, False)
    candle = candles.add(T + 2, 99, 1, 99, True)
    assert candle == Candle(open_time("1m", T), 100, 103, 99, 99, 4, 402, 3, 3, 299)


def test_a_quiet_candle_is_flat_at_the_close_before_it() -> None:
    candles = Candles("1m")
    candles.add(T, 100, 2, 200, True)
    later = candles.current(T + 180_000)
    assert later is not None
    assert (later.open, later.close, later.volume, later.count) == (100, 100, 0, 0)


def test_before_the_first_trade_there_is_no_candle() -> None:
    candles = Candles("1m")
    assert candles.current(T) is None
    candles.add(T, 100, 2, 200, True)
    assert candles.at(open_time("1m", T) - 60_000) is None


def test_a_trade_stamped_ahead_of_the_clock_opens_its_candle() -> None:
    candles = Candles("1m")
    candles.add(T + 60_000, 100, 2, 200, True)
    current = candles.current(T)
    assert current is not None
    assert current.open_time == open_time("1m", T + 60_000)


def test_the_newest_candles_before_an_end_include_quiet_ones() -> None:
    candles = Candles("1m")
    candles.add(T, 100, 2, 200, True)
    candles.add(T + 180_000, 101, 1, 101, True)
    assert [candle.count for candle in candles.last(10, T + 240_000)] == [1, 0, 0, 1, 0]
    assert [candle.count for candle in candles.last(2, T + 240_000)] == [1, 0]
    assert [candle.count for candle in candles.last(10, T + 60_000, start=T + 1)] == [0]


@pytest.mark.parametrize("interval", INTERVALS)
def test_coarse_candles_made_late_equal_those_made_trade_by_trade(interval: str) -> None:
    minutes, direct = Candles("1m"), Candles(interval)
    for step in range(500):
        for candles in (minutes, direct):
            candles.add(T + step * 977_001, 100 + step * 7919 % 31, 1 + step % 5, 3, step % 3 == 0)
    assert list(Candles(interval, minutes)) == list(direct)
