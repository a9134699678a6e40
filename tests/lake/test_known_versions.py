"""Each book once where two connections bring it; all of them where one does."""

from pathlib import Path

import pyarrow as pa
import pytest

from recorder.lake import known_versions
from recorder.lake.known_versions import KnownVersions
from recorder.lake.names import PartName, path_of
from recorder.lake.parquet import write_file
from recorder.lake.rows import as_table
from recorder.venues.hashkey.decode import Context, decode
from tests.frames.arrivals import START_NS, arrived

REC = "main"
Row = tuple[int, int, int | None]  # seq, conn, version


def quotes(*rows: Row, symbol: str = "A") -> pa.Table:
    """Rows of bbo; the venue's time follows from the version."""
    records = []
    for seq, conn, version in rows:
        data = {"s": symbol, "b": "1", "bz": "1", "a": "2", "az": "1", "t": START_NS // 1_000_000 + (version or 0)}
        if version is not None:
            data["v"] = str(version)
        frame = {"topic": "bbo", "params": {"symbol": symbol}, "data": data}
        records.append(arrived(frame, seq, line=2)._replace(conn=conn))
    return as_table("bbo", decode(records, Context("hashkey"))["bbo"])


def store(root: Path, rows: pa.Table, level: str = "p") -> None:
    seqs = rows.column("seq").to_pylist()
    window = "2026092302" if level != "d" else "20260923"
    name = PartName(REC, level, window, min(seqs), max(seqs), len(seqs))
    path = path_of(root, "hot", "bbo", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, "bbo", name, rows)


def kept(known: KnownVersions, *rows: Row) -> list[int]:
    made = quotes(*rows)
    new = known.is_new(made)
    seqs = made.column("seq").to_pylist()
    return seqs if new is None else [seq for seq, is_new in zip(seqs, new, strict=True) if is_new]


def test_the_first_arrival_is_kept_whichever_connection_it_came_by(tmp_path: Path) -> None:
    known = KnownVersions(tmp_path, REC, "bbo")
    assert kept(known, (1, 7, 10), (2, 8, 10), (3, 8, 11), (4, 7, 11), (5, 7, 12)) == [1, 3, 5]
    assert kept(known, (6, 8, 12), (7, 8, 13)) == [7]
    assert known.repeated == 3


def test_one_connection_may_say_a_version_as_often_as_it_likes(tmp_path: Path) -> None:
    known = KnownVersions(tmp_path, REC, "bbo")
    assert kept(known, (1, 7, 10), (2, 7, 10)) == [1, 2]
    assert kept(known, (3, 7, 10), (4, 8, 10)) == [3]


def test_quotes_without_a_version_are_always_new(tmp_path: Path) -> None:
    assert kept(KnownVersions(tmp_path, REC, "bbo"), (1, 7, None), (2, 8, None)) == [1, 2]


def test_the_same_version_of_another_time_is_another_book(tmp_path: Path) -> None:
    known = KnownVersions(tmp_path, REC, "bbo")
    later = quotes((2, 8, 10)).set_column(
        quotes((2, 8, 10)).schema.get_field_index("exchange_time"), "exchange_time", quotes((2, 8, 11))["exchange_time"]
    )
    assert kept(known, (1, 7, 10)) == [1]
    assert known.is_new(later) is None, "the venue began its versions anew"


def test_what_is_long_ago_is_no_repetition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_versions, "WINDOW", 5)
    known = KnownVersions(tmp_path, REC, "bbo")
    assert kept(known, (1, 7, 10), (7, 8, 10), (8, 7, 12), (9, 8, 12)) == [1, 7, 8]


@pytest.mark.parametrize("level", ["p", "h"])
def test_after_a_restart_of_the_writer_the_answer_is_the_same(tmp_path: Path, level: str) -> None:
    store(tmp_path, quotes((1, 7, 10), (3, 7, 11)), level)
    assert kept(KnownVersions(tmp_path, REC, "bbo"), (2, 8, 10), (4, 8, 11), (5, 8, 12)) == [5]


def test_with_one_connection_the_rows_of_the_lake_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tmp_path, quotes((1, 7, 10), (2, 7, 11)))
    monkeypatch.setattr("pyarrow.parquet.read_table", None)
    assert kept(KnownVersions(tmp_path, REC, "bbo"), (3, 7, 12), (4, 7, 13)) == [3, 4]
