"""Files that freqtrade's feather handler finds by their names: candles and trades of one pair.

    out/BTC_USD-1m.feather              out/futures/BTC_USDT_USDT-1m-futures.feather
    out/BTC_USD-trades.feather          out/futures/BTC_USDT_USDT-trades.feather

`out` is what freqtrade calls datadir, `user_data/data/hashkey`. Amounts of contracts are in the base currency, as
freqtrade counts. It fills minutes without trades itself.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from recorder.exports.bars import Bar, bars_report, chosen, inside, read_bars
from recorder.exports.coverage import OnGap, Stretch, judge, plan
from recorder.exports.errors import CoverageError, ExportError
from recorder.exports.exact import Places
from recorder.exports.files import ExportedFile, ExportReport, numbered_folder, whole
from recorder.exports.progress import steps
from recorder.exports.source import Source, Trades
from recorder.exports.times import to_ns

TRADES = pa.schema(
    [
        ("timestamp", pa.int64()),
        ("id", pa.string()),
        ("type", pa.string()),
        ("side", pa.string()),
        ("price", pa.float64()),
        ("amount", pa.float64()),
        ("cost", pa.float64()),
    ]
)
TIMEFRAME_FILES = {"1M": "1Mo"}  # for file systems that do not tell M from m


def export_freqtrade(
    source: Source, out: Path, interval: str = "1m", *, on_gap: OnGap = "refuse", progress: bool = True
) -> ExportReport:
    """Write candles and, where they were recorded, trades below `out`. Raises CoverageError, ExportError."""
    what = f"freqtrade {interval}, {source.what}"
    bars = read_bars(source, interval)
    runs = chosen(bars, on_gap, what)
    report = bars_report("freqtrade", source, bars, out, on_gap, interval)
    instrument = source.instrument()
    if not instrument:
        raise ExportError(f"{source.what}: exchangeInfo was never recorded for it, so its pair has no name")
    multiplier = instrument.get("contract_multiplier") or Decimal(1)
    stem = pair_stem(instrument)
    candle_name = f"{stem}-{TIMEFRAME_FILES.get(interval, interval)}{_kind(instrument)}.feather"
    try:
        found = plan(source.lake, source.venue, source.symbol, ("trade",), source.clock, source.start_ns, source.end_ns)
    except CoverageError:
        report.notes.append("trades were never recorded: candles only")
        for number, run in enumerate(runs, 1):
            _write_candles(numbered_folder(out, number, on_gap == "split") / candle_name, run, multiplier, report)
        return report.write("pandas")
    source.begin(found)
    every = [bar for run in runs for bar in run]
    for number, stretch in enumerate(judge(found, on_gap, source.clock, what), 1):
        folder = numbered_folder(out, number, on_gap == "split")
        run = [bar for bar, _ in inside(source, every, interval, stretch)] if on_gap == "split" else every
        _write_candles(folder / candle_name, run, multiplier, report)
        _write_trades(
            source, source.bounds(found, stretch), folder / f"{stem}-trades.feather", multiplier, report, progress
        )
    return report.write("pandas")


def pair_stem(instrument: dict[str, Any]) -> str:
    """BASE_QUOTE; contracts have their settlement currency too, and a folder of their own."""
    pair = f"{instrument['base']}_{instrument['quote']}"
    if instrument["kind"] != "perpetual":
        return pair
    settled_in = json.loads(instrument["raw"] or "{}").get("marginToken") or instrument["quote"]
    return f"futures/{pair}_{settled_in}"


def candles(bars: list[Bar], multiplier: Decimal) -> pd.DataFrame:
    """date (UTC), open, high, low, close, volume."""
    columns = {name: [float(getattr(bar, name)) for bar in bars] for name in ("open", "high", "low", "close")}
    columns["volume"] = [float(bar.volume * multiplier) for bar in bars]
    dates = pd.DatetimeIndex([bar.open_time for bar in bars]).tz_localize("UTC").as_unit("ms")
    return pd.DataFrame({"date": dates, **columns})


def _kind(instrument: dict[str, Any]) -> str:
    return "-futures" if instrument["kind"] == "perpetual" else ""


def _write_candles(path: Path, bars: list[Bar], multiplier: Decimal, report: ExportReport) -> None:
    if bars:
        with whole(path) as partial:
            candles(bars, multiplier).to_feather(partial, compression="lz4")
        report.files.append(ExportedFile(path, len(bars), to_ns(bars[0].open_time), to_ns(bars[-1].open_time)))


def _write_trades(
    source: Source, bounds: Stretch, path: Path, multiplier: Decimal, report: ExportReport, progress: bool
) -> None:
    windows = source.windows(bounds, "trade")
    if not windows:
        return
    rows, first_ns, last_ns = 0, 0, 0
    with whole(path) as partial, pa.OSFile(str(partial), "wb") as sink:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(sink, TRADES, options=options) as writer:
            for low, high in steps(windows, f"freqtrade {source.symbol} trades", progress):
                trades = source.trades(bounds, low, high)
                if len(trades):
                    writer.write_batch(_batch(trades, source, multiplier))
                    rows += len(trades)
                    first_ns = first_ns or int(trades.exchange_ns[0])
                    last_ns = int(trades.exchange_ns[-1])
    report.files.append(ExportedFile(path, rows, first_ns, last_ns))


def _batch(trades: Trades, source: Source, multiplier: Decimal) -> pa.RecordBatch:
    price = source.scales.price.floats(trades.price)
    amount = _in_base(trades, source, multiplier)
    columns = [
        trades.exchange_ns // 1_000_000,
        [None if trade_id is None else str(trade_id) for trade_id in trades.trade_id],
        pa.nulls(len(trades), pa.string()),
        np.where(trades.bought, "buy", "sell"),
        price,
        amount,
        price * amount,
    ]
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, TRADES, strict=True)], schema=TRADES
    )


def _in_base(trades: Trades, source: Source, multiplier: Decimal) -> Any:
    """Sizes times the multiplier, exact until the last step."""
    exponent = max(0, -int(multiplier.normalize().as_tuple().exponent))
    places = Places(source.scales.size.places + exponent)
    return places.floats(trades.size * int(multiplier.scaleb(exponent)))
