"""Retention removes whole sealed windows that are old enough, says so, and leaves everything else."""

from pathlib import Path

import pytest

from recorder.errors import LakeError
from recorder.lake.pins import pin
from recorder.lake.retention import DAY_NS, LOG, read_removed, retain
from tests.lake import helpers

DAY_END = helpers.START_NS // DAY_NS * DAY_NS + DAY_NS
HOUR_END = helpers.START_NS + 3600 * 10**9


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = helpers.empty_lake(tmp_path / "lake")
    helpers.write(root, "trade", [helpers.trade(1, 0, "10")], level="d", place="sealed")
    helpers.write(root, "depth", [helpers.book(2, 0, ["9"], ["11"])], level="h", place="sealed")
    helpers.write(root, "bbo", [helpers.bbo(3, 0, "9", "11")])
    return root


def removed(root: Path, keep: dict[str, float], now_ns: int) -> list[str]:
    return [done.file.split("/")[1] for done in retain(root, keep, now_ns=now_ns)]


def test_a_file_goes_once_its_window_ended_long_enough_ago(root: Path) -> None:
    assert removed(root, {"trade": 30}, DAY_END + 30 * DAY_NS - 1) == []
    assert removed(root, {"trade": 30}, DAY_END + 30 * DAY_NS) == ["trade"]
    assert removed(root, {"trade": 30}, DAY_END + 30 * DAY_NS) == []
    assert removed(root, {"depth": 1}, HOUR_END + DAY_NS) == ["depth"]
    assert not list(root.glob("sealed/*/date=*"))


def test_a_table_that_is_not_named_is_kept(root: Path) -> None:
    assert removed(root, {}, 2**62) == []
    assert removed(root, {"trade": 0}, 2**62) == ["trade"]


def test_hot_files_are_kept_and_so_is_what_supersedes_them(root: Path) -> None:
    part = helpers.write(root, "depth", [helpers.book(2, 0, ["9"], ["11"])])
    assert removed(root, {"bbo": 0, "depth": 0}, 2**62) == []
    part.unlink()
    assert removed(root, {"bbo": 0, "depth": 0}, 2**62) == ["depth"]
    assert list(root.glob("hot/bbo/*/*.parquet"))


def test_a_pinned_file_is_kept(root: Path) -> None:
    pin(root, "study")
    assert removed(root, {"trade": 0}, 2**62) == []


def test_an_unreadable_pin_removes_nothing(root: Path) -> None:
    (root / "pins").mkdir()
    (root / "pins" / "x.json").write_text("{")
    with pytest.raises(LakeError, match=r"x\.json"):
        retain(root, {"trade": 0}, now_ns=2**62)
    assert list(root.glob("sealed/trade/*/*.parquet"))


def test_what_went_is_noted_even_after_a_line_that_was_cut_short(root: Path) -> None:
    (root / LOG).write_text('{"file": "torn')
    (done,) = retain(root, {"trade": 30}, now_ns=2**62)
    assert (done.rows, done.rule) == (1, "keep trade 30 days")
    assert read_removed(root) == [done]


def test_an_unknown_table_is_refused(root: Path) -> None:
    with pytest.raises(LakeError, match="no such table"):
        retain(root, {"trades": 1}, now_ns=0)
