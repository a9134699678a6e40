"""A lake before its first row: made readable, and of one recorder."""

from pathlib import Path

import pytest

from recorder.errors import LakeError
from recorder.lake.parts import PartMaker
from recorder.lake.prepare import check_owner, main, next_seq, prepare
from tests.lake.journals import REC, new_lake, write_story


def test_an_empty_lake_is_anybodys_and_begins_at_one(tmp_path: Path) -> None:
    prepare(tmp_path / "lake")
    check_owner(tmp_path / "lake", "anybody")
    assert next_seq(tmp_path / "lake", "anybody") == 1


@pytest.mark.parametrize("has_files", [False, True])
def test_a_lake_has_one_recorder_and_its_backfill(
    tmp_path: Path, has_files: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "lake"
    paths = write_story(new_lake(root))
    (root / "journal" / f"{REC}-backfill").mkdir()
    paths[0].rename(root / "journal" / f"{REC}-backfill" / paths[0].name)
    if has_files:
        PartMaker(root, REC).make(paths[1:])
        for path in (root / "journal").rglob("*.jrn"):
            path.unlink()
    check_owner(root, REC)
    with pytest.raises(LakeError, match=rf"'{REC}'.*\[data\] recorder = \"{REC}\""):
        check_owner(root, "other")
    assert main(root, "other") == 2
    assert REC in capsys.readouterr().err
