"""`verify` has nothing to say about a sound lake, and names each thing that is wrong with another."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recorder.journal.format import HOUR_NS
from recorder.lake import manifest
from recorder.lake.names import PartName
from recorder.lake.parquet import open_writer
from recorder.lake.retention import retain
from recorder.lake.schema import tables
from recorder.quality.verify import verify
from tests.lake import helpers
from tests.lake.seal_support import REC, Capture, age, make_lake, run_sealer, write

REWRITTEN = Callable[[pa.Table], pa.Table]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two hours sealed, one hour of parts, and a closed segment that the writer has not taken yet."""
    root = make_lake(tmp_path / "lake")
    capture = Capture(root)
    for _ in range(3):
        capture.append(3)
        capture.now = (capture.now // HOUR_NS + 1) * HOUR_NS
    capture.append()
    capture.rotate()
    write(root)
    run_sealer(root)
    capture.append()
    capture.rotate()
    return root


def problems(root: Path) -> set[tuple[str, str]]:
    return {(found.check, found.where.rpartition("/")[2]) for found in verify(root) if found.is_problem}


def rewrite(path: Path, change: REWRITTEN) -> None:
    """The same file with other rows, by our own writer and under the same name."""
    name = PartName.parse(path.name)
    table = tables()[path.parent.parent.name]
    assert name is not None
    rows = change(pq.read_table(path, partitioning=None))
    with open_writer(path, table, name, final=True) as writer:
        writer.write_table(rows.cast(table.arrow).replace_schema_metadata(writer.schema.metadata))


def one(root: Path, pattern: str) -> Path:
    return min(root.glob(pattern))


def part(root: Path, table: str) -> Path:
    """A part that counts: one of the hour that is still open."""
    return max(root.glob(f"hot/{table}/*/*~p~*"))


def test_a_sound_lake_has_no_problems(root: Path) -> None:
    found = verify(root)
    assert [str(each) for each in found if each.is_problem] == []
    assert [each.check for each in found] == ["taker side", "coverage"]  # notes; these lakes have no sessions


def test_a_copy_of_a_lake_at_work_verifies(root: Path) -> None:
    shutil.copytree(root, root.parent / "copy")
    assert problems(root.parent / "copy") == set()


def test_a_changed_byte_in_a_sealed_file_is_noticed(root: Path) -> None:
    path = one(root, "sealed/bbo/*/*~d~*")
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    assert ("hash", path.name) in problems(root)


def test_a_sealed_file_that_is_gone_is_a_loss_unless_retention_removed_it(root: Path) -> None:
    path = one(root, "sealed/bbo/*/*~d~*")
    kept = path.read_bytes()
    path.unlink()
    assert problems(root) == {("lost file", path.name)}
    path.write_bytes(kept)
    gone = retain(root, {"bbo": 1}, now_ns=2**62)
    assert path.name in gone[0].file
    assert problems(root) == set()


def test_a_sealed_file_without_an_entry_is_noticed_once_it_is_old(root: Path) -> None:
    manifest.manifest_path(root, REC).unlink()
    assert problems(root) == set()
    path = one(root, "sealed/bbo/*/*~d~*")
    age(path, 7200)
    assert problems(root) == {("manifest", path.name)}


def test_a_name_that_claims_other_rows_is_noticed(root: Path) -> None:
    path = part(root, "bbo")
    name = PartName.parse(path.name)
    assert name is not None
    more = PartName(name.rec, name.level, name.window, name.first, name.last + 1, name.rows + 1)
    path.rename(path.with_name(str(more)))
    assert {("row count", str(more)), ("seq range", str(more))} <= problems(root)


def test_a_row_that_arrived_after_its_window_is_noticed(root: Path) -> None:
    path = part(root, "trade")
    later = pa.scalar(3 * HOUR_NS, pa.int64())
    rewrite(path, lambda t: t.set_column(3, t.field(3), pc.add(t.column(3), later)))
    assert ("window", path.name) in problems(root)


def test_rows_out_of_order_are_noticed(root: Path) -> None:
    path = part(root, "bbo")
    rewrite(path, lambda t: t.take(list(reversed(range(len(t))))))
    assert ("order", path.name) in problems(root)


def test_overlapping_files_and_a_trade_that_is_there_twice_are_noticed(root: Path) -> None:
    path = part(root, "trade")
    name = PartName.parse(path.name)
    assert name is not None
    again = PartName(name.rec, name.level, name.window, name.first, name.last + 500, name.rows)
    shutil.copy(path, path.with_name(str(again)))
    found = problems(root)
    assert ("overlap", str(again)) in found
    assert any(check == "repeated trade" for check, _ in found)


def test_a_part_that_came_after_its_hour_was_merged_is_hidden_rows(root: Path) -> None:
    late = helpers.write(root, "trade", [helpers.trade(1, 0, "10")])
    hour = helpers.write(root, "trade", [helpers.trade(2, 0, "10", trade_id=5)], level="h")
    assert ("hidden rows", late.name) in problems(root)
    assert hour.exists()


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"ask_price": "bid", "ask_prices": "bid"}, "book crossed"),
        ({"bid_prices": "reversed"}, "bid levels not sorted"),
        ({"ask_sizes": "short"}, "ask sizes and prices differ in number"),
        ({"bid_size": "other"}, "bid_size is not that of the best level"),
        ({"ask_price": "null"}, "ask_price is not that of the best level"),
    ],
)
def test_a_book_that_cannot_be_is_noticed(root: Path, change: dict[str, str], check: str) -> None:
    path = part(root, "depth")

    def spoil(rows: pa.Table) -> pa.Table:
        books = rows.to_pylist()
        book = books[-1]
        for column, how in change.items():
            side = column[:3]
            if how == "bid":
                better = book["bid_prices"][0]
                book[column] = better if column == "ask_price" else [better, *book["ask_prices"][1:]]
            elif how == "reversed":
                book[column] = book[column][::-1]
                book[f"{side}_price"] = book[column][0]
            elif how == "short":
                book[column] = book[column][:-1]
            else:
                book[column] = None if how == "null" else book[column] + 1
        return pa.Table.from_pylist(books, schema=rows.schema)

    rewrite(path, spoil)
    assert (check, path.name) in problems(root)


