"""File names say what a file covers and which files count."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.lake.names import (
    Covered,
    PartName,
    covered,
    day_window,
    hour_of,
    hour_window,
    live,
    path_of,
    table_files,
)

HOUR = 497_258  # 2026-09-23 02:00


def name(level: str = "p", window: str = "2026092302", rec: str = "main", first: int = 1, last: int = 9) -> PartName:
    return PartName(rec, level, window, first, last, 5)


def paths(*names: PartName) -> list[Path]:
    return [Path(str(n)) for n in names]


def test_a_name_holds_what_the_file_covers() -> None:
    text = "main~p~2026092302~17~29~5.parquet"
    found = PartName.parse(text)
    assert found == PartName("main", "p", "2026092302", 17, 29, 5)
    assert (str(found), found.date, found.day) == (text, "2026-09-23", "20260923")


@pytest.mark.parametrize(
    "text",
    [
        "empty.parquet",
        "main~p~20260923~1~2~3.parquet",
        "main~d~2026092302~1~2~3.parquet",
        "main~x~2026092302~1~2~3.parquet",
        "Main~p~2026092302~1~2~3.parquet",
        ".writer-7-main~p~2026092302~1~2~3.parquet.tmp",
        "main~p~2026092302~1~2~3.parquet.tmp",
    ],
)
def test_other_names_are_not_ours(text: str) -> None:
    assert PartName.parse(text) is None


def test_windows_are_utc_hours_and_days() -> None:
    assert (hour_window(HOUR), day_window(HOUR)) == ("2026092302", "20260923")
    assert hour_of("2026092302") == HOUR


@given(st.integers(0, 10**6))
def test_an_hour_and_its_window_say_the_same(hour: int) -> None:
    assert hour_of(hour_window(hour)) == hour


def test_a_file_is_superseded_by_one_of_a_higher_level_that_contains_its_window() -> None:
    part, other_hour, other_rec = name(), name(window="2026092303", first=10, last=11), name(rec="b")
    hour, day = name("h"), name("d", "20260923")
    assert live(paths(part, other_hour, other_rec)) == paths(part, other_hour, other_rec)
    assert live(paths(part, other_hour, hour, other_rec)) == paths(other_hour, hour, other_rec)
    assert live(paths(part, other_hour, hour, day, other_rec)) == paths(day, other_rec)
    assert live(paths(part, name("d", "20260922"))) == paths(part, name("d", "20260922"))


def test_a_file_that_is_hot_and_sealed_counts_once() -> None:
    assert len(live([Path("hot") / str(name()), Path("sealed") / str(name())])) == 1


def test_files_of_a_table_are_listed_by_recorder_and_from_a_date_on(tmp_path: Path) -> None:
    old, new, other = name(window="2026092202"), name("d", "20260923"), name(rec="b")
    for folder, n in (("hot", old), ("sealed", new), ("hot", other)):
        path = path_of(tmp_path, folder, "trade", n)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "hot" / "trade" / "date=2026-09-22" / ".writer-1-x.tmp").touch()
    assert {p.name for p in table_files(tmp_path, "trade")} == {str(old), str(new), str(other)}
    assert {p.name for p in table_files(tmp_path, "trade", "main")} == {str(old), str(new)}
    assert [p.name for p in table_files(tmp_path, "trade", "main", since="2026-09-23")] == [str(new)]
    assert table_files(tmp_path, "depth") == []
    seqs = np.array([0, 1, 9, 10])
    assert covered(tmp_path, "main", ["trade"])["trade"].covers(seqs).tolist() == [False, True, True, False]


def test_what_is_covered_grows_with_each_part() -> None:
    known = Covered([name(first=1, last=3), name(first=7, last=8)])
    seqs = np.arange(12)
    assert seqs[known.covers(seqs)].tolist() == [1, 2, 3, 7, 8]
    known.add(name(first=9, last=9))
    known.add(name(first=11, last=11))
    assert seqs[known.covers(seqs)].tolist() == [1, 2, 3, 7, 8, 9, 10, 11]  # 10 was read and gave no row
    assert known.covers(np.array([], np.int64)).tolist() == []
