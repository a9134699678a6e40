import json
from pathlib import Path

import pytest

from recorder.exchange.errors import ExchangeError
from recorder.exchange.ledger import Ledger


def test_a_line_is_the_frame_as_sent_and_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.ndjson"
    ledger = Ledger(path)
    ledger.event(1, "accept", api="v2")
    ledger.frame(1, "v2", b'{"pong":1748503865406}')
    first, second = map(json.loads, path.read_text().splitlines())
    assert (first["conn"], first["event"], first["api"]) == (1, "accept", "v2")
    assert set(first) == {"conn", "event", "at_ns", "api"}
    assert set(second) == {"conn", "api", "sent_ns", "frame"}
    assert second["frame"] == {"pong": 1748503865406}
    assert first["at_ns"] <= second["sent_ns"]
    ledger.close()


def test_a_ledger_that_cannot_be_written_is_an_error_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="nowhere"):
        Ledger(tmp_path / "nowhere" / "ledger.ndjson")


def test_without_a_path_nothing_is_written() -> None:
    Ledger(None).frame(1, "v1", b"{}")
