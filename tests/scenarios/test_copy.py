"""`cp -r` while recording: each copy opens, verifies, and after `recorder seal` has every row up to its last moment."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import recorder as api
from recorder.journal.reader import read_segment, segments
from recorder.lake.schema import tables
from recorder.quality.verify import verify
from tests.scenarios.support import exchange, recorder, run_cli
from tests.scenarios.test_run import SYMBOLS, recording_is_under_way

pytestmark = pytest.mark.slow
COPIES = 3
VIEWS = (*(table.view for table in tables().values()), "kline", "coverage", "instrument_now")
ONCE = """
    SELECT count(*) - count(DISTINCT (venue, symbol, seq, idx)) FROM {view} WHERE seq IS NOT NULL"""


def problems(data: Path) -> list[str]:
    return [str(finding) for finding in verify(data) if finding.is_problem]


def rows(data: Path, until_ns: int) -> dict[str, list[str]]:
    """Every stored row that had arrived by then, by table."""
    lake = api.open_lake(data)
    query = "SELECT * EXCLUDE (date) FROM {view} WHERE receive_ns <= {until} ORDER BY seq, idx, venue, symbol"
    return {
        table.view: [repr(row) for row in lake.sql(query.format(view=table.view, until=until_ns)).fetchall()]
        for table in tables().values()
    }


def test_copies_of_a_growing_lake_open_verify_and_lack_nothing(tmp_path: Path) -> None:
    copies = [tmp_path / f"copy{number}" for number in range(COPIES)]
    with exchange(tmp_path, *SYMBOLS, "--rate", "10") as market, recorder(tmp_path, market) as run:
        recording_is_under_way(run)
        for copy in copies:
            market.wait_for_frames(150)
            # A file that goes while it is copied is one whose rows are in another by then: cp says so, and goes on.
            done = subprocess.run(["cp", "-r", run.data, copy], capture_output=True, text=True, check=False)
            assert all("No such file" in line for line in done.stderr.splitlines()), done.stderr
        assert run.stop() == 0, run.log()
    assert problems(run.data) == []
    ends: list[int] = []
    for copy in copies:
        lake = api.open_lake(copy)
        for view in VIEWS:
            assert lake.sql(f"SELECT count(*) FROM {view}").fetchall()[0][0] >= 0
        for table in tables().values():
            assert lake.sql(ONCE.format(view=table.view)).fetchall() == [(0,)], table.view
        assert problems(copy) == []
        until_ns = last_moment(copy)
        ends.append(until_ns)
        seal(copy)
        assert rows(copy, until_ns) == rows(run.data, until_ns), "what had arrived by then is all there"
        assert problems(copy) == []
    assert ends == sorted(set(ends))


def last_moment(copy: Path) -> int:
    """When the last record of the copied journal had arrived, Unix ns: up to there a copy is whole."""
    return max(record.receive_ns for path in segments(copy / "journal" / "main") for record in read_segment(path))


def seal(copy: Path) -> None:
    sealed = run_cli("seal", "--data", str(copy), "--json")
    assert sealed.returncode == 0, sealed.stderr
    assert json.loads(sealed.stdout)["failed"] == []


def test_recording_goes_on_in_a_copy_and_names_the_time_between(tmp_path: Path) -> None:
    with exchange(tmp_path, *SYMBOLS, "--rate", "5") as market, recorder(tmp_path, market) as run:
        recording_is_under_way(run)
        copy = tmp_path / "elsewhere" / "data"
        copy.parent.mkdir()
        subprocess.run(["cp", "-r", run.data, copy], capture_output=True, check=False)
        assert run.stop() == 0
        shutil.move(run.data, tmp_path / "original")
        with recorder(tmp_path / "elsewhere", market) as again:
            before = api.open_lake(copy).sql("SELECT max(seq) FROM session").fetchall()[0][0]
            query = f"SELECT count(*) > 0 FROM gap WHERE seq > {before} AND channel = 'depth'"
            while api.open_lake(copy).sql(query).fetchall() != [(True,)]:
                market.wait_for_frames(20)
            assert again.stop() == 0, again.log()
    assert problems(copy) == []
