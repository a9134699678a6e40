"""Make a data directory a readable lake: `python -m recorder.lake.prepare DIR REC`, run by `recorder run` at start.

Prints one more than the greatest seq that the lake holds of this recorder, where its journal may go on.
"""

import sys
from pathlib import Path

from recorder.errors import LakeError, RecorderError
from recorder.journal.format import BACKFILL
from recorder.journal.reader import SUFFIX
from recorder.lake.layout import init_lake
from recorder.lake.names import FOLDERS, PartName, table_files
from recorder.lake.schema import tables
from recorder.lake.views import lake_sql


def prepare(root: Path) -> None:
    """Write LAKE.json, the zero-row files and lake.sql where they are missing or old. Raises LakeError."""
    init_lake(root, {"lake.sql": lake_sql()})


def check_owner(root: Path, rec: str) -> None:
    """Raise LakeError if another recorder's rows are here: coverage follows seqs, which are those of one."""
    parts = (PartName.parse(path.name) for folder in FOLDERS for path in (root / folder).glob("*/date=*/*.parquet"))
    found = {name.rec for name in parts if name is not None}
    found |= {path.name for path in (root / "journal").glob("*/") if any(path.glob(f"*{SUFFIX}"))}
    if others := sorted(name for name in found if name.removesuffix(BACKFILL) != rec):
        whose = others[0].removesuffix(BACKFILL)
        raise LakeError(
            f"{root}: the lake of recorder {whose!r}, and a lake has one; name another directory ([data] dir, "
            f'or --data), or go on as {whose!r} ([data] recorder = "{whose}")'
        )


def next_seq(root: Path, rec: str) -> int:
    """One more than the greatest seq in the names of this recorder's files; 1 while there are none."""
    names = (PartName.parse(path.name) for table in tables() for path in table_files(root, table, rec))
    return 1 + max((name.last for name in names if name is not None), default=0)


def main(root: Path, rec: str) -> int:
    try:
        prepare(root)
        check_owner(root, rec)
    except RecorderError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{next_seq(root, rec)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
