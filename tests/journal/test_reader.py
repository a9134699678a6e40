"""Reading needs no lock: names tell what is closed, and the newest can be followed while it grows."""

from pathlib import Path

from recorder.journal.format import pack
from recorder.journal.reader import closed_segments, read_segment, segment_name, segments, tail


def record(seq: int) -> bytes:
    return pack(seq, seq, seq, 1, 1, 0, 2, b"payload %d" % seq)


def test_segments_are_listed_by_their_first_seq_and_nothing_else_is(tmp_path: Path) -> None:
    for name in (segment_name(12), segment_name(3), ".next.tmp", "LOCK", "x.jrn"):
        (tmp_path / name).touch()
    assert [path.name for path in segments(tmp_path)] == [segment_name(3), segment_name(12)]
    assert [path.name for path in closed_segments(tmp_path)] == [segment_name(3)]
    assert segments(tmp_path / "absent") == []


def test_a_torn_tail_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / segment_name(1)
    path.write_bytes(record(1) + record(2)[:-1])
    assert [r.seq for r in read_segment(path)] == [1]


def test_the_newest_segment_can_be_followed_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / segment_name(1)
    path.write_bytes(record(1) + record(2)[:20])
    first, offset = tail(path)
    with path.open("ab") as file:
        file.write(record(2)[20:] + record(3))
    second, offset = tail(path, offset)
    assert [[r.seq for r in part] for part in (first, second)] == [[1], [2, 3]]
    assert tail(path, offset) == ([], offset)
