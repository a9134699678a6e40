"""Read segments, with or without a recorder at work: names say what is finished, no lock is needed.

The newest segment by name is the one being written. All others are closed and never change again.
"""

from pathlib import Path

from recorder.journal.format import Record, Scan, scan

SUFFIX = ".jrn"


def segment_name(first_seq: int) -> str:
    return f"{first_seq:020d}{SUFFIX}"


def first_seq(path: Path) -> int:
    """The seq of the first record, from the name alone."""
    return int(path.stem)


def segments(folder: Path) -> list[Path]:
    """All segments, oldest first. An absent folder has none."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit() and len(path.stem) == 20)


def closed_segments(folder: Path) -> list[Path]:
    """All segments that will never change again, oldest first: all but the newest."""
    return segments(folder)[:-1]


def scan_segment(path: Path) -> Scan:
    """The segment as it is now, read at once; iterate for its good records, then see `.is_whole`."""
    return scan(path.read_bytes())


def read_segment(path: Path) -> list[Record]:
    """The good records of a segment, in order; a torn tail is left out without complaint."""
    return list(scan_segment(path))


def tail(path: Path, offset: int = 0) -> tuple[list[Record], int]:
    """What was appended to a segment after `offset`, and the offset to go on from.

    A record that is just being written is left for the next call.
    """
    with path.open("rb") as file:
        file.seek(offset)
        found = scan(file.read())
    records = list(found)
    return records, offset + found.good
