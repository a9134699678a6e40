"""Recovery: where to go on, what was cut or set aside, and what the last run knew when it died."""

import json
from pathlib import Path

from recorder.journal.format import Kind, Line, pack
from recorder.journal.reader import read_segment, segment_name, segments
from recorder.journal.recover import Cut, recover

HEAD = {"event": "segment", "live": [["trade", ["BTCUSD"]]]}


def frame(seq: int) -> bytes:
    return pack(seq, 1000 + seq, seq, 7, 1, Kind.TEXT, Line.WS_V2, b"frame %d" % seq)


def event(seq: int, **fields: object) -> bytes:
    return pack(seq, 1000 + seq, seq, 7, 0, Kind.EVENT, Line.OWN, json.dumps(fields).encode())


def write(folder: Path, seq: int, content: bytes) -> Path:
    path = folder / segment_name(seq)
    path.write_bytes(content)
    return path


def test_a_new_folder_starts_at_one_or_after_what_the_lake_holds(tmp_path: Path) -> None:
    assert recover(tmp_path).next_seq == 1
    assert recover(tmp_path, at_least=500).next_seq == 500
    assert recover(tmp_path / "absent").last_ns is None


def test_the_next_seq_follows_the_greatest_of_records_and_names(tmp_path: Path) -> None:
    write(tmp_path, 1, event(1, **HEAD) + frame(2))
    assert recover(tmp_path).next_seq == 3
    write(tmp_path, 9, b"")
    assert recover(tmp_path).next_seq == 10


def test_a_torn_tail_of_the_newest_segment_is_cut_off_and_told(tmp_path: Path) -> None:
    path = write(tmp_path, 1, event(1, **HEAD) + frame(2) + frame(3)[:-3])
    found = recover(tmp_path)
    assert found.cuts == [Cut(path.name, len(frame(3)) - 3)]
    assert (found.next_seq, found.last_ns, found.last_hour) == (3, 1002, 7)
    assert path.read_bytes() == event(1, **HEAD) + frame(2)
    assert recover(tmp_path).cuts == []


def test_what_the_last_run_knew_is_its_newest_head_and_the_events_after_it(tmp_path: Path) -> None:
    write(tmp_path, 1, event(1, event="segment", live=[]) + event(2, event="live", channel="bbo"))
    write(tmp_path, 3, event(3, **HEAD) + frame(4) + event(5, event="lost", channel="trade"))
    found = recover(tmp_path)
    assert found.head == HEAD
    assert found.events == [(1005, {"event": "lost", "channel": "trade"})]


def test_an_empty_newest_segment_leaves_the_state_to_the_one_before(tmp_path: Path) -> None:
    write(tmp_path, 1, event(1, **HEAD))
    write(tmp_path, 2, b"")
    assert recover(tmp_path).head == HEAD


def test_damage_in_the_middle_is_set_aside_its_good_records_stay_and_the_loss_is_told(tmp_path: Path) -> None:
    content = bytearray(event(1, **HEAD) + frame(2) + frame(3) + frame(4))
    content[len(event(1, **HEAD) + frame(2)) + 45] ^= 1
    path = write(tmp_path, 1, bytes(content))
    write(tmp_path, 5, event(5, **HEAD) + frame(6))
    found = recover(tmp_path)
    (damage,) = found.damages
    assert (damage.file, damage.first_seq, damage.last_seq) == (path.name, 3, 4)
    assert (damage.from_ns, damage.to_ns) == (1002, 1005)
    assert damage.bytes == len(frame(3) + frame(4))
    assert [r.seq for r in read_segment(path)] == [1, 2]
    assert (tmp_path / "damaged" / path.name).read_bytes() == bytes(content)
    assert recover(tmp_path).damages == []
    assert len(segments(tmp_path)) == 2


def test_damage_in_the_newest_segment_is_kept_aside_too(tmp_path: Path) -> None:
    content = bytearray(event(1, **HEAD) + frame(2) + frame(3))
    content[-1] ^= 1
    path = write(tmp_path, 1, bytes(content))
    found = recover(tmp_path)
    assert found.cuts == []
    assert (found.damages[0].first_seq, found.damages[0].to_ns) == (3, None)
    assert (tmp_path / "damaged" / path.name).read_bytes() == bytes(content)
    assert found.next_seq == 3
