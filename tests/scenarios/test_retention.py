"""Retention as its user asks for it: a setting, `recorder run`, and `recorder status` that says what went."""

import json
import time
from pathlib import Path

import pytest

import recorder as api
from recorder.lake.pins import pin
from recorder.lake.retention import read_removed
from recorder.quality.verify import verify
from tests.lake.helpers import START_NS, book, empty_lake, trade, write
from tests.scenarios.support import exchange, recorder, run_cli, wait_until
from tests.scenarios.test_run import SYMBOLS, recording_is_under_way

pytestmark = pytest.mark.slow
DAY_SECONDS = 86_400
KEPT = {"RECORDER__RETENTION__TRADE_DAYS": "30"}


def days_ago(days: int) -> float:
    """In seconds after the START of the helpers."""
    return time.time() - START_NS / 1e9 - days * DAY_SECONDS


def sealed(root: Path, table: str) -> set[Path]:
    return set((root / "sealed" / table).rglob("*.parquet"))


def test_an_old_sealed_file_goes_and_what_is_pinned_young_or_not_named_stays(tmp_path: Path) -> None:
    root = empty_lake(tmp_path / "data")
    pinned = write(root, "trade", [trade(1, days_ago(50), "10")], level="d", place="sealed", rec="main")
    pin(root, "study")
    old = write(root, "trade", [trade(2, days_ago(40), "11")], level="d", place="sealed", rec="main")
    young = write(root, "trade", [trade(3, days_ago(20), "12")], level="d", place="sealed", rec="main")
    not_named = write(root, "depth", [book(4, days_ago(60), ["9"], ["11"])], level="h", place="sealed", rec="main")
    size = old.stat().st_size
    with exchange(tmp_path, *SYMBOLS, "--rate", "5") as market, recorder(tmp_path, market, **KEPT) as run:
        wait_until(lambda: not old.exists(), "the old file has gone")
        recording_is_under_way(run)
        assert run.stop() == 0, run.log()
    assert sealed(root, "trade") == {pinned, young}
    assert sealed(root, "depth") == {not_named}
    (gone,) = read_removed(root)
    assert (gone.file, gone.bytes, gone.rule) == (str(old.relative_to(root)), size, "keep trade 30 days")
    stored = api.open_lake(root).sql("SELECT trade_id FROM trade WHERE seq <= 4 ORDER BY 1").fetchall()
    assert stored == [(1,), (3,)]
    told = json.loads(run_cli("status", "--data", str(root), "--json").stdout)["retention"]
    assert (told["files"], told["bytes"], told["last"][0]["rows"]) == (1, size, 1)
    shown = run_cli("status", "--data", str(root)).stdout
    assert "removed 1 files" in shown and "keep trade 30 days: 1 files" in shown
    assert "retention" in run.log()
    assert [str(finding) for finding in verify(root) if "lost" in finding.check] == []
