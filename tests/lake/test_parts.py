"""Every row exactly once, whatever dies when; parts are laid out as the storage design says."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recorder.journal.format import HOUR_NS
from recorder.journal.reader import closed_segments, segments
from recorder.lake import faults, parts
from recorder.lake.known_trades import KnownTrades
from recorder.lake.names import Covered, PartName, live, table_files
from recorder.lake.parquet import row_groups, write_file
from recorder.lake.parts import PartMaker, batches, make_parts
from recorder.lake.rows import decode_rows
from recorder.lake.schema import tables
from tests.frames.arrivals import START_NS, arrived, depth_push, head, write_segment
from tests.lake.journals import REC, contents, expected, new_lake, read, story, write_story

Contents = dict[str, list[dict[str, object]]]


class Crash(BaseException):
    """The process dies here; not an Exception, so that nothing tidies up on the way out."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    return expected(tmp_path_factory.mktemp("whole") / "data")


@pytest.fixture
def crash_at() -> Iterator[Callable[[int], list[str]]]:
    """Die at the n-th step from now; gives the list of the steps that were passed."""

    def set_up(number: int) -> list[str]:
        passed: list[str] = []

        def hook(name: str) -> None:
            passed.append(name)
            if len(passed) == number:
                raise Crash(name)

        faults.hook = hook
        return passed

    yield set_up
    faults.hook = None


def make(root: Path) -> int:
    return make_parts(root, REC, closed_segments(root / "journal" / REC))


def steps(root: Path, crash_at: Callable[[int], list[str]]) -> int:
    """How many places there are to die while the story becomes parts."""
    write_story(new_lake(root))
    passed = crash_at(-1)
    make(root)
    assert set(passed) >= {
        *("writer before", "writer written", "writer synced", "writer renamed", "writer published"),
        *("writer remove", "writer removed", "writer mark", "writer marked"),
    }
    return len(passed)


def test_the_story_becomes_rows_of_every_table_it_tells_of(whole: Contents) -> None:
    counted = {table: len(rows) for table, rows in whole.items() if rows}
    # A: 4 x 6 trades each on V1 and V2, and history; B: V1 only.
    assert counted == {
        "bbo": 4,
        "clock": 4,
        "depth": 160,
        "gap": 4,
        "instrument": 2,
        "quarantine": 4,
        "session": 12,
        "trade": 48,
    }


def test_segments_are_removed_once_their_rows_are_in_parts_and_the_open_one_stays(tmp_path: Path) -> None:
    folder = new_lake(tmp_path)
    paths = write_story(folder)
    make(tmp_path)
    assert segments(folder) == paths[-1:]


def test_part_names_say_hour_seqs_and_rows(tmp_path: Path) -> None:
    write_story(new_lake(tmp_path))
    make(tmp_path)
    for table in tables():
        end = 0
        for path in table_files(tmp_path, table):
            name = PartName.parse(path.name)
            rows = pq.ParquetFile(path).read()
            seqs = rows.column("seq").to_pylist()
            assert name is not None and name.level == "p"
            assert (name.first, name.last, name.rows) == (min(seqs), max(seqs), len(rows))
            assert name.window == f"{2026092300 + (rows['receive_ns'][0].as_py() // HOUR_NS) % 24}"
            assert path.parent.name == "date=2026-09-23" and name.first > end
            end = name.last


