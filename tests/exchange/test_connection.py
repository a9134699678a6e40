import json
from pathlib import Path

import pytest

from recorder.exchange.connection import Connection
from recorder.exchange.ledger import Ledger
from tests.exchange.bench import Wire, unpack


@pytest.mark.parametrize("size", [2, 125, 126, 65_535, 65_536])
def test_a_frame_of_any_length_is_one_whole_text_message(size: int) -> None:
    wire = Wire()
    Connection(1, "v1", wire, Ledger(None), 1 << 20).send(b"x" * size)
    assert unpack(wire.written[0]) == (0x81, b"x" * size)


def test_a_packed_frame_travels_as_binary_and_is_written_down_as_json(tmp_path: Path) -> None:
    wire, ledger = Wire(), Ledger(tmp_path / "ledger")
    Connection(1, "v1", wire, ledger, 1 << 20).send(b'{"a":1}', packed=b"\x1f\x8b")
    assert unpack(wire.written[0]) == (0x82, b"\x1f\x8b")
    assert json.loads((tmp_path / "ledger").read_text().splitlines()[-1])["frame"] == {"a": 1}


def test_a_client_that_does_not_read_is_cut_without_a_word(tmp_path: Path) -> None:
    wire, ledger = Wire(), Ledger(tmp_path / "ledger")
    connection = Connection(7, "v2", wire, ledger, buffer_limit=100)
    wire.unread = 101
    connection.send(b"{}")
    assert wire.aborted
    connection.send(b"{}")
    connection.closed()
    lines = [json.loads(line) for line in (tmp_path / "ledger").read_text().splitlines()]
    assert [line.get("event", "frame") for line in lines] == ["accept", "frame", "cut"]
    assert lines[-1]["reason"] == "slow reader"
