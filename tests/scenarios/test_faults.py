"""A venue that misbehaves and processes that are killed: the lake is the ledger outside of what coverage calls a gap.

The venue's time runs `SPEED` times as fast as ours, and capture's rules with it. `RECORDER_FAULT_MIXTURES=200` plays
that many mixtures, `RECORDER_FAULT_FIRST` names the first seed.
"""

import json
import os
import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from recorder.capture.clock import LEAST_MARGIN_NS
from recorder.capture.tempo import PACE_VARIABLE
from recorder.exchange import random_script
from recorder.exchange.faults import KINDS, Script, script_of
from tests.scenarios.ledger import compare
from tests.scenarios.outage import FOR_EVER, Overhang, faults, outages, overhangs
from tests.scenarios.support import RECORDER, Exchange, Recorder, exchange, recorder, wait_until
from tests.scenarios.test_run import SYMBOLS, recording_is_under_way, rows

pytestmark = pytest.mark.slow
MIXTURES = int(os.environ.get("RECORDER_FAULT_MIXTURES", "2"))
FIRST_SEED = int(os.environ.get("RECORDER_FAULT_FIRST", "1"))
IN_A_RUN = 10  # mixtures that one recorder meets, one after the other
SPEED = 5.0
NAMES = tuple(SYMBOLS[1].split(","))
# REST may refuse for minutes: name them.
SETTINGS = {
    PACE_VARIABLE: str(SPEED),
    "RECORDER__RECORD__SYMBOLS": json.dumps(NAMES),
    "RECORDER__RECORD__STREAMS": json.dumps(["trade", "depth", "kline", "bbo", "ticker", "depth_delta"]),
    "RECORDER__RECORD__BACKFILL": "false",  # it does not come by itself within a minute: it is started here
}
# Seconds of the venue.
BEGIN = 25.0  # until the recorder is under way
MIXTURE = 25.0
LONGEST = 4.0
COUNT = 8  # faults of a mixture
APART = 6.0  # where each fault comes alone
# Our seconds that a gap may be longer than the outage, on each side: 2 of the venue, and the margin before the last
# good frame, which is by our clock.
SLACK = 2.0 / SPEED + LEAST_MARGIN_NS / 1e9
VICTIMS = ("capture", "writer", "both", "sealer", "backfill", "nobody")


@contextmanager
def under_faults(folder: Path, script: Script, rate: str = "1") -> Iterator[tuple[Exchange, Recorder]]:
    path = folder / "faults.toml"
    path.write_text(script.toml())
    arguments = (*SYMBOLS, "--rate", rate, "--speed", str(SPEED), "--faults", str(path))
    with exchange(folder, *arguments) as market, recorder(folder, market, **SETTINGS) as run:
        recording_is_under_way(run)
        yield market, run


def check(run: Recorder, market: Exchange) -> None:
    verdicts = compare(run.data, market.ledger)
    assert all(verdict.holds for verdict in verdicts.values()), "\n".join(map(str, verdicts.values()))
    assert all(verdict.stored for verdict in verdicts.values()), "\n".join(map(str, verdicts.values()))
    out = outages(market.ledger, SPEED)
    no_longer(overhangs(run.data, lambda stream: out.get(stream, [(0, FOR_EVER)]), SLACK), "no connection brought them")


def no_longer(found: list[Overhang], than: str) -> None:
    assert found == [], f"gaps that reach over the time in which {than}:\n" + "\n".join(map(str, found))


# One after the other, so that a line that breaks has lived for half a minute when it breaks again.
ALONE: dict[str, dict[str, object]] = {
    "cut": {"api": "v2", "reset": True},
    "mute": {"topic": "depth", "symbol": NAMES[0], "for": 5},
    "duplicate": {"count": 30, "copies": 2},
    "close": {"api": "v1", "code": 1012},
    "reorder": {"count": 20},
    "skip_counter": {"count": 3},
    "half_open": {"api": "v2", "for": 4},
    "error_frame": {"shape": "all"},
    "garbage": {"shape": "all"},
    "binary_gzip": {"count": 30},
    "list_wrapped": {"count": 10, "size": 3},
    "empty_data": {"count": 10, "shape": "all"},
    "restart": {"for": 4},
    "clock_offset": {"ms": 60_000, "for": 4},
    "clock_step": {"ms": -5_000},
    "http": {"answer": 429, "for": 4},
    "slow_rest": {"seconds": 3.0, "for": 4},
    "delay": {"seconds": 1.5, "for": 3},
    "refuse": {"api": "v1", "for": 4},
    "oversized": {},
    "repeat_history": {},
    "mute_all_but_pongs": {"api": "v1", "for": 4},
    "list": {"symbol": "SOLUSD"},
    "delist": {"symbol": NAMES[1]},
}


