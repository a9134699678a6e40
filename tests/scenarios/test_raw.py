"""Everything that a venue sends, archived and decoded once more: the same rows in every table."""

from pathlib import Path

import pytest

import recorder as api
from recorder.journal.reader import segments
from recorder.lake.raw import raw_files
from recorder.lake.raw_seal import seal_from_raw
from recorder.lake.schema import tables
from recorder.quality.verify import verify
from tests.scenarios.support import exchange, recorder, run_cli
from tests.scenarios.test_run import SYMBOLS, rows

pytestmark = pytest.mark.slow
ALL = "SELECT * FROM {view} ORDER BY seq, idx, venue, symbol"
# Segments last longer than the run: what it received is all in the journal when it dies.
SETTINGS = {"RECORDER__JOURNAL__KEEP_RAW_DAYS": "7", "RECORDER__JOURNAL__SEGMENT_SECONDS": "3600"}


def stored(data: Path) -> dict[str, list[str]]:
    return {table.view: list(map(repr, rows(data, ALL.format(view=table.view)))) for table in tables().values()}


def test_a_lake_decoded_from_the_archive_equals_the_one_that_was_recorded(tmp_path: Path) -> None:
    with exchange(tmp_path, *SYMBOLS, "--rate", "10") as market, recorder(tmp_path, market, **SETTINGS) as run:
        market.wait_for_frames(250)
        run.kill(capture=True, writer=True)
    (run.data / "raw" / "main").mkdir(parents=True, exist_ok=True)  # as a writer that archives leaves it
    assert len(segments(run.data / "journal" / "main")) == 1
    assert run_cli("seal", "--data", str(run.data)).returncode == 0
    assert list(raw_files(run.data))
    before = stored(run.data)
    assert all(before[view] for view in ("trade", "depth", "kline_update", "bbo", "ticker", "instrument", "session"))
    for name in ("once", "twice"):
        report = seal_from_raw(run.data / "raw", tmp_path / name, "main")
        assert report.is_whole, report
        assert stored(tmp_path / name) == before
    assert [str(finding) for finding in verify(tmp_path / "once") if finding.is_problem] == []
    coverage = "FROM coverage ORDER BY ALL"
    assert rows(tmp_path / "once", coverage) == rows(run.data, coverage)
    assert api.open_lake(tmp_path / "once").symbols() == api.open_lake(run.data).symbols()
