"""Make a data directory a readable lake: `python -m recorder.lake.prepare DIR`, run by `recorder run` at start."""

import sys
from pathlib import Path

from recorder.errors import RecorderError
from recorder.lake.layout import init_lake
from recorder.lake.views import lake_sql


def prepare(root: Path) -> None:
    """Write LAKE.json, the zero-row files and lake.sql where they are missing or old."""
    init_lake(root, {"lake.sql": lake_sql()})


if __name__ == "__main__":
    try:
        prepare(Path(sys.argv[1]))
    except RecorderError as error:
        sys.exit(str(error))
