"""A ParquetDataCatalog of NautilusTrader 1.221: instrument, book deltas, trades, quotes, bars.

Written through the catalog's own API only, since its layout changes between versions. Rows must not go back in
ts_init, and files must not overlap: so each hour is written when nothing earlier can come any more, and what arrived
late waits for its hour. Several symbols and ranges may share a catalog; an overlapping range is refused.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recorder.exports.bars import Bar, inside, read_bars
from recorder.exports.changes import Differ
from recorder.exports.coverage import NEVER, OnGap, Plan, Stretch, judge, plan
from recorder.exports.errors import CoverageError, ExportError
from recorder.exports.files import ExportedFile, ExportReport, need, numbered_folder
from recorder.exports.nautilus_objects import Maker, first_scales, instrument_id, make_instrument
from recorder.exports.offset import ClockOffset, applied_offset
from recorder.exports.progress import steps
from recorder.exports.report import report_on
from recorder.exports.source import Scales, Source

QUOTE = "epoch_ns(exchange_time) AS exchange_ns, receive_ns, bid_price, ask_price, bid_size, ask_size"


def export_nautilus(
    source: Source,
    out: Path,
    interval: str = "1m",
    *,
    on_gap: OnGap = "refuse",
    clock_offset: ClockOffset = None,
    progress: bool = True,
) -> ExportReport:
    """Write to the catalog in folder `out`, or one a clean stretch below it. Raises CoverageError, ExportError."""
    need("nautilus_trader.persistence.catalog")
    channels = ("depth", "trade", "bbo") if _has_quotes(source) else ("depth", "trade")
    found = plan(source.lake, source.venue, source.symbol, channels, source.clock, source.start_ns, source.end_ns)
    stretches = judge(found, on_gap, source.clock, f"nautilus, {source.what}")
    source.begin(found)
    latency = source.latency(*channels)
    shift = applied_offset(clock_offset, source.clock, latency, source.what)
    report = report_on("nautilus", source, found, out, on_gap, latency, shift)
    told = source.instrument()
    if not told:
        raise ExportError(f"{source.what}: exchangeInfo was never recorded for it, so Nautilus has no instrument")
    source.scales = first_scales(told)
    bars = [bar for run in read_bars(source, interval).runs for bar in run]
    for number, stretch in enumerate(stretches, 1):
        path = numbered_folder(out, number, on_gap == "split")
        counts, first_ns, last_ns = _write(source, found, stretch, shift, path, bars, interval, told, progress)
        for kind, rows in counts.items():
            report.counts[kind] = report.counts.get(kind, 0) + rows
        if last_ns:
            report.files.append(ExportedFile(path, sum(counts.values()), first_ns, last_ns))
    if not report.files:
        raise ExportError(f"nautilus, {source.what}: no rows in this range; see `recorder coverage`")
    report.notes.append("fees are zero in the instrument: they are not market data")
    return report.write("nautilus_trader")


def _write(
    source: Source,
    found: Plan,
    stretch: Stretch,
    shift: int,
    path: Path,
    bars: list[Bar],
    interval: str,
    told: dict[str, Any],
    progress: bool,
) -> tuple[dict[str, int], int, int]:
    """One stretch; begun anew if it turns out that numbers have more decimals than tick and lot say."""
    while True:
        places = source.scales.price.places, source.scales.size.places
        part = _Part(source, found, stretch, shift, path)
        try:
            part.write(bars, interval, progress)
            if (source.scales.price.places, source.scales.size.places) == places:
                part.write_instrument(told)
                return part.counts, part.first_ns, part.last_ns
        except BaseException:
            part.undo()
            raise
        part.undo()


class _Part:
    """One clean stretch on its way into a catalog."""

    def __init__(self, source: Source, found: Plan, stretch: Stretch, shift: int, path: Path) -> None:
        self._source = source
        self._plan = found
        self._stretch = stretch
        self._bounds = source.bounds(found, stretch)
        self._shift = shift
        path.mkdir(parents=True, exist_ok=True)
        self._catalog = need("nautilus_trader.persistence.catalog").ParquetDataCatalog(str(path))
        self._classes = need("nautilus_trader.model.data")
        self._identity = instrument_id(source.symbol, source.venue)
        self._maker = Maker(self._identity, Scales(source.scales.price, source.scales.size))
        self._written: dict[tuple[str, str], list[int]] = {}
        self.counts: dict[str, int] = {}
        self.first_ns = self.last_ns = 0

    def write(self, bars: list[Bar], interval: str, progress: bool) -> None:
        differ = Differ(self._source.scales, self._plan.resets("depth"))
        carried = self._source.carried(self._plan, self._shift) if self._stretch.from_ns == self._plan.from_ns else []
        late: dict[str, list[Any]] = {}
        views = ("depth", "trade", "bbo") if _has_quotes(self._source) else ("depth", "trade")
        for low, high in steps(self._source.windows(self._bounds, *views), f"nautilus {self._source.symbol}", progress):
            for kind, rows in self._hour(low, high, differ, carried, "bbo" in views):
                late[kind] = self._write_before(high, kind, late.get(kind, []) + rows)
            carried = []
        for kind, rows in late.items():
            self._write_before(NEVER, kind, rows)
        self._write_before(NEVER, "Bar", self._maker.bars(self._bars(bars, interval), interval))

    def write_instrument(self, told: dict[str, Any]) -> None:
        if self.last_ns and not self._catalog.instruments(instrument_ids=[self._identity.value]):
            made = make_instrument(told, self._identity, self._source.scales, self.first_ns)
            self._catalog.write_data([made])

    def undo(self) -> None:
        """Take away what this part has written."""
        for (kind, identifier), (first, last) in self._written.items():
            self._catalog.delete_data_range(getattr(self._classes, kind), identifier, first, last)

    def _hour(
        self, low: int, high: int, differ: Differ, carried: list[Any], quotes: bool
    ) -> Iterator[tuple[str, list[Any]]]:
        trades = self._source.trades(self._bounds, low, high)
        yield "TradeTick", self._maker.trades(trades, self._shift)
        deltas: list[Any] = []
        for batch in [*carried]:
            deltas += self._maker.deltas(differ.feed(batch), self._shift)
        for batch in self._source.books(self._bounds, low, high):
            deltas += self._maker.deltas(differ.feed(batch), self._shift)
        yield "OrderBookDelta", deltas
        if quotes:
            made: list[Any] = []
            relation = self._source.rows("bbo", QUOTE, self._bounds, low, high, "receive_ns, seq, idx")
            for batch in relation.filter("bid_price IS NOT NULL AND ask_price IS NOT NULL").to_arrow_reader(65_536):
                made += self._maker.quotes(batch, self._source.scales, self._shift)
            yield "QuoteTick", made

    def _bars(self, bars: list[Bar], interval: str) -> Iterator[tuple[Bar, int, int]]:
        """Bar, close, and what our clock (shifted) showed then: a bar is known at its close, not before."""
        for bar, close_ns in inside(self._source, bars, interval, self._stretch):
            yield bar, close_ns, max(close_ns, self._source.clock.ours(close_ns) + self._shift)

    def _write_before(self, until_ns: int, kind: str, rows: list[Any]) -> list[Any]:
        """Write what had arrived before `until_ns`; gives back the rest."""
        rows.sort(key=lambda row: row.ts_init)
        ready = [row for row in rows if row.ts_init < until_ns]
        if ready:
            self._check_free(kind, ready)
            self._catalog.write_data(ready)
            self.counts[kind] = self.counts.get(kind, 0) + len(ready)
            self.first_ns = min(self.first_ns or ready[0].ts_init, ready[0].ts_init)
            self.last_ns = max(self.last_ns, ready[-1].ts_init)
        return rows[len(ready) :]

    def _check_free(self, kind: str, rows: list[Any]) -> None:
        """The catalog itself passes over a file of the same name in silence, and raises after it wrote an overlap."""
        identifier = str(rows[0].bar_type) if kind == "Bar" else self._identity.value
        first, last = rows[0].ts_init, rows[-1].ts_init
        held = self._catalog.get_intervals(getattr(self._classes, kind), identifier)
        if any(start <= last and end >= first for start, end in held):
            raise ExportError(
                f"nautilus, {self._source.what}: {self._catalog.path} already holds {kind} of this range; "
                "name another folder with --out, or remove that one"
            )
        mine = self._written.setdefault((kind, identifier), [first, last])
        mine[1] = last


def _has_quotes(source: Source) -> bool:
    try:
        plan(source.lake, source.venue, source.symbol, ("bbo",), source.clock, None, None)
    except CoverageError:
        return False
    return True
