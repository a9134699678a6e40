"""live=True: the last seconds from the journal, each row once, whatever the writer does meanwhile."""

from pathlib import Path

import pytest

from recorder.journal.reader import closed_segments
from recorder.lake.parts import PartMaker, make_parts
from recorder.lake.reader import Lake, open_lake
from recorder.lake.schema import tables
from tests.lake.journals import REC, expected, new_lake, story, write_story


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """How many rows the whole story has, by table."""
    rows = expected(tmp_path_factory.mktemp("whole") / "data")
    return {table: len(rows[table]) for table in tables()}


def counts(lake: Lake) -> dict[str, int]:
    """Rows of each table, all counted at the same look."""
    asked = (f"SELECT '{table.name}', count(*) FROM {table.view}" for table in tables().values())
    return dict(lake.sql(" UNION ALL ".join(asked)).fetchall())


def test_what_is_only_in_the_journal_is_seen_live_and_not_otherwise(tmp_path: Path, whole: dict[str, int]) -> None:
    write_story(new_lake(tmp_path))
    assert counts(open_lake(tmp_path, live=True)) == whole
    assert set(counts(open_lake(tmp_path)).values()) == {0}


def test_live_rows_are_those_that_the_files_will_hold(tmp_path: Path) -> None:
    journal = new_lake(tmp_path)
    write_story(journal)
    order = "ORDER BY seq, idx"
    views = [table.view for table in tables().values()]
    live = open_lake(tmp_path, live=True)
    before = {view: live.sql(f"FROM {view} {order}").fetchall() for view in views}
    make_parts(tmp_path, REC, closed_segments(journal))
    after = open_lake(tmp_path)
    assert before == {view: after.sql(f"FROM {view} {order}").fetchall() for view in views}


def test_no_row_is_seen_twice_or_lost_while_segments_become_parts(tmp_path: Path, whole: dict[str, int]) -> None:
    journal = new_lake(tmp_path)
    write_story(journal)
    lake = open_lake(tmp_path, live=True)
    writer = PartMaker(tmp_path, REC)
    for path in closed_segments(journal):
        content = path.read_bytes()
        writer.make([path])
        assert counts(lake) == whole
        assert counts(open_lake(tmp_path, live=True)) == whole
        path.write_bytes(content)  # the writer died before it removed the segment
        assert counts(open_lake(tmp_path, live=True)) == whole
        path.unlink()


def test_new_records_appear_and_each_is_decoded_once(tmp_path: Path, whole: dict[str, int]) -> None:
    journal = new_lake(tmp_path)
    lake = open_lake(tmp_path, live=True)
    seen = []
    for number, segment in enumerate(segments := story()):
        for part in (segment[: len(segment) // 2 or 1], segment):  # the open segment grows
            write_story(journal, [*segments[:number], part])
            seen.append(counts(lake))
    assert seen[-1] == whole
    assert [sum(found.values()) for found in seen] == sorted(sum(found.values()) for found in seen)


def test_a_reader_that_slept_while_the_writer_went_on_sees_all(tmp_path: Path, whole: dict[str, int]) -> None:
    journal = new_lake(tmp_path)
    segments = story()
    write_story(journal, segments[:2])
    lake = open_lake(tmp_path, live=True)
    counts(lake)
    write_story(journal, segments)
    make_parts(tmp_path, REC, closed_segments(journal)[:3])  # also the one of which the reader saw a part
    assert counts(lake) == whole
    make_parts(tmp_path, REC, closed_segments(journal))
    assert counts(lake) == whole


def test_views_made_of_views_see_the_live_rows_too(tmp_path: Path) -> None:
    write_story(new_lake(tmp_path))
    lake = open_lake(tmp_path, live=True)
    assert lake.sql("SELECT count(*) > 0 FROM last_moment").fetchall() == [(True,)]
    assert lake.sql("SELECT count(DISTINCT date) FROM depth").fetchall() == [(1,)]