def test_each_fault_alone_costs_nothing_that_coverage_does_not_name(tmp_path: Path) -> None:
    assert set(ALONE) == set(KINDS)
    at = {kind: BEGIN + place * APART for place, kind in enumerate(ALONE)}
    script = script_of(
        [
            *({"at": at[kind], "kind": kind} | more for kind, more in ALONE.items()),
            {"at": at["refuse"] + 0.5, "kind": "cut", "api": "v1"},  # who is connected does not meet a closed door
        ]
    )
    with under_faults(tmp_path, script) as (market, run):
        market.wait_for_seconds((BEGIN + len(ALONE) * APART) / SPEED)
        assert run.stop() == 0, run.log()
    assert happened(market) == set(KINDS)
    check(run, market)
    at_work = faults(market.ledger, SPEED)
    # A stream that was silent is missing from its last push to its next one, however seldom it speaks.
    found = [one for one in overhangs(run.data, lambda _: at_work, SLACK) if one.reason != "stale"]
    no_longer(found, "a fault was at work")


def happened(market: Exchange) -> set[str]:
    """Kinds that the ledger tells of, beyond having been planned and having missed."""
    entries = map(json.loads, market.ledger.read_bytes().splitlines())
    events = [entry for entry in entries if "fault" in entry and entry["event"] not in ("planned", "withheld")]
    kinds = {entry["fault"]: entry["kind"] for entry in map(json.loads, market.ledger.open()) if "kind" in entry}
    return {kinds[entry["fault"]] for entry in events if entry.get("phase") != "missed"}


@pytest.mark.parametrize("first", range(FIRST_SEED, FIRST_SEED + MIXTURES, IN_A_RUN))
def test_mixtures_of_faults_and_kills_cost_nothing_that_coverage_does_not_name(tmp_path: Path, first: int) -> None:
    seeds = range(first, min(first + IN_A_RUN, FIRST_SEED + MIXTURES))
    with under_faults(tmp_path, mixtures(seeds)) as (market, run):
        for place, seed in enumerate(seeds):
            draw = random.Random(f"kill:{seed}")
            market.wait_for_seconds((BEGIN + (place + draw.random()) * MIXTURE) / SPEED)
            kill(run, draw)
        market.wait_for_seconds((BEGIN + len(seeds) * MIXTURE) / SPEED)
        alive(run)
        assert run.stop() == 0, run.log()
    check(run, market)


def mixtures(seeds: Sequence[int]) -> Script:
    """One after the other; each draws from all kinds."""
    kinds = [kind for kind in KINDS if kind != "list"]
    entries = []
    for place, seed in enumerate(seeds):
        drawn = random_script(seed, MIXTURE, count=COUNT, kinds=kinds, symbols=NAMES, longest_seconds=LONGEST)
        entries += [{**fault.entry, "at": BEGIN + place * MIXTURE + fault.entry["at"]} for fault in drawn.faults]
    return script_of(entries)


def kill(run: Recorder, draw: random.Random) -> None:
    """SIGKILL of one or two processes; what has no supervisor is started again."""
    victim = draw.choice(VICTIMS)
    if victim in ("capture", "writer", "both"):
        run.kill(capture=victim != "writer", writer=victim != "capture")
        if victim != "writer":
            run.start()
    elif victim == "sealer":
        run.child("recorder.lake.seal").kill()
    elif victim == "backfill":
        filling = subprocess.Popen(
            [*RECORDER, "backfill", "--data", str(run.data)], env=run.environment, stdout=subprocess.DEVNULL
        )
        time.sleep(draw.uniform(0.5, 3.0))  # a random moment of its life
        filling.kill()
        filling.wait()


def alive(run: Recorder) -> None:
    """Until what was started last has journaled something, so that it ends in order."""
    lock = run.data / "journal" / "main" / "LOCK"
    wait_until(lambda: lock.read_text().strip() == str(run.running.pid), "the last start holds the lock")
    known = rows(run.data, "SELECT coalesce(max(seq), 0) FROM session")[0][0]
    more = f"SELECT count(*) > 0 FROM depth WHERE seq > {known}"
    wait_until(lambda: rows(run.data, more) == [(True,)], "books arrive again")
