"""What every export says of itself: range, coverage, clocks, latency, instrument."""

from dataclasses import asdict
from pathlib import Path

from recorder.exports.coverage import Clock, Gap, OnGap, Plan
from recorder.exports.files import ExportReport
from recorder.exports.offset import notes
from recorder.exports.source import Latency, Source
from recorder.exports.times import text, to_datetime

FOLDERS = ("nautilus", "freqtrade", "tardis")  # what these targets write is a folder


def report_on(
    target: str, source: Source, found: Plan, out: Path, on_gap: OnGap, latency: Latency, shift: int
) -> ExportReport:
    """A report without files yet."""
    report = ExportReport(target, source.venue, source.symbol, _sidecar(target, source, found, out), on_gap)
    report.range = {
        "from": text(source.start_ns) if source.start_ns is not None else None,
        "to": text(source.end_ns) if source.end_ns is not None else None,
        "covered_from_our_clock": text(found.from_ns),
        "covered_to_our_clock": text(found.to_ns),
    }
    report.gaps = gaps_as_json(found.gaps)
    report.clock = clock_as_json(source.clock, shift)
    report.latency = asdict(latency)
    report.instrument = {
        name: str(value) if value is not None else None for name, value in source.instrument().items() if name != "raw"
    }
    report.notes = notes(source.clock, shift)
    if report.instrument.get("contract_multiplier") not in (None, "None"):
        report.notes.append("sizes are contracts; instrument.contract_multiplier converts them")
    return report


def _sidecar(target: str, source: Source, found: Plan, out: Path) -> Path:
    """Beside a file; in a folder, which several symbols and ranges may share, under a name of its own."""
    if target not in FOLDERS:
        return out.with_name(out.name + ".json")
    first = source.start_ns if source.start_ns is not None else source.clock.venues(found.from_ns)
    return out / f"{source.symbol}-{to_datetime(first):%Y%m%dT%H%M%SZ}.{target}.json"


def gaps_as_json(gaps: list[Gap]) -> list[dict[str, object]]:
    return [
        {"channel": gap.channel, "from": text(gap.from_ns), "to": text(gap.to_ns), "reason": gap.reason} for gap in gaps
    ]


def clock_as_json(clock: Clock, shift: int) -> dict[str, object]:
    return {
        "pongs": clock.pongs,
        "measured_offset_ns": clock.offset_ns,
        "lowest_ns": clock.lowest_ns,
        "highest_ns": clock.highest_ns,
        "applied_offset_ns": shift,
    }
