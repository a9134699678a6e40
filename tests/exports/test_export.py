"""The one function: wishes are checked, gaps are told, and a JSON says what was made."""

import builtins
import json
from pathlib import Path
from typing import Any

import pytest

from recorder.errors import RecorderError
from recorder.exports import TARGETS, CoverageError, ExportError, export
from recorder.exports.coverage import plan
from recorder.exports.source import open_source
from tests.exports.lakes import SECOND_NS, Made, market_lake, own_event
from tests.lake.helpers import write


def bars(made: Made, out: Path, **wishes: Any) -> Any:
    return export("bars", made.path, made.symbol, out=out / "b.csv", **{"interval": "10s", "progress": False, **wishes})


@pytest.mark.parametrize(
    ("wishes", "word"),
    [
        ({"target": "excel"}, "no such target; one of hftbacktest, nautilus, freqtrade, bars, tardis"),
        ({"on_gap": "guess"}, "--on-gap guess: no such way; one of refuse, split, ignore"),
        ({"out": ""}, "--out is needed"),
        ({"symbol": "XYZUSD"}, "XYZUSD: never recorded in .*; there are BTCUSD"),
        ({"venue": "hashkey-mena"}, "not recorded on hashkey-mena; on hashkey"),
        ({"start": "2026-03-02", "end": "2026-03-01"}, "the range is empty"),
        ({"clock_offset": "soon"}, "write 'measured' or a whole number of ns"),
        ({"out": "b.xls"}, r"bars are written as \.csv, \.parquet, \.feather, \.json"),
    ],
)
def test_a_wrong_wish_says_what_is_right(whole_lake: Made, wishes: dict[str, Any], word: str) -> None:
    asked: dict[str, Any] = {
        "target": "bars",
        "lake_path": whole_lake.path,
        "symbol": whole_lake.symbol,
        "out": "b.csv",
    }
    asked |= wishes
    with pytest.raises(ExportError, match=word):
        export(**asked, progress=False)


def test_every_error_is_one_that_the_command_line_prints() -> None:
    assert issubclass(CoverageError, ExportError)
    assert issubclass(ExportError, RecorderError)


def test_a_symbol_of_two_venues_must_be_named_with_one(tmp_path: Path, out: Path) -> None:
    made = market_lake(tmp_path / "lake", seconds=20)
    write(made.path, "session", [own_event(0, "live", made.symbol, "trade", 10**6) | {"venue": "hashkey-mena"}])
    with pytest.raises(ExportError, match="recorded on hashkey, hashkey-mena; name one with --venue"):
        bars(made, out)
    assert bars(made, out, venue="hashkey").venue == "hashkey"


@pytest.mark.parametrize("target", TARGETS)
def test_the_json_beside_it_tells_range_rows_coverage_offset_and_versions(
    broken_lake: Made, out: Path, target: str
) -> None:
    place = out / {"hftbacktest": "day.npz", "bars": "bars.csv"}.get(target, "folder")
    report = export(target, broken_lake.path, "BTCUSD", out=place, on_gap="ignore", interval="10s", progress=False)
    document = json.loads(report.sidecar.read_text())
    assert report.sidecar.is_relative_to(out)
    assert document["target"] == target
    assert document["rows"] == report.rows > 0
    assert [Path(file["path"]).exists() for file in document["files"]] == [True] * len(report.files)
    assert len(document["gaps"]) >= 2
    assert {"from", "to", "channel", "reason"} == set(document["gaps"][0])
    assert document["clock"]["measured_offset_ns"] == 0
    assert document["instrument"]["tick_size"] == "0.010000000000"
    assert document["versions"]["hashkey-recorder"]
    assert str(report.sidecar) in str(report)


def test_nothing_is_left_behind_when_it_fails(whole_lake: Made, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(__import__("recorder.exports.bars", fromlist=["FORMATS"]).FORMATS, ".csv", fail)
    with pytest.raises(ExportError, match="cannot be written: No space left on device"):
        bars(whole_lake, out)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(("target", "package"), [("hftbacktest", "hftbacktest"), ("nautilus", "nautilus_trader")])
def test_a_package_that_is_not_installed_is_named_with_its_extra(
    whole_lake: Made, out: Path, target: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.import_module", refusing(package))
    with pytest.raises(ExportError, match=rf"{package} is not installed.*pip install 'hashkey-recorder\[backtest\]'"):
        export(target, whole_lake.path, whole_lake.symbol, out=out / "x.npz", progress=False)


def refusing(package: str) -> Any:
    def load(name: str) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(f"No module named {name!r}")
        return builtins.__import__(name, fromlist=["*"])

    return load


def test_a_range_that_begins_before_the_recording_is_a_gap(whole_lake: Made) -> None:
    early = whole_lake.start_ns - 5 * SECOND_NS
    source = open_source(whole_lake.path, whole_lake.symbol, None, None, None)
    found = plan(source.lake, source.venue, source.symbol, ("depth",), source.clock, early, whole_lake.end_ns)
    assert [(gap.from_ns, gap.to_ns, gap.reason) for gap in found.gaps] == [
        (early, whole_lake.start_ns, "not recorded yet")
    ]
    assert [(s.from_ns, s.to_ns) for s in found.stretches] == [(whole_lake.start_ns, whole_lake.end_ns)]


def test_a_channel_that_was_never_recorded_is_named(whole_lake: Made) -> None:
    source = open_source(whole_lake.path, whole_lake.symbol, None, None, None)
    with pytest.raises(CoverageError, match="bbo was never recorded here; add it to"):
        plan(source.lake, source.venue, source.symbol, ("depth", "bbo"), source.clock, None, None)


def test_the_clean_range_that_an_error_offers_can_be_exported(broken_lake: Made, out: Path) -> None:
    with pytest.raises(CoverageError) as refused:
        export("tardis", broken_lake.path, broken_lake.symbol, out=out, progress=False)
    words = str(refused.value).split()
    start, end = (words[words.index(name) + 1] for name in ("--from", "--to"))
    report = export("tardis", broken_lake.path, broken_lake.symbol, start, end, out, progress=False)
    assert report.gaps == []
    assert report.rows > 1000


def test_a_range_of_which_nothing_is_whole_is_sent_to_coverage(whole_lake: Made, out: Path) -> None:
    with pytest.raises(CoverageError, match=r"no moment of this range is whole.*not recorded yet.*`recorder coverage`"):
        export("tardis", whole_lake.path, whole_lake.symbol, "2020-01-01", "2020-01-02", out, progress=False)


def test_a_clock_offset_may_be_text(late_clock_lake: Made, out: Path) -> None:
    report = export(
        "tardis", late_clock_lake.path, late_clock_lake.symbol, out=out, clock_offset="1600000000", progress=False
    )
    assert report.clock["applied_offset_ns"] == 1_600_000_000
    assert any("100.000 ms behind" in note for note in report.notes)
