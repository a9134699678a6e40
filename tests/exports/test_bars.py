"""Bars are the trades', exactly; the libraries that want bars run on them."""

import importlib
import json
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import backtrader
import numba
import pandas as pd
import pytest

from recorder import open_lake
from recorder.exports import CoverageError, ExportError, export
from recorder.exports.bars import ccxt_lists, frame, read_bars
from recorder.exports.source import open_source
from tests.exports.lakes import START, Made, market_lake, own_event
from tests.lake.helpers import Row, candle, write

TEN = timedelta(seconds=10)
FIRST = START.replace(tzinfo=None)


def expected(made: Made, width: timedelta = TEN) -> Iterator[tuple[Any, ...]]:
    """Bars by the plainest means: open time, open, high, low, close, volume, trades."""
    for number, group in groupby(made.trades, key=lambda row: (row["exchange_time"] - FIRST) // width):
        rows = sorted(group, key=lambda row: (row["exchange_time"], row["trade_id"]))
        prices = [row["price"] for row in rows]
        volume = sum(row["size"] for row in rows)
        yield FIRST + number * width, prices[0], max(prices), min(prices), prices[-1], volume, len(rows)


def test_a_bar_is_made_of_its_trades_exactly(whole_lake: Made) -> None:
    source = open_source(whole_lake.path, whole_lake.symbol, None, None, None)
    (run,) = read_bars(source, "10s").runs
    made = [(bar.open_time, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trade_count) for bar in run]
    assert made == list(expected(whole_lake))


def test_any_interval_and_whole_bars_only(whole_lake: Made) -> None:
    source = open_source(whole_lake.path, whole_lake.symbol, None, None, None)
    for interval, seconds in (("7s", 7), ("1m", 60), ("50s", 50)):
        (run,) = read_bars(source, interval).runs
        assert run
        for bar in run:
            assert bar.open_time.timestamp() % seconds == 0 or interval == "7s"
            assert FIRST <= bar.open_time <= FIRST + timedelta(seconds=120 - seconds)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".feather"])
def test_a_file_reads_back_as_the_frame(whole_lake: Made, out: Path, suffix: str) -> None:
    path = out / f"bars{suffix}"
    export("bars", whole_lake.path, whole_lake.symbol, out=path, interval="10s", progress=False)
    read = {
        ".csv": lambda: pd.read_csv(path, index_col=0, parse_dates=True),
        ".parquet": lambda: pd.read_parquet(path),
        ".feather": lambda: pd.read_feather(path).set_index("Date"),
    }[suffix]()
    source = open_source(whole_lake.path, whole_lake.symbol, None, None, None)
    made = frame(read_bars(source, "10s").runs[0])
    pd.testing.assert_frame_equal(
        read, made, check_exact=True, check_freq=False, check_index_type=False, check_dtype=False
    )


def test_json_holds_the_lists_of_ccxt(whole_lake: Made, out: Path) -> None:
    export("bars", whole_lake.path, whole_lake.symbol, out=out / "bars.json", interval="10s", progress=False)
    lists = json.loads((out / "bars.json").read_text())
    source = open_source(whole_lake.path, whole_lake.symbol, None, None, None)
    assert lists == ccxt_lists(read_bars(source, "10s").runs[0])
    first = next(expected(whole_lake))
    assert lists[0] == [int(START.timestamp() * 1000), *(float(value) for value in first[1:6])]


def test_bars_that_a_gap_touches_are_refused_split_around_or_left_out(broken_lake: Made, out: Path) -> None:
    lake, symbol = broken_lake.path, broken_lake.symbol
    with pytest.raises(CoverageError, match=r"missing in 2 places.*2 bars missing.*--on-gap split"):
        export("bars", lake, symbol, out=out / "bars.csv", interval="10s", progress=False)
    report = export("bars", lake, symbol, out=out / "bars.csv", interval="10s", on_gap="split", progress=False)
    opens = [list(pd.read_csv(file.path, index_col=0, parse_dates=True).index) for file in report.files]
    assert [file.path.name for file in report.files] == ["bars-001.csv", "bars-002.csv", "bars-003.csv"]
    assert opens == [
        [FIRST, FIRST + TEN, FIRST + 2 * TEN],
        [FIRST + 5 * TEN, FIRST + 6 * TEN, FIRST + 7 * TEN],
        [FIRST + 9 * TEN, FIRST + 10 * TEN, FIRST + 11 * TEN],
    ]
    export("bars", lake, symbol, out=out / "bars.csv", interval="10s", on_gap="ignore", progress=False)
    assert len(pd.read_csv(out / "bars.csv")) == 9


def test_bars_that_are_not_whole_come_when_asked_for(broken_lake: Made) -> None:
    source = open_source(broken_lake.path, broken_lake.symbol, None, None, None)
    bars = read_bars(source, "10s", incomplete=True)
    made = {bar.open_time: bar.trade_count for run in bars.runs for bar in run}
    assert made == {row[0]: row[6] for row in expected(broken_lake)}


def test_a_candle_that_rest_confirmed_stands_in_for_a_bar_with_a_gap(tmp_path: Path, out: Path) -> None:
    made = market_lake(tmp_path / "lake", seconds=300, gaps=[(70, 75), (130, 135)])
    seen: Row = {"symbol": made.symbol, "source": "rest"}
    confirmed = candle(100_001, 310, 60, "123.45", **seen)
    provisional = candle(100_002, 125, 120, "99", **seen | {"source": "ws_v1"})
    write(made.path, "kline", [confirmed, provisional])
    source = open_source(made.path, made.symbol, None, None, None)
    bars = read_bars(source, "1m")
    opens = {bar.open_time: bar.close for run in bars.runs for bar in run}
    assert opens[FIRST + timedelta(minutes=1)] == Decimal("123.45")
    assert FIRST + timedelta(minutes=2) not in opens
    assert bars.from_klines == 1
    assert len(bars.gaps) == 1


