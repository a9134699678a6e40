"""Options in, a running exchange out; what cannot be met is one clear line."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from recorder.exchange import ExchangeError, Options, app, serve
from recorder.exchange.app import open_source
from recorder.exchange.market import Market


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"symbols": ("NOPE",)}, "--symbols NOPE"),
        ({"pairs": 99}, "--pairs 99"),
        ({"speed": 0.0}, "--speed 0"),
        ({"rate": -1.0}, "--rate -1"),
        ({"captures": (Path("nowhere.gz"),)}, "--capture nowhere.gz: no such file"),
        ({"captures": (Path("x.gz"),), "symbols": ("BTCUSD",)}, "its own symbols"),
    ],
)
def test_wrong_options_are_one_line_with_a_remedy(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ExchangeError, match=says) as caught:
        open_source(Options(**options))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "faults.toml: No such file"),
        ("[[fault]]\nat = 1\nkind = 'cut it'", 'line 3.*did you mean kind = "cut"'),
        ("[[fault]]\nat = 1\nkind = 'mute'\nsymbol = 'NOPE'", "NOPE is not traded here; choose from BTCUSD"),
    ],
)
async def test_a_wrong_script_is_one_line_with_a_remedy(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "faults.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ExchangeError, match=says) as caught:
        async with serve(Options(symbols=("BTCUSD",), faults=path)):
            pass
    assert "\n" not in str(caught.value)


async def test_its_clock_is_ours_however_long_the_market_took_to_make(monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(*arguments: Any) -> Market:
        made = Market(*arguments)
        time.sleep(0.2)
        return made

    monkeypatch.setattr(app, "Market", slowly)
    async with serve(Options(symbols=("BTCUSD",))) as exchange:
        before = time.time_ns()
        told = exchange.hub.clock.now()
        assert before - 20_000_000 < told <= time.time_ns(), "between the two looks, but for the rest of a millisecond"


PROGRAM = """
import sys
from recorder.exchange import Options, simulate
sys.exit(simulate(Options(symbols=("BTCUSD",))))
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_first_and_ends_well_when_told(how: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, env=os.environ)
    try:
        assert process.stdout is not None
        urls = json.loads(process.stdout.readline())
        assert list(urls) == ["rest", "ws_v1", "ws_v2"]
        assert urls["ws_v1"] == urls["rest"].replace("http", "ws") + "/quote/ws/v1"
        with urllib.request.urlopen(urls["rest"] + "/api/v1/ping", timeout=10) as reply:
            assert reply.read() == b"{}"
        process.send_signal(how)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
