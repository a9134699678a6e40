"""Pictures of what the lake holds: coverage, candles, a book. Each takes a data frame and gives a figure.

Figures are made without pyplot, so that nothing needs a display and nothing is kept open.
"""

from io import BytesIO
from typing import Any

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from recorder.errors import LakeError

STATUS_COLOURS = {"ok": "#4c9f70", "healed": "#9fd3b6", "gap": "#d1495b", "not_recording": "#d0d0d0"}
BID, ASK = "#2a9d8f", "#e76f51"
GRID = "#e6e6e6"
INCOMPLETE = "#f3f3f3"


class Picture(Figure):
    """A figure that a notebook shows when it is a cell's value. `savefig(path)` keeps it."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def coverage(intervals: pd.DataFrame) -> Picture:
    """Streams (a row each) against time, coloured by status."""
    if intervals.empty:
        raise LakeError("coverage: no stream was live in this time; see `recorder status`")
    streams = list(intervals.groupby(["channel", "symbol", "venue"], sort=True))
    figure, axes = _frame(9, 1.2 + 0.28 * len(streams))
    for row, (_, group) in enumerate(streams):
        begin = _days(group["from_time"])
        width = _days(group["to_time"]) - begin
        colours = [STATUS_COLOURS[status] for status in group["status"]]
        axes.broken_barh(list(zip(begin, width, strict=True)), (row - 0.4, 0.8), facecolors=colours)
    axes.set_yticks(range(len(streams)), [f"{channel}  {symbol}" for (channel, symbol, _), _ in streams])
    axes.set_ylim(len(streams) - 0.5, -0.5)
    axes.grid(axis="x", color=GRID)
    _time_axis(axes)
    axes.set_title("Coverage", loc="left")
    present = set(intervals["status"])
    shown = [Patch(color=colour, label=status) for status, colour in STATUS_COLOURS.items() if status in present]
    axes.legend(handles=shown, ncols=4, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    return figure


def candles(bars: pd.DataFrame, title: str) -> Picture:
    """Candles above volume; time that is not known to be whole is shaded."""
    if bars.empty:
        raise LakeError(f"{title}: no bars in this time; see lake.coverage()")
    figure = Picture(figsize=(10, 5.5), layout="constrained")
    price, volume = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    for axes in (price, volume):
        _plain(axes)
    step = (bars["open_time"].iloc[1] - bars["open_time"].iloc[0]) if len(bars) > 1 else pd.Timedelta(minutes=1)
    width = step / pd.Timedelta(days=1)
    for at in _days(bars.loc[~bars["complete"], "open_time"]):
        for axes in (price, volume):
            axes.axvspan(at, at + width, color=INCOMPLETE, zorder=0)
    traded = bars.dropna(subset=["open"])
    o, h, l, c = (traded[name].astype(float).to_numpy() for name in ("open", "high", "low", "close"))  # noqa: E741
    x = _days(traded["open_time"]) + width / 2
    colours = np.where(c >= o, BID, ASK)
    price.vlines(x, l, h, colors=colours, linewidth=1)
    thin = (h.max() - l.min()) / 400 if len(traded) else 0.0  # a candle that opened where it closed is still seen
    price.bar(x, np.maximum(np.abs(c - o), thin), 0.7 * width, np.minimum(o, c), color=colours)
    volume.bar(x, traded["volume"].astype(float), 0.7 * width, color=colours)
    price.set_title(title, loc="left")
    price.set_ylabel("price")
    volume.set_ylabel("volume")
    _time_axis(volume)
    return figure


def depth(book: dict[str, Any], symbol: str) -> Picture:
    """How much could be traded, down to each price: a book cumulated from its middle."""
    figure, axes = _frame(9, 4.5)
    for side, colour in (("bid", BID), ("ask", ASK)):
        prices = np.array([float(price) for price in book[f"{side}_prices"]])
        sizes = np.array([float(size) for size in book[f"{side}_sizes"]]).cumsum()
        if len(prices):
            axes.fill_between(prices, sizes, step="post", color=colour, alpha=0.25)
            axes.step(prices, sizes, where="post", color=colour, label=f"{side}s, {len(prices)} levels")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("price")
    axes.set_ylabel("cumulated size")
    axes.set_title(f"{symbol}, book at {book['exchange_time']:%Y-%m-%d %H:%M:%S} UTC", loc="left")
    axes.grid(color=GRID)
    if axes.has_data():
        axes.legend(frameon=False)
    return figure


def _frame(width: float, height: float) -> tuple[Picture, Axes]:
    figure = Picture(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    _plain(axes)
    return figure, axes


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=GRID)


def _days(times: Any) -> Any:
    """Times in matplotlib's unit."""
    return mdates.date2num(times)  # type: ignore[no-untyped-call]


def _time_axis(axes: Axes) -> None:
    locator = mdates.AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis_date()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_xlabel("UTC")
