"""A pin keeps the files of a moment, whatever is cleaned afterwards."""

from pathlib import Path

import pytest

from recorder.errors import LakeError
from recorder.lake.pins import pin, pinned_files, pins, read_pin, unpin
from tests.lake import helpers


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = helpers.empty_lake(tmp_path / "lake")
    helpers.write(root, "trade", [helpers.trade(1, 0, "10"), helpers.trade(2, 1, "11")])
    helpers.write(root, "trade", [helpers.trade(1, 0, "10"), helpers.trade(2, 1, "11")], level="h")
    helpers.write(root, "bbo", [helpers.bbo(3, 0, "9", "11")])
    return root


def test_a_pin_lists_the_files_that_count_with_sizes_and_rows(root: Path) -> None:
    made = pin(root, "study", now_ns=7)
    (trade,) = [pinned for pinned in made.files if pinned.table == "trade"]
    assert "~h~" in trade.file
    assert trade.rows == 2
    assert trade.bytes == (root / trade.file).stat().st_size
    assert made.paths(root, "bbo") == [root / pinned.file for pinned in made.files if pinned.table == "bbo"]
    assert read_pin(root, "study") == made
    assert pins(root) == [made]
    assert pinned_files(root) == {pinned.file for pinned in made.files}


def test_a_name_is_pinned_once_until_it_is_unpinned(root: Path) -> None:
    pin(root, "study")
    with pytest.raises(LakeError, match="exists"):
        pin(root, "study")
    unpin(root, "study")
    assert pinned_files(root) == frozenset()
    pin(root, "study")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 200])
def test_a_name_that_fits_no_file_is_refused(root: Path, name: str) -> None:
    with pytest.raises(LakeError, match="letters, digits"):
        pin(root, name)


def test_an_unknown_pin_is_told_with_those_that_exist(root: Path) -> None:
    pin(root, "study")
    for ask in (read_pin, unpin):
        with pytest.raises(LakeError, match=r"no pin 'other'; pins: study"):
            ask(root, "other")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "x"}', '{"name":"x","made_ns":1,"files":[{"a":1}]}'])
def test_a_pin_that_cannot_be_read_is_never_taken_for_an_empty_one(root: Path, content: str) -> None:
    (root / "pins").mkdir(exist_ok=True)
    (root / "pins" / "x.json").write_text(content)
    with pytest.raises(LakeError, match=r"x\.json"):
        pinned_files(root)


def test_a_lake_without_pins_has_none(root: Path) -> None:
    assert (pins(root), pinned_files(root)) == ([], frozenset())
