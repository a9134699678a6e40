"""Retention settings: applied once an hour, beside the sealer, and only where somebody asked for it."""

from pathlib import Path

import pytest

from recorder.config import Retention
from recorder.errors import LakeError
from recorder.journal.lock import Lock
from recorder.lake.keep import BUSY_SECONDS, EVERY_SECONDS, Keep, Schedule, apply_retention, date_end_ns
from recorder.lake.raw import RawName
from recorder.lake.retention import DAY_NS, read_removed
from recorder.lake.schema import tables
from tests.lake.helpers import REC, START_NS, empty_lake, trade, write

DAY_END = START_NS // DAY_NS * DAY_NS + DAY_NS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = empty_lake(tmp_path / "lake")
    (root / "journal" / REC).mkdir(parents=True)
    write(root, "trade", [trade(1, 0, "10")], level="d", place="sealed")
    for day in (1, 2):
        folder = root / "raw" / REC / f"date=2026-03-0{day}"
        folder.mkdir(parents=True)
        (folder / str(RawName(day, day))).write_bytes(b"x")
    return root


def test_the_settings_have_a_key_for_each_table_and_are_off() -> None:
    assert set(Retention().model_dump()) == {f"{table}_days" for table in tables()}
    assert Retention().arguments() == []
    arguments = Retention(depth_days=30, trade_days=400).arguments()
    assert arguments == ["--keep", "trade=400", "--keep", "depth=30"]
    assert Keep.parse(arguments[1::2]).days == {"depth": 30, "trade": 400}


@pytest.mark.parametrize("text", ["trades=3", "trade", "trade=", "trade=x", "trade=-1"])
def test_what_is_no_table_or_no_number_is_refused(text: str) -> None:
    with pytest.raises(LakeError, match="write TABLE=DAYS"):
        Keep.parse([text])


def test_nothing_asked_nothing_removed(root: Path) -> None:
    assert apply_retention(root, Keep({"trade": 0}), 2**62) == []
    assert not Keep({"trade": 0}).is_asked


def test_a_raw_archive_goes_days_after_the_end_of_its_date_whatever_its_files_say(root: Path) -> None:
    keep = Keep(raw_days=7)
    assert date_end_ns("date=2026-03-01") == DAY_END
    assert apply_retention(root, keep, DAY_END + 7 * DAY_NS - 1) == []
    (done,) = apply_retention(root, keep, DAY_END + 7 * DAY_NS)
    assert (done.file, done.rows, done.rule) == (
        f"raw/{REC}/date=2026-03-01/{RawName(1, 1)}",
        None,
        "keep raw 7 days",
    )
    assert read_removed(root) == [done]
    assert [path.name for path in (root / "raw" / REC).iterdir()] == ["date=2026-03-02"]


def test_it_is_due_once_an_hour_and_waits_for_the_sealer(root: Path) -> None:
    schedule = Schedule(root, REC, Keep({"trade": 1}))
    with Lock(root / "journal" / REC / "SEALER.LOCK", "sealer"):
        schedule.look(0, 2**62)
    assert read_removed(root) == []
    schedule.look(1, 2**62)
    assert read_removed(root) == []
    schedule.look(BUSY_SECONDS, 2**62)
    assert len(read_removed(root)) == 1
    write(root, "trade", [trade(5, 0, "10")], level="d", place="sealed")
    schedule.look(BUSY_SECONDS + EVERY_SECONDS - 1, 2**62)
    assert len(read_removed(root)) == 1
    schedule.look(BUSY_SECONDS + EVERY_SECONDS, 2**62)
    assert len(read_removed(root)) == 2


def test_a_pin_that_cannot_be_read_keeps_everything_and_the_writer_lives_on(root: Path) -> None:
    (root / "pins").mkdir()
    (root / "pins" / "x.json").write_text("{")
    Schedule(root, REC, Keep({"trade": 1}, raw_days=1)).look(0, 2**62)
    assert read_removed(root) == []
