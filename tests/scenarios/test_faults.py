"""A venue that misbehaves: whatever it does, the lake is the ledger outside the intervals that `gap` names."""

import json
import os
from pathlib import Path

import pytest

from tests.scenarios.ledger import compare
from tests.scenarios.support import exchange, recorder
from tests.scenarios.test_run import SYMBOLS, recording_is_under_way, rows

pytestmark = pytest.mark.slow
MIXTURES = int(os.environ.get("RECORDER_FAULT_MIXTURES", "6"))  # 200 take an hour
OVER_SECONDS = 25
NAMED = {"RECORDER__RECORD__SYMBOLS": json.dumps(SYMBOLS[1].split(","))}  # REST may refuse for minutes: name them
KINDS = [
    *("cut", "close", "refuse", "mute", "delay", "duplicate", "reorder", "repeat_history", "error_frame", "garbage"),
    *("binary_gzip", "oversized", "list_wrapped", "empty_data", "clock_offset", "clock_step", "http", "slow_rest"),
]


def script(folder: Path, text: str) -> str:
    path = folder / "faults.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("seed", range(1, MIXTURES + 1))
def test_a_random_mixture_of_faults_costs_nothing_that_gap_does_not_name(tmp_path: Path, seed: int) -> None:
    text = (
        f"[random]\nseed = {seed}\ncount = 10\nover_seconds = {OVER_SECONDS}\n"
        f"longest_seconds = 4\nkinds = {json.dumps(KINDS)}\n"
    )
    faults = script(tmp_path, text)
    with (
        exchange(tmp_path, *SYMBOLS, "--rate", "3", "--faults", faults) as market,
        recorder(tmp_path, market, **NAMED) as run,
    ):
        recording_is_under_way(run)
        market.wait_for_seconds(OVER_SECONDS + 5)
        assert run.stop() == 0, run.log()
    verdicts = compare(run.data, market.ledger)
    assert all(verdict.holds for verdict in verdicts.values()), "\n".join(map(str, verdicts.values())) + text


def test_a_line_cut_a_hundred_times_costs_no_trade_and_leaves_no_gap_of_trades(tmp_path: Path) -> None:
    """Trades come by two lines; one of them lives."""
    faults = script(
        tmp_path, '[[fault]]\nafter = "subscribed"\nat = 3\nkind = "cut"\napi = "v2"\ntimes = 100\nevery = 0.3\n'
    )
    with exchange(tmp_path, *SYMBOLS, "--rate", "10", "--faults", faults) as market, recorder(tmp_path, market) as run:
        recording_is_under_way(run)
        market.wait_for_seconds(36)
        assert run.stop() == 0, run.log()
    verdicts = compare(run.data, market.ledger)
    assert verdicts["trade"].holds, str(verdicts["trade"])
    assert verdicts["trade"].in_gaps == 0
    assert rows(run.data, "SELECT count(*) FROM gap WHERE channel = 'trade'") == [(0,)]
    assert rows(run.data, "SELECT count(*) > 10 FROM gap WHERE channel = 'depth'") == [(True,)]
