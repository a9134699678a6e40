"""Make a data directory a readable lake: `python -m recorder.lake.prepare DIR REC`, run by `recorder run` at start.

Prints one more than the greatest seq that the lake holds of this recorder, where its journal may go on.
"""

import sys
from pathlib import Path

from recorder.errors import RecorderError
from recorder.lake.layout import init_lake
from recorder.lake.names import PartName, table_files
from recorder.lake.schema import tables
from recorder.lake.views import lake_sql


def prepare(root: Path) -> None:
    """Write LAKE.json, the zero-row files and lake.sql where they are missing or old. Raises LakeError."""
    init_lake(root, {"lake.sql": lake_sql()})


def next_seq(root: Path, rec: str) -> int:
    """One more than the greatest seq in the names of this recorder's files; 1 while there are none."""
    names = (PartName.parse(path.name) for table in tables() for path in table_files(root, table, rec))
    return 1 + max((name.last for name in names if name is not None), default=0)


def main(root: Path, rec: str) -> int:
    try:
        prepare(root)
    except RecorderError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{next_seq(root, rec)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
