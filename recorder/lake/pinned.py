"""Which files a `Lake` reads when that is not simply what is live: those of a pin; and what retention took away."""

import time
from pathlib import Path

from recorder.errors import LakeError
from recorder.lake.layout import NO_ROWS
from recorder.lake.pins import Pin, pin, unpin
from recorder.lake.retention import LOG


def pin_now(root: Path, name: str) -> Pin:
    """Pin what is live; what retention removed between the look and the pin is left out."""
    made = pin(root, name)
    try:
        check_pinned(root, made)
    except LakeError:
        unpin(root, name)
        made = pin(root, name)
        check_pinned(root, made)
    return made


def check_pinned(root: Path, pinned: Pin) -> None:
    """Raise LakeError unless every file of the pin is there, with its size."""
    for each in pinned.files:
        path = root / each.file
        if not path.is_file() or path.stat().st_size != each.bytes:
            raise LakeError(f"{path}: named by pin {pinned.name!r} but not there as it was; restore it from a copy")


def pinned_files_sql(root: Path, pinned: Pin, table: str) -> str:
    """Set the variable `<table>_files` to the pinned files, as `views.files_sql` sets it to the live ones."""
    paths = [root / "schema" / table / NO_ROWS, *pinned.paths(root, table)]
    texts = ("'" + str(path).replace("'", "''") + "'" for path in paths)
    return f"SET VARIABLE {table}_files = [{', '.join(texts)}];\n"


class Removals:
    """Notices that retention has removed files: those are old, where nobody else looks for changes."""

    SETTLED_SECONDS = 5.0  # the note comes first, then the file goes

    def __init__(self, root: Path) -> None:
        self._path = root / LOG
        self._seen = self._look()[0]

    def happened(self) -> bool:
        """Since the last call, or so lately that a file may have gone after that."""
        size, changed_at = self._look()
        changed, self._seen = size != self._seen, size
        return changed or time.time() - changed_at < self.SETTLED_SECONDS

    def _look(self) -> tuple[int, float]:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return 0, 0.0
        return found.st_size, found.st_mtime
