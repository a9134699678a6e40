"""The manifest survives what a crash can do to an appended file."""

import hashlib
from pathlib import Path

from recorder.lake.manifest import Entry, append, make_entry, manifest_path, missing, read, recorders
from tests.lake import helpers


def entry(number: int) -> Entry:
    return Entry(f"sealed/trade/f{number}", 10 * number, number, "ab" * 32, number)


def test_what_was_appended_is_read_by_file(tmp_path: Path) -> None:
    append(tmp_path, "alpha", [entry(1)])
    append(tmp_path, "alpha", [entry(2), entry(3)])
    assert list(read(tmp_path, "alpha").values()) == [entry(1), entry(2), entry(3)]
    assert recorders(tmp_path) == ["alpha"]
    assert read(tmp_path, "beta") == {}


def test_a_torn_line_is_passed_over_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    append(tmp_path, "alpha", [entry(1), entry(2)])
    path = manifest_path(tmp_path, "alpha")
    for length in range(1, 40):
        whole = path.read_bytes()
        path.write_bytes(whole[:-length])
        append(tmp_path, "alpha", [entry(3)])
        found = read(tmp_path, "alpha")
        assert found[entry(1).file] == entry(1)
        assert found[entry(3).file] == entry(3)
        path.write_bytes(whole)


def test_lines_that_are_no_entries_are_passed_over(tmp_path: Path) -> None:
    append(tmp_path, "alpha", [entry(1)])
    with manifest_path(tmp_path, "alpha").open("ab") as file:
        file.write(b'\x00\x00\n[1]\n"x"\n{"file": "y"}\n')
    assert list(read(tmp_path, "alpha")) == [entry(1).file]


def test_an_entry_is_made_from_the_file_and_missing_ones_are_found(tmp_path: Path) -> None:
    path = helpers.write(tmp_path, "trade", [helpers.trade(1, 0, "10")], level="d", place="sealed")
    assert missing(tmp_path, "alpha") == [path]
    made = make_entry(tmp_path, path, 5)
    assert made.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (made.rows, made.bytes) == (1, path.stat().st_size)
    append(tmp_path, "alpha", [made])
    assert missing(tmp_path, "alpha") == []
