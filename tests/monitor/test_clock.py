"""A clock that is wrong is told, and what to do about it: by `status` from the last pong, by `doctor` from REST."""

import json
from pathlib import Path

import pytest

from recorder.config import Settings, Venue
from recorder.exchange import Options, serve
from recorder.lake.status import status
from recorder.monitor.doctor import _venue
from recorder.monitor.report import print_status
from tests.lake.helpers import clock, empty_lake, write

REMEDY = "set this machine's clock (chrony or ntpd)"


@pytest.mark.parametrize(("offset_ms", "is_wrong"), [(-300, False), (-1500, True), (1500, True)])
def test_status_warns_of_a_clock_that_is_wrong_by_more_than_a_second(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], offset_ms: int, is_wrong: bool
) -> None:
    root = empty_lake(tmp_path / "data")
    write(root, "clock", [clock(1, 5) | {"offset_ns": offset_ms * 1_000_000}])
    print_status(json.loads(json.dumps(status(root, "main"), default=str)))
    printed = capsys.readouterr().out
    assert f"ours is {-offset_ms:+.1f} ms from the venue's" in printed
    assert (REMEDY in printed) is is_wrong


@pytest.mark.parametrize(("wrong_ms", "is_well"), [(0, True), (5_000, False), (-5_000, False)])
async def test_doctor_finds_a_clock_that_is_wrong_by_more_than_a_second(wrong_ms: int, is_well: bool) -> None:
    async with serve(Options(symbols=("BTCUSD",))) as exchange:
        exchange.hub.clock.wrong_ms = wrong_ms
        venue = Venue(rest_url=exchange.rest, ws_v1_url=exchange.ws_v1, ws_v2_url=exchange.ws_v2)
        (found,) = [one for one in await _venue(Settings(venue=venue)) if one["check"] == "REST and clock"]
    assert found["ok"] is is_well
    assert found["remedy"] == ("" if is_well else REMEDY)
