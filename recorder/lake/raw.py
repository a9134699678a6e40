"""Raw archives: every finished segment, compressed, as `raw/<rec>/date=<YYYY-MM-DD>/<first_seq>~<last_seq>.jrn.zst`.

An archive is one whole zstd stream of the segment's good records, byte for byte: `zstd -d` gives a segment back, and
`raw_seal.py` decodes a new lake from them. It is published before the segment is removed, so that a crash leaves
both; the same segment always gets the same name, and what is there already is not written again.
"""

import errno
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import structlog

from recorder.errors import LakeError
from recorder.journal.format import Scan, scan
from recorder.journal.reader import SUFFIX
from recorder.lake.disk import make_folder, publish
from recorder.lake.names import day_window, window_date

log = structlog.get_logger()

ROLE = "raw"
ARCHIVE = f"{SUFFIX}.zst"
LEVEL = 3  # more costs CPU and gains little: successive books repeat, which any level sees
CHUNK = 1 << 20
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
AGAIN = 1.1  # the reserve must be exceeded by this before it goes on: no flapping, and no sooner than capture says so


@dataclass(frozen=True, slots=True)
class RawName:
    """The name of an archive."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first:020d}~{self.last:020d}{ARCHIVE}"

    @classmethod
    def parse(cls, name: str) -> "RawName | None":
        """None for a name that is not one of ours."""
        first, _, last = name.removesuffix(ARCHIVE).partition("~")
        if not name.endswith(ARCHIVE) or not first.isdigit() or not last.isdigit():
            return None
        return cls(int(first), int(last))


def raw_folder(root: Path, rec: str) -> Path:
    return root / "raw" / rec


class Archive:
    """Keeps the finished segments of one recorder; made by the holder of WRITER.LOCK only.

    With less free space than `reserve` bytes nothing is kept: the raw archive is the first thing to give way.
    """

    def __init__(self, root: Path, rec: str, reserve: int = 0) -> None:
        self.folder = raw_folder(root, rec)
        self.reserve = reserve
        self.is_stopped = False
        make_folder(self.folder)
        for left in self.folder.glob(f"date=*/.{ROLE}-*.tmp"):
            left.unlink(missing_ok=True)

    def keep(self, segment: Path) -> Path | None:
        """Archive a segment that nobody writes to any more; None if it has no records or the disk no room.

        A disk that fails otherwise raises OSError: then the segment must stay.
        """
        if self._is_low():
            return None
        try:
            kept = archive(self.folder, segment)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            # Waiting for room would keep the segment, which needs fifteen times as much of it.
            log.error("raw archive has a hole: the disk is full", segment=segment.name)
            return None
        return kept

    def _is_low(self) -> bool:
        was = self.is_stopped
        self.is_stopped = self._free() < self.reserve * (AGAIN if was else 1)
        if self.is_stopped and not was:
            log.error("raw archive stops: less free space than the reserve", reserve_bytes=self.reserve)
        elif was and not self.is_stopped:
            log.warning("raw archive goes on", folder=str(self.folder))
        return self.is_stopped

    def _free(self) -> int:
        return shutil.disk_usage(self.folder).free


def archive(folder: Path, segment: Path) -> Path | None:
    """Compress the good records of a segment into `folder`; None if it has none."""
    content = segment.read_bytes()
    found = scan(content)
    first = last = None
    for record in found:
        first, last = first or record, record
    if first is None or last is None:
        return None
    name = RawName(first.seq, last.seq)
    path = folder / f"date={window_date(day_window(first.hour))}" / str(name)
    if not path.exists():
        good = memoryview(content)[: found.good]
        make_folder(path.parent)
        publish(path, lambda partial: _compress(partial, good), ROLE)
    return path


def _compress(path: Path, content: memoryview) -> None:
    codec = pa.Codec("zstd", compression_level=LEVEL)
    with path.open("wb") as file:
        file.write(codec.compress(content))


def read_raw(path: Path) -> Scan:
    """The records of an archive or of a plain segment. Of one that is damaged, those before the damage."""
    if not path.name.endswith(ARCHIVE):
        return scan(path.read_bytes())
    pieces = []
    is_whole = True
    with path.open("rb") as file, pa.CompressedInputStream(file, "zstd") as stream:
        try:
            while piece := stream.read(CHUNK):
                pieces.append(piece)
        except OSError:
            is_whole = False
    content = b"".join(pieces)
    return scan(content if is_whole else content + b"\0")  # a byte that is no record: the scan is then not whole


def raw_files(root: Path) -> Iterator[tuple[str, RawName, Path]]:
    """(recorder, name, path) of every archive of a lake, oldest first for each recorder."""
    for path in sorted((root / "raw").glob(f"*/date=*/*{ARCHIVE}")):
        name = RawName.parse(path.name)
        if name is not None:
            yield path.parent.parent.name, name, path


def sources(folder: Path) -> dict[str, list[Path]]:
    """By recorder: archives and plain segments anywhere below `folder`, by first seq; an archive before its segment.

    Raises LakeError if there are none.
    """
    found: list[tuple[int, bool, Path]] = []
    for path in folder.rglob(f"*{ARCHIVE}"):
        name = RawName.parse(path.name)
        if name is not None:
            found.append((name.first, False, path))
    for path in folder.rglob(f"*{SUFFIX}"):
        if path.stem.isdigit() and path.parent.name != "damaged":
            found.append((int(path.stem), True, path))
    if not found:
        raise LakeError(f"{folder}: no raw archives ({ARCHIVE}) or segments ({SUFFIX}); name raw/ of a lake")
    by_recorder: dict[str, list[Path]] = {}
    for _, _, path in sorted(found):
        by_recorder.setdefault(_recorder(path), []).append(path)
    return by_recorder


def _recorder(path: Path) -> str:
    folder = path.parent
    return folder.parent.name if folder.name.startswith("date=") else folder.name
