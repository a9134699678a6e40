"""The whole venue for a minute: the lake equals the ledger."""

from pathlib import Path

import pytest

from tests.scenarios.ledger import compare
from tests.scenarios.support import exchange, recorder, wait_until
from tests.scenarios.test_run import recording_is_under_way

SECONDS = 60  # of the exchange's time
SPEED = 3


@pytest.mark.slow
def test_a_minute_of_the_whole_venue_equals_the_ledger(tmp_path: Path) -> None:
    with exchange(tmp_path, "--pairs", "38", "--speed", str(SPEED)) as market, recorder(tmp_path, market) as run:
        recording_is_under_way(run)
        started = market.process.pid and market.frames_sent()
        # A minute of the venue is about 7,200 frames; counted, so that a slow machine records as much as a fast one.
        wait_until(lambda: market.frames_sent() >= started + 120 * SECONDS, "a minute of frames", 4 * SECONDS)
        assert run.stop() == 0, run.log()
    verdicts = compare(run.data, market.ledger)
    print("\n".join(map(str, verdicts.values())))  # noqa: T201 pytest -s shows the numbers
    assert all(verdict.holds for verdict in verdicts.values()), "\n".join(map(str, verdicts.values()))
    assert verdicts["depth"].stored > 1_000