def test_final_candles_alone_make_bars_where_trades_were_not_recorded(tmp_path: Path) -> None:
    made = market_lake(tmp_path / "lake", seconds=10)
    candles = [
        candle(200_000 + n, 60 * n + 59.9, 60 * n, f"{100 + n}", symbol="ETHUSD", source="ws_v1") for n in range(5)
    ]
    write(made.path, "kline", candles)
    session = [own_event(0, "live", "ETHUSD", "kline", 300_000), own_event(400, "stop", "", "", 300_001)]
    write(made.path, "session", session)
    source = open_source(made.path, "ETHUSD", None, None, None)
    (run,) = read_bars(source, "1m").runs
    assert [bar.close for bar in run] == [Decimal(100 + n) for n in range(4)]  # the fifth is not final


def test_a_bar_without_trades_is_left_out_and_counted(tmp_path: Path, out: Path) -> None:
    made = market_lake(tmp_path / "lake", seconds=60, rate=0.2)
    report = export("bars", made.path, made.symbol, out=out / "b.csv", interval="1s", progress=False)
    seconds = {(row["exchange_time"] - FIRST) // timedelta(seconds=1) for row in made.trades}
    assert report.counts["bars"] == len(seconds) < 60
    assert report.counts["bars_without_trades_left_out"] == 60 - len(seconds)


@pytest.mark.parametrize("interval", ["bogus", "0s", "-1m", "1 furlong"])
def test_a_wrong_interval_says_how_to_write_one(whole_lake: Made, out: Path, interval: str) -> None:
    with pytest.raises(ExportError, match="write it as 1s 5m"):
        export("bars", whole_lake.path, whole_lake.symbol, out=out / "b.csv", interval=interval, progress=False)


def test_bars_outside_of_what_was_recorded_are_a_gap(whole_lake: Made, out: Path) -> None:
    with pytest.raises(CoverageError, match="bars missing"):
        export("bars", whole_lake.path, whole_lake.symbol, "2026-03-01T11:59", None, out / "b.csv", progress=False)


def test_the_frame_of_a_perpetual_says_contracts(capture: Made, out: Path) -> None:
    report = export("bars", capture.path, capture.symbol, out=out / "b.csv", interval="10s", progress=False)
    assert any("contracts" in note for note in report.notes)


def test_backtesting_py_runs_on_the_file(whole_lake: Made, out: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it advises on notebooks
        import backtesting
    export("bars", whole_lake.path, whole_lake.symbol, out=out / "b.csv", interval="1s", progress=False)
    bars = pd.read_csv(out / "b.csv", index_col=0, parse_dates=True)

    class Momentum(backtesting.Strategy):  # type: ignore[misc]
        def init(self) -> None:
            self.mean = self.I(lambda close: pd.Series(close).rolling(5).mean(), self.data.Close)

        def next(self) -> None:
            if self.data.Close[-1] > self.mean[-1] and not self.position:
                self.buy(size=1)
            elif self.data.Close[-1] < self.mean[-1]:
                self.position.close()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stats = backtesting.Backtest(bars, Momentum, cash=10_000_000).run()
    assert stats["# Trades"] > 3
    assert stats["Start"] == bars.index[0]


def test_backtrader_runs_on_the_file(whole_lake: Made, out: Path) -> None:
    export("bars", whole_lake.path, whole_lake.symbol, out=out / "b.csv", interval="1s", progress=False)
    bars = pd.read_csv(out / "b.csv", index_col=0, parse_dates=True)

    class Watcher(backtrader.Strategy):  # type: ignore[misc]
        def __init__(self) -> None:
            self.seen: list[tuple[datetime, float, float]] = []

        def next(self) -> None:
            self.seen.append((self.data.datetime.datetime(), self.data.close[0], self.data.volume[0]))

    cerebro = backtrader.Cerebro()
    cerebro.adddata(backtrader.feeds.PandasData(dataname=bars))
    cerebro.addstrategy(Watcher)
    (watcher,) = cerebro.run()
    assert watcher.seen == list(zip(list(bars.index), bars["Close"], bars["Volume"], strict=True))


@pytest.mark.slow
def test_vectorbt_runs_on_the_file(whole_lake: Made, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)  # compiling takes longer than running
    vectorbt = importlib.import_module("vectorbt")
    monkeypatch.setitem(vectorbt.settings["numba"], "check_func_type", False)
    export("bars", whole_lake.path, whole_lake.symbol, out=out / "b.parquet", interval="1s", progress=False)
    bars = pd.read_parquet(out / "b.parquet")
    fast, slow = bars["Close"].rolling(3).mean(), bars["Close"].rolling(9).mean()
    portfolio = vectorbt.Portfolio.from_signals(bars["Close"], fast > slow, fast < slow, init_cash=1e6, freq="1s")
    assert portfolio.trades.count() > 3
    assert (bars.vbt.ohlcv.close == bars["Close"]).all()


def test_the_lake_agrees(whole_lake: Made) -> None:
    rows = open_lake(whole_lake.path).ohlcv(whole_lake.symbol, "10s").fetchall()
    assert len(rows) >= 12
    assert isinstance(rows[0][2], datetime)
