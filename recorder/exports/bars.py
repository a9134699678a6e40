"""Bars for backtesting.py, vectorbt, backtrader, pandas and ccxt, of any interval.

A bar is made of trades where coverage says that none is missing; where one may be missing, the venue's own candle
stands in, if REST confirmed it. What is left is a gap. A bar in which nobody traded is left out, as venues do; it is
no gap.

Files carry `Date` (open time, UTC) and `Open High Low Close Volume`: the names that backtesting.py wants, vectorbt
takes by default and backtrader finds in any case. A .json holds ccxt's lists instead.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Literal

import pandas as pd

from recorder.exports.coverage import Gap, OnGap, Plan, Stretch, moment, plan
from recorder.exports.errors import CoverageError, ExportError
from recorder.exports.exact import to_float
from recorder.exports.files import ExportedFile, ExportReport, numbered, whole
from recorder.exports.report import gaps_as_json, report_on
from recorder.exports.source import Latency, Source
from recorder.exports.times import to_datetime, to_ns
from recorder.lake.reader import Relation, quoted

Origin = Literal["trades", "klines"]
COLUMNS = "open_time, open, high, low, close, volume, quote_volume, trade_count, taker_buy_volume"
FRAME_NAMES = ("Open", "High", "Low", "Close", "Volume", "QuoteVolume", "TradeCount", "TakerBuyVolume")
Formats = dict[str, Callable[["pd.DataFrame", Path], None]]


@dataclass(frozen=True)
class Bar:
    """One bar, exact. Quote volume, count and taker's volume are None where the venue did not say."""

    open_time: datetime  # naive UTC
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal | None
    trade_count: int | None
    taker_buy_volume: Decimal | None


@dataclass
class Bars:
    """Bars in order, in runs between which something is missing, and what that is."""

    runs: list[list[Bar]]
    gaps: list[Gap]
    from_klines: int
    without_trades: int


def frame(bars: Sequence[Bar]) -> pd.DataFrame:
    """For backtesting.py, vectorbt and backtrader: a DatetimeIndex `Date` and doubles; no NaN in the first five."""
    columns = {
        name: [to_float(getattr(bar, field)) for bar in bars]
        for name, field in zip(FRAME_NAMES, COLUMNS.split(", ")[1:], strict=True)
        if field != "trade_count"
    }
    columns["TradeCount"] = [to_float(None if b.trade_count is None else Decimal(b.trade_count)) for b in bars]
    index = pd.DatetimeIndex([bar.open_time for bar in bars], name="Date")
    return pd.DataFrame({name: pd.Series(columns[name], index, "float64") for name in FRAME_NAMES}, index=index)