def test_hours_that_are_over_are_marked_and_the_day_only_when_it_is(tmp_path: Path) -> None:
    folder = new_lake(tmp_path)
    told = story()
    write_story(folder, [*told[:2], told[2]])  # the third is open: the first hour is over
    make(tmp_path)
    assert sorted(p.name for p in (tmp_path / "closed").iterdir()) == [f"{REC}~2026092302"]
    next_day = head(told[3][-1].seq + 1)._replace(hour=START_NS // HOUR_NS + 24)
    write_segment(folder, told[3])
    write_segment(folder, [next_day])
    make(tmp_path)
    assert sorted(p.name for p in (tmp_path / "closed").iterdir()) == [
        f"{REC}~20260923",
        f"{REC}~2026092302",
        f"{REC}~2026092303",
    ]


def test_an_hour_is_not_over_because_capture_started_again_in_it(tmp_path: Path) -> None:
    folder = new_lake(tmp_path)
    told = story()
    write_story(folder, [told[0], told[1]])
    make(tmp_path)
    assert list((tmp_path / "closed").iterdir()) == []


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_crash_at_any_step_and_a_new_start_give_the_same_rows(
    tmp_path: Path, whole: Contents, crash_at: Callable[[int], list[str]], stride: int
) -> None:
    for step in range(1, steps(tmp_path / "count", crash_at) + 1, stride):
        root = tmp_path / str(step)
        write_story(new_lake(root))
        crash_at(step)
        with pytest.raises(Crash):
            make(root)
        faults.hook = None
        make(root)
        assert contents(root) == whole, f"crash at step {step}"
        assert not list(root.rglob("*.tmp"))
        assert len(list((root / "closed").iterdir())) == 2
        shutil.rmtree(root)


@pytest.mark.slow
def test_three_crashes_in_a_row_with_segments_closing_meanwhile_give_the_same_rows(
    tmp_path: Path, whole: Contents, crash_at: Callable[[int], list[str]]
) -> None:
    total = steps(tmp_path / "count", crash_at)
    for step in range(1, total, 7):
        root = tmp_path / str(step)
        folder = new_lake(root)
        told = story()
        write_story(folder, told[:2])
        for more, number in ((2, step), (3, step // 2 + 1), (4, step // 3 + 1)):
            crash_at(number)
            with suppress(Crash):
                make(root)
            write_segment(folder, told[more])
        faults.hook = None
        make(root)
        assert contents(root) == whole, f"crash at step {step}"
        shutil.rmtree(root)


@pytest.mark.parametrize("limit", [1, 3_000, 10_000])
def test_the_size_of_a_batch_changes_files_but_no_row(
    tmp_path: Path, whole: Contents, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "__defaults__", (limit,))
    write_story(new_lake(tmp_path))
    make(tmp_path)
    assert contents(tmp_path) == whole


def test_a_writer_that_forgets_what_is_covered_would_be_caught(
    tmp_path: Path, whole: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted fault, so that we know that the tests above can see one."""
    folder = new_lake(tmp_path)
    told = story()
    write_story(folder, told[:2])
    with pytest.raises(Crash), monkeypatch.context() as patched:
        patched.setattr(PartMaker, "_retire", lambda *_: die())
        make(tmp_path)
    for records in told[2:]:
        write_segment(folder, records)
    monkeypatch.setattr(Covered, "covers", lambda _, seqs: seqs < 0)
    make(tmp_path)
    assert contents(tmp_path) != whole


def die() -> None:
    raise Crash


def test_a_failing_write_leaves_the_segment_and_no_temporary_file(
    tmp_path: Path, whole: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new_lake(tmp_path)
    paths = write_story(folder)
    calls = 0

    def refuse(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(28, "No space left on device")
        write_file(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(parts, "write_file", refuse)
        with pytest.raises(OSError, match="No space"):
            make(tmp_path)
    assert segments(folder) == paths and not list(tmp_path.rglob("*.tmp"))
    make(tmp_path)
    assert contents(tmp_path) == whole


def test_temporary_files_of_others_are_left_alone(tmp_path: Path) -> None:
    new_lake(tmp_path)
    folder = tmp_path / "hot" / "trade" / "date=2026-09-23"
    folder.mkdir(parents=True)
    name = PartName(REC, "p", "2026092302", 1, 2, 3)
    ours = folder / f".writer-1-{name}.tmp"
    others = {folder / f".sealer-1-{name}.tmp", folder / f".writer-1-b{name}.tmp"}
    for path in (ours, *others):
        path.touch()
    PartMaker(tmp_path, REC)
    assert set(folder.iterdir()) == others


def test_the_good_records_of_a_damaged_segment_become_rows_and_the_file_is_set_aside(tmp_path: Path) -> None:
    folder = new_lake(tmp_path)
    paths = write_story(folder)
    raw = paths[1].read_bytes()
    paths[1].write_bytes(raw[: len(raw) - 100] + b"\xff" + raw[len(raw) - 99 :])
    make(tmp_path)
    assert [p.name for p in (folder / "damaged").iterdir()] == [paths[1].name]
    assert segments(folder) == paths[-1:]
    assert len(read(tmp_path, "depth")) == 160  # the damage is in the last records
    assert len(read(tmp_path, "clock")) == 3


def test_instruments_told_before_a_restart_are_not_told_again(tmp_path: Path) -> None:
    folder = new_lake(tmp_path)
    told = story()
    for records in told:
        write_segment(folder, records)
        make(tmp_path)  # each time with a fresh memory
    assert len(read(tmp_path, "instrument")) == 2


def test_rows_of_the_open_journal_can_be_seen_without_writing(tmp_path: Path, whole: Contents) -> None:
    folder = new_lake(tmp_path)
    told = story()
    write_story(folder, told[:2])
    make(tmp_path)
    seen = decode_rows(tmp_path, REC, [record for records in told for record in records])
    for table in tables():
        pieces = [read(tmp_path, table), *([seen[table]] if table in seen else [])]
        both = pa.concat_tables(pieces).sort_by([("seq", "ascending"), ("idx", "ascending")])
        assert both.to_pylist() == whole[table]


def test_batches_end_at_an_hour_and_at_their_size(tmp_path: Path) -> None:
    paths = write_story(new_lake(tmp_path))[:-1]
    by_hour = list(batches(paths))
    assert [len(batch.done) for batch in by_hour] == [2, 2]
    assert [len({record.hour for record in batch.records}) for batch in by_hour] == [1, 1]
    small = list(batches(paths, 1_000))
    assert [r.seq for b in small for r in b.records] == [r.seq for b in by_hour for r in b.records]
    assert [path for batch in small for path in batch.done] == paths


@pytest.mark.parametrize("final", [False, True])
def test_files_are_laid_out_as_the_design_says(tmp_path: Path, final: bool) -> None:
    records = [head(1), *(arrived(depth_push("A", [["2.5", "1"]], []), seq) for seq in range(2, 9))]
    rows = decode_rows(tmp_path, REC, records)["depth"]
    name = PartName(REC, "h" if final else "p", "2026092302", 2, 8, 7)
    write_file(tmp_path / "x.parquet", "depth", name, rows, final)
    with pq.ParquetFile(tmp_path / "x.parquet") as file:
        assert file.read().equals(rows)
        assert file.schema_arrow.metadata == {
            b"table": b"depth",
            b"version": b"1",
            b"rec": b"main",
            b"level": name.level.encode(),
            b"window": b"2026092302",
            b"first_seq": b"2",
            b"last_seq": b"8",
            b"rows": b"7",
        }
        group = file.metadata.row_group(0)
        order = [rows.column_names[sorting.column_index] for sorting in group.sorting_columns]
        assert order == ["venue", "symbol", "seq", "idx"]
        columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
        assert {column.compression for column in columns.values()} == {"ZSTD"}
        assert "RLE_DICTIONARY" in columns["symbol"].encodings
        assert "RLE_DICTIONARY" not in columns["bid_price"].encodings
        assert columns["seq"].has_column_index and columns["seq"].has_offset_index
        assert not columns["bid_prices.list.element"].is_stats_set


def test_other_tables_pack_whole_numbers_and_final_files_give_decimals_a_dictionary(tmp_path: Path) -> None:
    write_story(new_lake(tmp_path))
    make(tmp_path)
    (path, *_) = live(table_files(tmp_path, "trade"))
    rows = pq.ParquetFile(path).read()
    name = PartName.parse(path.name)
    assert name is not None
    for final, dictionary in ((False, False), (True, True)):
        write_file(tmp_path / "x.parquet", "trade", name, rows, final)
        group = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(0)
        columns = {group.column(i).path_in_schema: group.column(i).encodings for i in range(group.num_columns)}
        assert "DELTA_BINARY_PACKED" in columns["seq"] and "DELTA_BINARY_PACKED" in columns["exchange_time"]
        assert ("RLE_DICTIONARY" in columns["price"]) is dictionary


@pytest.mark.parametrize(
    ("counts", "groups"),
    [
        ([10, 10], [20]),
        ([64, 10, 54, 3], [64, 64, 3]),
        ([5000], [4096, 904]),
        ([63, 5000, 1], [4096, 967, 1]),
        ([], []),
    ],
)
def test_a_row_group_ends_at_a_change_of_symbol_once_it_is_worth_it(counts: list[int], groups: list[int]) -> None:
    symbols = [f"S{i}" for i, count in enumerate(counts) for _ in range(count)]
    rows = pa.table({"venue": ["x"] * len(symbols), "symbol": pa.array(symbols, pa.string())})
    found = list(row_groups("depth", rows))
    assert [length for _, length in found] == groups
    assert [start for start, _ in found] == [sum(groups[:i]) for i in range(len(groups))]


def test_repeated_trades_are_counted_by_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_story(new_lake(tmp_path))
    maker = PartMaker(tmp_path, REC)
    maker.make(closed_segments(tmp_path / "journal" / REC))
    assert isinstance(maker.rows.trades, KnownTrades)
    assert maker.rows.trades.repeated == {"ws_v1": 24, "ws_v2": 24}
