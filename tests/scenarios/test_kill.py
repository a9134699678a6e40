"""SIGKILL at random moments: what had been appended is in the lake, once; what is missing, `gap` names."""

import random
from pathlib import Path

import pytest

from tests.scenarios.ledger import compare
from tests.scenarios.support import exchange, recorder, wait_until
from tests.scenarios.test_run import recording_is_under_way, rows

pytestmark = pytest.mark.slow
ROUNDS = 5


@pytest.mark.parametrize(
    ("capture", "writer"),
    [(True, False), (False, True), (True, True)],
    ids=["capture", "writer", "both"],
)
def test_a_killed_process_costs_nothing_that_gap_does_not_name(tmp_path: Path, capture: bool, writer: bool) -> None:
    moments = random.Random(f"{capture}{writer}")
    with exchange(tmp_path, "--pairs", "8", "--rate", "5") as market, recorder(tmp_path, market) as run:
        recording_is_under_way(run)
        for _ in range(ROUNDS):
            market.wait_for_frames(moments.randrange(1, 600))
            run.kill(capture=capture, writer=writer)
            if capture:
                run.start()
        lock = run.data / "journal" / "main" / "LOCK"
        wait_until(lambda: lock.read_text().strip() == str(run.running.pid), "the last start holds the lock")
        known = rows(run.data, "SELECT coalesce(max(seq), 0) FROM depth")[0][0]
        wait_until(
            lambda: rows(run.data, f"SELECT count(DISTINCT symbol) >= 8 FROM depth WHERE seq > {known}") == [(True,)],
            "books arrive again",
        )
        assert run.stop() == 0, run.log()
    verdicts = compare(run.data, market.ledger)
    report = "\n".join(map(str, verdicts.values()))
    assert all(verdict.holds for verdict in verdicts.values()), report
    if not capture:
        assert rows(run.data, "SELECT count(*) FROM gap") == [(0,)], "the writer's death loses nothing"
