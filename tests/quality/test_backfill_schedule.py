"""When backfill runs."""

import os

import pytest

from recorder.config import Data, Settings
from recorder.quality.backfill import settings_of
from recorder.quality.backfill_schedule import APART, SECOND, command, next_run

DAY = 1_790_121_600 * SECOND  # 2026-09-23 00:00:00 UTC


def at(hour: int, minute: int, second: float = 0) -> int:
    return DAY + round((hour * 3600 + minute * 60 + second) * SECOND)


def test_the_first_run_is_shortly_after_the_start() -> None:
    assert next_run(at(8, 0), None, None) == at(8, 0, 20)
    assert next_run(at(8, 0), None, at(8, 0, 2)) == at(8, 0, 20)


def test_then_every_ten_minutes_after_a_minute_has_closed() -> None:
    assert next_run(at(8, 0), at(8, 0, 20), None) == at(8, 10, 8)
    assert next_run(at(8, 0), at(8, 10, 8), None) == at(8, 20, 8)
    assert next_run(at(8, 0), at(8, 19, 59), None) == at(8, 20, 29), "two runs lie half a minute apart"


def test_a_gap_that_closed_is_looked_at_soon_and_once_more_when_its_candle_is_over() -> None:
    gap = at(8, 3, 15)
    assert next_run(at(8, 0), at(8, 0, 20), gap) == at(8, 3, 27)
    assert next_run(at(8, 0), at(8, 3, 27), gap) == at(8, 4, 8)
    assert next_run(at(8, 0), at(8, 4, 8), gap) == at(8, 10, 8)


def test_a_gap_that_closed_before_the_last_run_changes_nothing() -> None:
    assert next_run(at(8, 0), at(8, 10, 8), at(8, 3)) == at(8, 20, 8)


@pytest.mark.parametrize("second", range(0, 60, 7))
def test_runs_are_never_closer_than_half_a_minute(second: int) -> None:
    last, gap = at(8, 0, 20), at(8, 3, second)
    for _ in range(6):
        due = next_run(at(8, 0), last, gap)
        assert due >= last + APART
        last = due
    assert last > at(8, 30)


def test_the_process_gets_exactly_our_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data=Data(recorder="other"))
    monkeypatch.setitem(os.environ, "RECORDER__DATA__RECORDER", "elsewhere")
    asked = command(settings)
    assert asked[1:3] == ["-m", "recorder.quality.backfill"]
    assert settings_of(asked[asked.index("--settings") + 1]) == settings
