"""A data directory becomes a lake once, whole, and of one format."""

import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recorder.errors import LakeError
from recorder.lake.layout import NO_ROWS, check_format, init_lake
from recorder.lake.schema import tables


def state(root: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in root.rglob("*") if p.is_file()}


def test_a_new_lake_has_a_format_its_folders_and_the_types_of_every_table(tmp_path: Path) -> None:
    root = tmp_path / "data"
    init_lake(root, {"lake.sql": "SELECT 1;\n"})
    assert json.loads((root / "LAKE.json").read_text()) == {"format": 1}
    assert (root / "lake.sql").read_text() == "SELECT 1;\n"
    assert {p.name for p in root.iterdir() if p.is_dir()} == {
        *("schema", "journal", "closed", "hot", "sealed", "pins", "manifest"),
    }
    for name, table in tables().items():
        with pq.ParquetFile(root / "schema" / name / NO_ROWS) as file:
            assert file.schema_arrow.equals(table.arrow)
            assert file.schema_arrow.metadata == table.arrow.metadata
            assert file.metadata.num_rows == 0
    assert not list(root.rglob("*.tmp"))


def test_to_make_it_again_changes_nothing_but_an_old_text(tmp_path: Path) -> None:
    init_lake(tmp_path, {"lake.sql": "old"})
    before = state(tmp_path)
    init_lake(tmp_path, {"lake.sql": "old"})
    assert state(tmp_path) == before
    init_lake(tmp_path, {"lake.sql": "new"})
    assert (tmp_path / "lake.sql").read_text() == "new"


def test_types_of_an_older_schema_are_replaced(tmp_path: Path) -> None:
    init_lake(tmp_path)
    path = tmp_path / "schema" / "trade" / NO_ROWS
    pq.write_table(tables()["bbo"].arrow.empty_table(), path)
    init_lake(tmp_path)
    assert pq.read_schema(path).equals(tables()["trade"].arrow)


@pytest.mark.parametrize("text", ['{"format": 2}', "{}", "[]", "no json"])
def test_another_format_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "LAKE.json").write_text(text)
    for opened in (init_lake, check_format):
        with pytest.raises(LakeError, match="this program reads 1"):
            opened(tmp_path)


def test_data_without_its_format_is_refused(tmp_path: Path) -> None:
    rows = tmp_path / "hot" / "trade" / "date=2026-09-23" / "main~p~2026092302~1~2~3.parquet"
    rows.parent.mkdir(parents=True)
    rows.touch()
    with pytest.raises(LakeError, match=r"holds data but no LAKE\.json"):
        init_lake(tmp_path)


def test_a_directory_that_is_no_lake_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="not a lake"):
        check_format(tmp_path)


def test_a_missing_parent_is_named(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match=r"folder .*nowhere does not exist; make it"):
        init_lake(tmp_path / "nowhere" / "data")


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(LakeError, match="a file is in the way"):
        init_lake(tmp_path / "data")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(LakeError, match="cannot be written; mend its permissions"):
        init_lake(tmp_path)
    tmp_path.chmod(0o700)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(LakeError, match="the disk is full; make room"):
        init_lake(tmp_path / "data")
