"""Options in, a running exchange out; what cannot be met is one clear line."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from recorder.exchange import ExchangeError, Options
from recorder.exchange.app import open_source


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"symbols": ("NOPE",)}, "--symbols NOPE"),
        ({"pairs": 99}, "--pairs 99"),
        ({"speed": 0.0}, "--speed 0"),
        ({"rate": -1.0}, "--rate -1"),
        ({"faults": Path("faults.toml")}, "not available yet"),
        ({"captures": (Path("nowhere.gz"),)}, "--capture nowhere.gz: no such file"),
        ({"captures": (Path("x.gz"),), "symbols": ("BTCUSD",)}, "its own symbols"),
    ],
)
def test_wrong_options_are_one_line_with_a_remedy(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ExchangeError, match=says) as caught:
        open_source(Options(**options))
    assert "\n" not in str(caught.value)


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
