"""Who asks for rows with `whole=True` gets all of them, or an error that names what is missing."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from recorder.errors import LakeError
from recorder.lake.reader import Lake, open_lake
from tests.exports.lakes import Made, market_lake

GAP = (10.0, 12.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return market_lake(tmp_path_factory.mktemp("whole") / "lake", seconds=20, gaps=[GAP])


@pytest.fixture(scope="module")
def lake(made: Made) -> Lake:
    return open_lake(made.path)


Ask = Callable[[datetime, datetime], int]


@pytest.fixture(params=["trades", "depth"])
def ask(request: pytest.FixtureRequest, lake: Lake, made: Made) -> Ask:
    """How many rows of a range, all of them."""
    rows = getattr(lake, request.param)
    return lambda start, end: len(rows(made.symbol, start, end, whole=True).fetchall())


def test_a_range_without_a_gap_is_answered(made: Made, ask: Ask) -> None:
    assert ask(made.at(2), made.at(9)) > 0
    assert ask(made.at(13), made.at(19)) > 0


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        (5, 15, "not whole"),
        (11, 19, "not whole"),
        (-10, 9, "not recorded yet"),
        (13, 90, "or not yet"),
        (-90, -60, "nothing of"),
    ],
)
def test_what_is_missing_is_named(made: Made, ask: Ask, start: float, end: float, why: str) -> None:
    with pytest.raises(LakeError, match=why) as refusal:
        ask(made.at(start), made.at(end))
    assert "whole=True" in str(refusal.value)


def test_what_there_is_comes_unless_told_otherwise(made: Made, lake: Lake) -> None:
    begin, end = made.at(0), made.at(20) + timedelta(seconds=1)
    assert len(lake.trades(made.symbol, begin, end).fetchall()) == len(made.trades)


def test_candles_that_were_never_recorded_are_not_whole(made: Made, lake: Lake) -> None:
    with pytest.raises(LakeError):
        lake.klines(made.symbol, "1m", made.at(2), made.at(9), whole=True)
