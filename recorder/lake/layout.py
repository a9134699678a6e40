"""The tree of a lake: made once, and checked each time that a recorder opens it.

The zero-row file of each table fixes its types and makes a lake without rows readable.
"""

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recorder.errors import LakeError
from recorder.lake.disk import make_folder, publish, publish_text, sync_folder
from recorder.lake.schema import tables

FORMAT = 1
FORMAT_FILE = "LAKE.json"
# Made in the direction in which rows move, since `cp -r` copies in the order in which folders were made: each row is
# then in what it copies at least once, see copies.py.
FOLDERS = ("schema", "journal", "closed", "hot", "sealed", "pins", "manifest")
NO_ROWS = "date=1970-01-01/empty.parquet"


def init_lake(root: Path, texts: Mapping[str, str] | None = None) -> None:
    """Make `root` a lake, or bring one of our format up to date; `texts` are files to publish in it by name.

    Raises LakeError if it cannot be made or written, or is a lake of another format.
    """
    try:
        _make(root, dict(texts or {}))
    except OSError as error:
        raise LakeError(f"{root}: {_remedy(root, error)}") from error


def check_format(root: Path) -> None:
    """Raise LakeError unless `root` is a lake that we can read."""
    try:
        text = (root / FORMAT_FILE).read_text()
    except FileNotFoundError as error:
        raise LakeError(f"{root}: not a lake (no {FORMAT_FILE}); record into it first, or name another") from error
    except OSError as error:
        raise LakeError(f"{root}: {_remedy(root, error)}") from error
    try:
        document = json.loads(text)
        found = document.get("format") if isinstance(document, dict) else None
    except ValueError:
        found = None
    if found != FORMAT:
        raise LakeError(
            f"{root / FORMAT_FILE}: format {found!r}, this program reads {FORMAT}; "
            "use the version that wrote it, or name another directory with --data"
        )


def _make(root: Path, texts: dict[str, str]) -> None:
    if not root.is_dir():
        root.mkdir()
        sync_folder(root.parent)
    if (root / FORMAT_FILE).exists():
        check_format(root)
    elif any(any((root / name).rglob("*.parquet")) for name in ("hot", "sealed")):
        raise LakeError(f"{root}: holds data but no {FORMAT_FILE}; restore that file, or name another directory")
    for folder in FOLDERS:
        make_folder(root / folder)
    for table in tables().values():
        _fix_types(root / "schema" / table.name / NO_ROWS, table.arrow)
    for name, content in texts.items():
        publish_text(root / name, content)
    if not (root / FORMAT_FILE).exists():  # last: what is called a lake can be read
        publish_text(root / FORMAT_FILE, json.dumps({"format": FORMAT}) + "\n")
    if not os.access(root, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(root))


def _fix_types(path: Path, schema: pa.Schema) -> None:
    if path.exists():
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow
            if found.equals(schema) and found.metadata == schema.metadata:
                return
    make_folder(path.parent)
    publish(path, lambda partial: pq.write_table(schema.empty_table(), partial))


def _remedy(root: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"the folder {root.parent} does not exist; make it, or name another directory with --data"
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "a file is in the way; name a directory with --data or [data] dir"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "cannot be written; mend its permissions, or name another directory with --data"
    if error.errno == errno.ENOSPC:
        return "the disk is full; make room, or name another directory with --data"
    return f"cannot be used ({error.strerror}); name another directory with --data"
