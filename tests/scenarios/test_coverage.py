"""Coverage is a pure function of what was journaled: the same while recording, afterwards, and made from raw frames."""

from datetime import datetime
from pathlib import Path

import pytest

import recorder as api
from recorder.capture.tempo import PACE_VARIABLE
from recorder.exchange.faults import script_of
from recorder.lake.raw_seal import seal_from_raw
from tests.scenarios.support import exchange, recorder, wait_until
from tests.scenarios.test_run import SYMBOLS, recording_is_under_way, rows

pytestmark = pytest.mark.slow
SPEED = 5.0
SETTINGS = {
    PACE_VARIABLE: str(SPEED),
    "RECORDER__JOURNAL__KEEP_RAW_DAYS": "1",
    "RECORDER__RECORD__BACKFILL": "false",
}
FAULTS = script_of(
    [
        {"at": 25, "kind": "cut", "api": "v2"},
        {"at": 30, "kind": "close", "api": "v1"},
        {"at": 35, "kind": "mute", "topic": "depth", "for": 5},
        {"at": 45, "kind": "restart", "for": 4},
    ]
)
Interval = tuple[object, ...]


def coverage(root: Path, until: datetime | None, *, knowing_all: bool = False) -> list[Interval]:
    """All intervals; up to a moment as it was known then, or (`knowing_all`) as it is known now."""
    lake = api.open_lake(root)
    if until is not None and not knowing_all:
        lake = lake.as_of(until)
    return lake.coverage(end=until).fetchall()


def test_coverage_while_recording_is_that_of_the_lake_afterwards_and_that_of_the_raw_frames(tmp_path: Path) -> None:
    (tmp_path / "faults.toml").write_text(FAULTS.toml())
    arguments = (*SYMBOLS, "--speed", str(SPEED), "--faults", str(tmp_path / "faults.toml"))
    moments: list[tuple[datetime, list[Interval]]] = []
    with exchange(tmp_path, *arguments) as market, recorder(tmp_path, market, **SETTINGS) as run:
        recording_is_under_way(run)

        def take(moment: datetime) -> None:
            moments.append((moment, coverage(run.data, moment)))

        for seconds in (28, 50):  # between the faults, and after them
            market.wait_for_seconds(seconds / SPEED)
            take(api.open_lake(run.data).settled())
        run.kill(capture=True, writer=False)
        run.start()
        gaps = "SELECT count(DISTINCT (symbol, channel)) = 15 FROM gap WHERE reason = 'process down'"
        wait_until(lambda: rows(run.data, gaps) == [(True,)], "every stream is back")
        last = rows(run.data, "SELECT max(receive_time) FROM session")[0][0]
        assert isinstance(last, datetime)
        wait_until(lambda: api.open_lake(run.data).settled() > last, "that is settled")
        take(last)
        quiet = coverage(run.data, last, knowing_all=True)
        assert run.stop() == 0, run.log()
    assert seal_from_raw(run.data / "raw", tmp_path / "again", "main").is_whole
    for root in (run.data, tmp_path / "again"):
        assert [coverage(root, moment) for moment, _ in moments] == [then for _, then in moments]
        assert coverage(root, last, knowing_all=True) == quiet, "nothing was learnt later of what was over"
    assert coverage(tmp_path / "again", None) == coverage(run.data, None)
    assert {"disconnect", "clean close", "process down", "stale"} <= {str(one[-1]) for one in coverage(run.data, None)}
    assert len({len(then) for _, then in moments}) > 1, "coverage was taken while it changed"