def test_a_torn_file_is_unreadable(root: Path) -> None:
    path = part(root, "trade")
    path.write_bytes(path.read_bytes()[:-9])
    assert ("unreadable", path.name) in problems(root)


def test_strange_files_are_named(root: Path) -> None:
    folder = one(root, "hot/bbo/date=*")
    (folder / "mine.parquet").write_bytes(b"")
    (root / "hot" / "notes").mkdir()
    (root / "todo.txt").touch()
    found = verify(root)
    assert ("foreign file", "hot/notes", True) in {(f.check, f.where, f.is_problem) for f in found}
    assert ("foreign file", "todo.txt", False) in {(f.check, f.where, f.is_problem) for f in found}
    assert any(f.check == "foreign file" and f.where.endswith("mine.parquet") for f in found)


def test_a_file_in_the_wrong_folder_is_named(root: Path) -> None:
    path = part(root, "bbo")
    other = path.parent.parent / "date=2031-01-01"
    other.mkdir()
    path.rename(other / path.name)
    assert ("wrong folder", path.name) in problems(root)


def test_only_an_old_temporary_file_is_a_leftover(root: Path) -> None:
    path = part(root, "bbo")
    left = path.with_name(f".writer-1-{path.name}.tmp")
    left.touch()
    assert problems(root) == set()
    os.utime(left, (0, 0))
    assert problems(root) == {("leftover", left.name)}


def test_a_row_that_counts_as_stored_but_is_nowhere_is_a_lost_row(root: Path) -> None:
    capture_path = min((root / "journal" / REC).glob("*.jrn"))
    write_back = capture_path.read_bytes()
    write(root)
    capture_path.write_bytes(write_back)  # a crash before the segment was removed
    assert problems(root) == set()
    path = part(root, "bbo")
    rewrite(path, lambda t: t.slice(1))
    found = problems(root)
    assert ("lost row", capture_path.name) in found


def test_a_damaged_segment_is_noticed(root: Path) -> None:
    path = min((root / "journal" / REC).glob("*.jrn"))
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert ("journal", path.name) in problems(root)


def test_rows_that_wait_for_a_writer_are_noted(root: Path) -> None:
    age(min((root / "journal" / REC).glob("*.jrn")), 3600)
    (note,) = [found for found in verify(root) if found.check == "journal"]
    assert not note.is_problem
    assert "recorder seal" in note.remedy


def test_a_time_range_leaves_the_other_days_unread(root: Path) -> None:
    path = part(root, "trade")
    path.write_bytes(path.read_bytes()[:-9])
    assert not any(f.check == "unreadable" for f in verify(root, start="2031-01-01"))


def test_a_taker_side_that_contradicts_the_quotes_is_a_problem(tmp_path: Path) -> None:
    root = helpers.empty_lake(tmp_path / "lake")
    helpers.write(root, "bbo", [helpers.bbo(1, 0, "99", "101")])
    trades = [helpers.trade(10 + n, 1 + n, "101", taker="sell") for n in range(120)]
    helpers.write(root, "trade", trades)
    (found,) = [each for each in verify(root) if each.check == "taker side"]
    assert found.is_problem
    assert found.detail.startswith("0.0% of 120")