def ccxt_lists(bars: Sequence[Bar]) -> list[list[float]]:
    """What ccxt's fetch_ohlcv returns: [ms, open, high, low, close, volume]."""
    return [
        [to_ns(bar.open_time) // 1_000_000, *(float(v) for v in (bar.open, bar.high, bar.low, bar.close, bar.volume))]
        for bar in bars
    ]


def read_bars(source: Source, interval: str, origin: Origin | None = None, incomplete: bool = False) -> Bars:
    """The bars that [start, end) touches; at an open end those that coverage holds whole.

    `origin` None: trades, or klines where trades were never recorded. `incomplete` takes bars that a gap touches
    too, made of the trades that there are.
    """
    width(source, interval)
    found = _plan(source, origin)
    if origin is None:
        origin = "trades" if found[1] == "trade" else "klines"
    rows = _from_klines(source, interval, found[0]) if origin == "klines" else _from_trades(source, interval, found[0])
    if incomplete:
        partial = _partial(source, interval, rows[0][0], rows[-1][0]) if rows else {}
        rows = [
            (open_time, (partial[open_time], "partial") if state[0] is None and open_time in partial else state)
            for open_time, state in rows
        ]
    return _in_runs(rows, source, interval, "trade" if origin == "trades" else "kline")


def export_bars(
    source: Source,
    out: Path,
    interval: str = "1m",
    *,
    on_gap: OnGap = "refuse",
    origin: Origin | None = None,
    incomplete: bool = False,
) -> ExportReport:
    """Write `out`: .csv, .parquet, .feather, or .json (ccxt's lists). Raises CoverageError, ExportError."""
    if out.suffix not in FORMATS and out.suffix != ".json":
        raise ExportError(f"--out {out}: bars are written as {', '.join([*FORMATS, '.json'])}")
    bars = read_bars(source, interval, origin, incomplete)
    runs = chosen(bars, on_gap, f"bars {interval}, {source.what}")
    report = bars_report("bars", source, bars, out, on_gap, interval)
    for number, run in enumerate(runs, 1):
        path = numbered(out, number, on_gap == "split")
        with whole(path) as partial:
            if out.suffix == ".json":
                partial.write_text(json.dumps(ccxt_lists(run)))
            else:
                FORMATS[out.suffix](frame(run), partial)
        report.files.append(ExportedFile(path, len(run), to_ns(run[0].open_time), to_ns(run[-1].open_time)))
    return report.write("pandas")


def chosen(bars: Bars, on_gap: OnGap, what: str) -> list[list[Bar]]:
    """The runs to write, each a file. Raises CoverageError where `refuse` meets a gap, or where there is nothing."""
    if not any(bars.runs):
        raise CoverageError(f"{what}: not one bar of this range is whole; see `recorder coverage`", bars.gaps)
    if on_gap == "split":
        return bars.runs
    if on_gap == "refuse" and bars.gaps:
        first = "; ".join(str(gap) for gap in bars.gaps[:5])
        more = f"; and {len(bars.gaps) - 5} more" if len(bars.gaps) > 5 else ""
        raise CoverageError(
            f"{what}: bars are missing in {len(bars.gaps)} places: {first}{more}. Run `recorder backfill`, or pass "
            "--on-gap split (one file per clean stretch) or --on-gap ignore (leave those bars out)",
            bars.gaps,
        )
    return [[bar for run in bars.runs for bar in run]]


def inside(source: Source, bars: Sequence[Bar], interval: str, stretch: Stretch) -> Iterator[tuple[Bar, int]]:
    """The bars that lie wholly in a clean stretch, with their close in ns of the venue's clock."""
    length = width(source, interval)
    for number, bar in enumerate(bars):
        if length is not None:
            close_ns = to_ns(bar.open_time + length)
        elif number + 1 < len(bars):
            close_ns = to_ns(bars[number + 1].open_time)
        else:
            return  # the last month: when it closes nobody says
        if stretch.from_ns <= source.clock.ours(to_ns(bar.open_time)) and source.clock.ours(close_ns) <= stretch.to_ns:
            yield bar, close_ns


def bars_report(target: str, source: Source, bars: Bars, out: Path, on_gap: OnGap, interval: str) -> ExportReport:
    low = source.start_ns if source.start_ns is not None else to_ns(bars.runs[0][0].open_time)
    empty = Plan([], bars.gaps, None, source.clock.ours(low), source.clock.ours(source.end_ns or low))
    report = report_on(target, source, empty, out, on_gap, Latency(0, None, None, None), 0)
    report.range = {name: report.range[name] for name in ("from", "to")} | {"interval": interval}
    report.gaps = gaps_as_json(bars.gaps)
    report.latency = {}
    report.notes = [note for note in report.notes if "clock" not in note]
    report.counts = {
        "bars": sum(len(run) for run in bars.runs),
        "bars_from_klines": bars.from_klines,
        "bars_without_trades_left_out": bars.without_trades,
    }
    return report


def width(source: Source, interval: str) -> timedelta | None:
    """How long a bar is; None for months. Raises ExportError for text that is no interval."""
    try:
        found = source.lake.sql(f"SELECT bar_width({quoted(interval)})").fetchall()[0][0]
    except Exception as error:  # duckdb's errors are the lake's matter
        raise ExportError(f"--interval {interval}: no such interval; write it as 1s 5m 1h 1d 1w 1M") from error
    if interval == "1M":
        return None
    if not isinstance(found, timedelta) or found <= timedelta(0):
        raise ExportError(f"--interval {interval}: no such interval; write it as 1s 5m 1h 1d 1w 1M")
    return found


Row = tuple[datetime, tuple[Bar | None, str]]  # a bar; or None with why: 'empty' or 'missing'


def _plan(source: Source, origin: Origin | None) -> tuple[Plan, str]:
    channels = {"trades": ("trade",), "klines": ("kline",), None: ("trade", "kline")}[origin]
    for number, channel in enumerate(channels):
        try:
            found = plan(
                source.lake, source.venue, source.symbol, (channel,), source.clock, source.start_ns, source.end_ns
            )
        except CoverageError:
            if number == len(channels) - 1:
                raise
        else:
            return found, channel
    raise AssertionError("there is always a channel")


def _from_trades(source: Source, interval: str, found: Plan) -> list[Row]:
    low, high = _range(source, found)
    relation = source.lake.ohlcv(source.symbol, interval, low, high)
    bars: list[Row] = []
    missing = []
    for *values, complete in _of_venue(source, relation, COLUMNS + ", complete").fetchall():
        traded = values[4] is not None
        bars.append((values[0], (Bar(*values) if complete and traded else None, "empty" if complete else "missing")))
        if not complete:
            missing.append(values[0])
    confirmed = _confirmed(source, interval, missing[0], missing[-1]) if missing else {}
    return [
        (open_time, (confirmed[open_time], "kline") if state == (None, "missing") and open_time in confirmed else state)
        for open_time, state in bars
    ]


def _from_klines(source: Source, interval: str, found: Plan) -> list[Row]:
    low, high = _range(source, found)
    relation = source.lake.klines(source.symbol, interval, low, high)
    told = {
        row[0]: (Bar(*row[:-2]), row[-2], row[-1])
        for row in _of_venue(source, relation, COLUMNS + ", is_final, confirmed_by").fetchall()
    }
    if not told:
        raise ExportError(f"{source.what}: no {interval} candles in this range; add it to [record] kline_intervals")
    grid = source.lake.sql(
        f"SELECT unnest(generate_series(time_bucket(bar_width({quoted(interval)}), {moment(to_ns(low))}), "
        f"{moment(to_ns(high) - 1000)}, bar_width({quoted(interval)}))) AS open_time"
    )
    opens = [row[0] for row in grid.fetchall()]
    ends = [*opens[1:], opens[-1] + (opens[-1] - opens[-2] if len(opens) > 1 else timedelta(0))]
    rows: list[Row] = []
    for open_time, end in zip(opens, ends, strict=True):
        bar, is_final, by = told.get(open_time, (None, False, None))
        first, last = source.clock.ours(to_ns(open_time)), source.clock.ours(to_ns(end))
        broken = any(gap.to_ns > first and gap.from_ns < last for gap in found.gaps)
        if bar is not None and (by == "rest" or (is_final and not broken)):
            rows.append((open_time, (bar, "kline")))
        else:
            rows.append((open_time, (None, "empty" if bar is None and not broken else "missing")))
    return rows


def _range(source: Source, found: Plan) -> tuple[datetime, datetime]:
    """The range; an open end is where coverage ends, by the venue's clock."""
    low = source.start_ns if source.start_ns is not None else source.clock.venues(found.from_ns)
    high = source.end_ns if source.end_ns is not None else source.clock.venues(found.to_ns)
    return to_datetime(low), to_datetime(high)


def _confirmed(source: Source, interval: str, first: datetime, last: datetime) -> dict[datetime, Bar]:
    """Candles that REST confirmed, by open time."""
    relation = source.lake.klines(source.symbol, interval, first, last + timedelta(microseconds=1))
    rows = _of_venue(source, relation.filter("confirmed_by = 'rest'"), COLUMNS).fetchall()
    return {row[0]: Bar(*row) for row in rows}


def _partial(source: Source, interval: str, first: datetime, last: datetime) -> dict[datetime, Bar]:
    """Bars of the trades that there are, whatever may be missing; `first` and `last` are open times."""
    order = "ORDER BY exchange_time, trade_id, seq, idx"
    end = last + (width(source, interval) or timedelta(days=31))
    trades = source.lake.trades(source.symbol, first, end).filter(f"venue = {quoted(source.venue)}")
    rows = trades.aggregate(
        f"time_bucket(bar_width({quoted(interval)}), exchange_time) AS open_time, first(price {order}), max(price), "
        f"min(price), last(price {order}), sum(size), sum(price * size), count(*), "
        "coalesce(sum(size) FILTER (NOT buyer_is_maker), 0)",
        f"time_bucket(bar_width({quoted(interval)}), exchange_time)",
    ).fetchall()
    return {row[0]: Bar(*row) for row in rows}


def _of_venue(source: Source, relation: Relation, columns: str) -> Relation:
    return relation.filter(f"venue = {quoted(source.venue)}").project(columns)


def _in_runs(rows: list[Row], source: Source, interval: str, channel: str) -> Bars:
    """Cut at what is missing; at an open end of the range it is no gap that the first or last bar is not whole."""
    there = [number for number, (_, (bar, _)) in enumerate(rows) if bar is not None]
    if there:
        if source.end_ns is None and any(map(_missing, rows[there[-1] :])):
            rows = rows[: there[-1] + 1]
        if source.start_ns is None and any(map(_missing, rows[: there[0]])):
            rows = rows[there[0] :]
    length = width(source, interval) or timedelta(days=28)
    runs: list[list[Bar]] = []
    gaps = []
    for is_missing, group in groupby(rows, key=_missing):
        found = list(group)
        if is_missing:
            low, high = to_ns(found[0][0]), to_ns(found[-1][0] + length)
            gaps.append(Gap(channel, source.clock.ours(low), source.clock.ours(high), f"{len(found)} bars missing"))
        else:
            run = [bar for _, (bar, _) in found if bar is not None]
            runs += [run] if run else []
    states = [state for _, state in rows]
    from_klines = sum(why == "kline" for bar, why in states if bar is not None)
    return Bars(runs, gaps, from_klines, sum(state == (None, "empty") for state in states))


def _missing(row: Row) -> bool:
    return row[1] == (None, "missing")


def _write_csv(bars: pd.DataFrame, path: Path) -> None:
    bars.to_csv(path, date_format="%Y-%m-%d %H:%M:%S")


def _write_parquet(bars: pd.DataFrame, path: Path) -> None:
    bars.to_parquet(path)


def _write_feather(bars: pd.DataFrame, path: Path) -> None:
    bars.reset_index().to_feather(path)


FORMATS: Formats = {".csv": _write_csv, ".parquet": _write_parquet, ".feather": _write_feather}
