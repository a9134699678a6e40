"""Names, columns and types that freqtrade's feather handler reads.

freqtrade has eighty dependencies of its own, so it lives in a venv of its own: `make freqtrade` sets that up and runs
the test in which its data handler reads our files. Everywhere the files are held against its format, and, where its
fixtures are at hand, types against theirs.
"""

import json
import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from recorder.exports import CoverageError, export
from tests.exports.lakes import CAPTURES, Made

FIXTURES = CAPTURES.parent / "freqtrade"
CANDLES = ["date", "open", "high", "low", "close", "volume"]
PYTHON = os.environ.get("FREQTRADE_PYTHON", "")  # an interpreter that has freqtrade
HANDLER = """
import json, sys
from pathlib import Path
from freqtrade.data.converter import trades_to_ohlcv
from freqtrade.data.history.datahandlers import get_datahandler
from freqtrade.enums import CandleType
folder, pair, kind = Path(sys.argv[1]), sys.argv[2], CandleType(sys.argv[3])
handler = get_datahandler(folder, "feather")
candles = handler.ohlcv_load(pair, "10s", candle_type=kind, fill_missing=False, drop_incomplete=False)
trades = handler.trades_load(pair, "futures" if kind == CandleType.FUTURES else "spot")
made = trades_to_ohlcv(trades, "10s")
rows = lambda bars: [[int(row[0].timestamp()), *row[1:]] for row in bars[list(candles)].itertuples(index=False)]
print(json.dumps({"candles": rows(candles), "made": rows(made), "trades": len(trades)}))
"""
TRADES = ["timestamp", "id", "type", "side", "price", "amount", "cost"]


def test_candles_are_found_by_name_and_have_its_columns(whole_lake: Made, out: Path) -> None:
    export("freqtrade", whole_lake.path, whole_lake.symbol, out=out, progress=False)
    candles = pd.read_feather(out / "BTC_USD-1m.feather")
    assert list(candles.columns) == CANDLES
    assert str(candles["date"].dtype) == "datetime64[ms, UTC]"
    assert list(candles["date"]) == list(pd.date_range("2026-03-01 12:00", periods=2, freq="1min", tz="UTC"))
    assert float(candles["volume"].sum()) == pytest.approx(float(sum(row["size"] for row in whole_lake.trades)))


def test_trades_are_found_by_name_and_have_its_columns(whole_lake: Made, out: Path) -> None:
    export("freqtrade", whole_lake.path, whole_lake.symbol, out=out, progress=False)
    trades = pd.read_feather(out / "BTC_USD-trades.feather")
    assert list(trades.columns) == TRADES
    rows = whole_lake.trades
    assert list(trades["id"]) == [str(row["trade_id"]) for row in rows]
    assert list(trades["side"]) == ["sell" if row["buyer_is_maker"] else "buy" for row in rows]
    assert list(trades["price"]) == [float(row["price"]) for row in rows]
    assert list(trades["amount"]) == [float(row["size"]) for row in rows]
    assert (trades["cost"] == trades["price"] * trades["amount"]).all()
    assert trades["timestamp"].dtype == "int64"
    assert trades["type"].isna().all()


def test_contracts_live_in_their_folder_and_count_in_base(capture: Made, out: Path) -> None:
    export("freqtrade", capture.path, capture.symbol, out=out, interval="10s", progress=False)
    assert (out / "futures" / "ETH_USD_USD-10s-futures.feather").is_file()
    trades = pd.read_feather(out / "futures" / "ETH_USD_USD-trades.feather")
    assert list(trades["amount"]) == [float(row["size"] * 10) for row in capture.trades]


def test_gaps_are_refused_or_split_into_folders(broken_lake: Made, out: Path) -> None:
    lake, symbol = broken_lake.path, broken_lake.symbol
    with pytest.raises(CoverageError, match="--on-gap split"):
        export("freqtrade", lake, symbol, out=out, interval="10s", progress=False)
    export("freqtrade", lake, symbol, out=out, interval="10s", on_gap="split", progress=False)
    for number, (candles, first, last) in enumerate(((3, 0, 30), (3, 40.05, 80), (3, 81, 120)), 1):
        folder = out / f"{number:03d}"
        assert len(pd.read_feather(folder / "BTC_USD-10s.feather")) == candles
        seconds = (
            pd.read_feather(folder / "BTC_USD-trades.feather")["timestamp"] - broken_lake.start_ns // 1_000_000
        ) / 1e3
        assert first - 0.2 <= seconds.min() <= seconds.max() <= last


def test_a_month_has_the_name_that_freqtrade_gives_it(whole_lake: Made, out: Path) -> None:
    with pytest.raises(CoverageError, match="not one bar"):
        export("freqtrade", whole_lake.path, whole_lake.symbol, out=out, interval="1M", progress=False)


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="freqtrade's fixtures are not on this machine")
def test_types_are_those_of_its_own_files(whole_lake: Made, out: Path) -> None:
    export("freqtrade", whole_lake.path, whole_lake.symbol, out=out, progress=False)
    theirs = pd.read_feather(FIXTURES / "UNITTEST_BTC-1m.feather")
    ours = pd.read_feather(out / "BTC_USD-1m.feather")
    assert list(ours.columns) == list(theirs.columns)
    assert list(ours.dtypes[1:]) == list(theirs.dtypes[1:])
    trades = pd.read_parquet(FIXTURES / "XRP_ETH-trades.parquet")
    mine = pd.read_feather(out / "BTC_USD-trades.feather")
    assert list(mine.columns) == list(trades.columns)
    assert list(mine.dtypes) == list(trades.dtypes)


@pytest.mark.skipif(not PYTHON, reason="freqtrade has a venv of its own: `make freqtrade` runs this")
@pytest.mark.parametrize(
    ("lake", "pair", "kind"), [("whole_lake", "BTC/USD", "spot"), ("capture", "ETH/USD:USD", "futures")]
)
def test_its_own_data_handler_reads_them_and_makes_the_same_candles_of_the_trades(
    lake: str, pair: str, kind: str, out: Path, request: pytest.FixtureRequest
) -> None:
    made: Made = request.getfixturevalue(lake)
    report = export("freqtrade", made.path, made.symbol, out=out, interval="10s", progress=False)
    told = subprocess.run([PYTHON, "-c", HANDLER, str(out), pair, kind], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    read = json.loads(told.stdout.splitlines()[-1])
    assert len(read["candles"]) == report.files[0].rows > 1
    assert read["trades"] == report.files[1].rows == len(made.trades)
    by_time = {row[0]: row[1:] for row in read["made"]}
    for at, *values in read["candles"]:
        assert values == pytest.approx(by_time[at])
