"""One function for all targets: what `recorder export` calls."""

from pathlib import Path
from typing import Literal, get_args

from recorder.exports.coverage import OnGap
from recorder.exports.errors import ExportError
from recorder.exports.files import ExportReport
from recorder.exports.offset import ClockOffset
from recorder.exports.source import open_source
from recorder.lake.times import Moment

Target = Literal["hftbacktest", "nautilus", "freqtrade", "bars", "tardis"]
TARGETS: tuple[str, ...] = get_args(Target)


def export(
    target: str,
    lake_path: str | Path,
    symbol: str,
    start: Moment = None,
    end: Moment = None,
    out: str | Path = "",
    *,
    on_gap: str = "refuse",
    interval: str = "1m",
    clock_offset: int | str | None = None,
    incomplete: bool = False,
    venue: str | None = None,
    progress: bool = True,
) -> ExportReport:
    """Write `symbol` from start <= exchange_time < end to `out`, and a JSON that describes it beside it.

    An open start or end is where coverage begins or ends. `out` is a file for hftbacktest (.npz) and bars (.csv
    .parquet .feather .json), a folder for nautilus, freqtrade and tardis. `clock_offset`, 'measured' or ns, is added
    to local times; `incomplete` takes bars that a gap touches too. Raises CoverageError where the range is not whole,
    ExportError where it cannot be made.
    """
    if target not in TARGETS:
        raise ExportError(f"{target}: no such target; one of {', '.join(TARGETS)}")
    if on_gap not in get_args(OnGap):
        raise ExportError(f"--on-gap {on_gap}: no such way; one of {', '.join(get_args(OnGap))}")
    if not str(out):
        raise ExportError("--out is needed: where to write")
    shift = _clock_offset(clock_offset)
    source = open_source(lake_path, symbol, start, end, venue)
    place, way = Path(out), _on_gap(on_gap)
    if target == "hftbacktest":
        from recorder.exports.hftbacktest import export_hftbacktest

        return export_hftbacktest(source, place, on_gap=way, clock_offset=shift, progress=progress)
    if target == "nautilus":
        from recorder.exports.nautilus import export_nautilus

        return export_nautilus(source, place, interval, on_gap=way, clock_offset=shift, progress=progress)
    if target == "freqtrade":
        from recorder.exports.freqtrade import export_freqtrade

        return export_freqtrade(source, place, interval, on_gap=way, progress=progress)
    if target == "bars":
        from recorder.exports.bars import export_bars

        return export_bars(source, place, interval, on_gap=way, incomplete=incomplete)
    from recorder.exports.tardis import export_tardis

    return export_tardis(source, place, on_gap=way, clock_offset=shift, progress=progress)


def _clock_offset(asked: int | str | None) -> ClockOffset:
    """'measured', or a number of ns as a number or as text."""
    if asked is None or asked == "measured":
        return "measured" if asked else None
    try:
        return int(asked)
    except ValueError as error:
        raise ExportError(f"--clock-offset {asked}: write 'measured' or a whole number of ns") from error


def _on_gap(text: str) -> OnGap:
    return "split" if text == "split" else "ignore" if text == "ignore" else "refuse"
