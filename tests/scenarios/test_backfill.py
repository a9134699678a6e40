"""A recorder that was killed and started again: backfill heals what can be healed, once."""

import json
import os
import subprocess
import time
import urllib.parse
import urllib.request
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from recorder.config import Data, Record, Settings, Venue
from recorder.quality.backfill_schedule import command
from recorder.quality.verify_coverage import check_coverage
from tests.scenarios.support import Exchange, Recorder, exchange, recorder, wait_until
from tests.scenarios.test_run import recording_is_under_way, rows

pytestmark = pytest.mark.slow
SYMBOL = "ETHUSD"
BY_HAND = {"RECORDER__RECORD__BACKFILL": "false"}  # we start it, when we know what it can find
V1_HISTORY = 60  # trades
MINUTE = 60
CLOSED = 5.5  # seconds after its close, a candle may be asked for
SETTLED = 8.5  # seconds after a gap, trades may be compared


def ask(market: Exchange, path: str, **params: Any) -> Any:
    address = f"{market.urls['rest']}{path}?{urllib.parse.urlencode(params)}"
    with urllib.request.urlopen(address, timeout=10) as reply:
        return json.load(reply)


def trades(market: Exchange) -> Counter[tuple[Any, ...]]:
    found = ask(market, "/quote/v1/trades", symbol=SYMBOL, limit=100)
    return Counter((one["t"], Decimal(one["p"]), Decimal(one["q"]), one["ibm"]) for one in found)


def stored_trades(run: Recorder) -> Counter[tuple[Any, ...]]:
    return Counter(rows(run.data, "SELECT epoch_ms(exchange_time), price, size, buyer_is_maker FROM trade"))


def open_gaps(run: Recorder, channel: str) -> int:
    query = f"SELECT count(*) FROM coverage WHERE channel = '{channel}' AND status = 'gap'"
    return int(str(rows(run.data, query)[0][0]))


def backfill(run: Recorder) -> dict[str, Any]:
    """One run to its end, as the service starts it."""
    settings = Settings(
        venue=Venue(rest_url=run.urls["rest"]),
        record=Record(symbols=(SYMBOL,), kline_intervals=("1m",)),
        data=Data(dir=run.data),
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECORDER__")}
    done = subprocess.run(command(settings), capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_trades_and_candles_of_a_killed_recorder_are_healed_and_only_once(tmp_path: Path) -> None:
    """More trades are lost than V1 sends again, and fewer than REST still has."""
    with (
        exchange(tmp_path, "--symbols", SYMBOL, "--rate", "1.4") as market,
        recorder(tmp_path, market, **BY_HAND) as run,
    ):
        recording_is_under_way(run)
        run.kill(capture=True, writer=True)
        before = trades(market)
        wait_until(lambda: (trades(market) - before).total() > V1_HISTORY, "more trades happen than V1's history has")
        run.start()
        told = "SELECT count(DISTINCT channel) FROM gap WHERE channel IN ('trade', 'kline')"
        wait_until(lambda: rows(run.data, told) == [(2,)], "the streams are whole again")
        again = float(str(rows(run.data, "SELECT max(to_ns) FROM gap")[0][0])) / 1e9
        now = trades(market)  # later, REST has forgotten those of the gap
        wait_until(lambda: time.time() > again + SETTLED, "what was under way has arrived")
        first = backfill(run)
        filled = rows(run.data, "SELECT count(*) FROM trade WHERE source = 'rest'")[0][0]
        closed = (again // MINUTE + 1) * MINUTE
        wait_until(lambda: time.time() > closed + CLOSED, "the candle of the gap's end has closed", MINUTE + 30)
        second = backfill(run)
        assert run.stop() == 0, run.log()
        third = backfill(run)
        said = [
            (SYMBOL, one[0], *(Decimal(value) for value in one[1:6]), Decimal(one[7]), one[8], *map(Decimal, one[9:11]))
            for one in ask(market, "/quote/v1/klines", symbol=SYMBOL, interval="1m", limit=1000)
        ]

    assert [one["unfinished"] for one in (first, second, third)] == [""] * 3
    healed = {gap["channel"]: at for at, one in enumerate((first, second)) for gap in one["healed"]}
    assert healed.get("trade") == 0, first
    assert healed["kline"] in (0, 1)
    assert (third["healed"], third["left"]) == ([], [])
    assert (open_gaps(run, "trade"), open_gaps(run, "kline")) == (0, 0)
    assert open_gaps(run, "depth") == 1, "books never heal"
    stored = stored_trades(run)
    assert not now - stored, "trades of REST are missing"
    assert all(stored[one] == count for one, count in now.items()), "a trade was stored twice"
    assert filled
    assert rows(run.data, "SELECT count(*) FROM trade WHERE source = 'rest'") == [(filled,)]
    assert rows(run.data, "SELECT count(*) FROM quarantine") == [(0,)]
    assert [one for one in check_coverage(run.data) if one.is_problem] == []

    confirmed = rows(
        run.data,
        """SELECT symbol, epoch_ms(open_time), open, high, low, close, volume, quote_volume, trade_count,
                  taker_buy_volume, taker_buy_quote_volume
           FROM kline WHERE confirmed_by = 'rest' ORDER BY ALL""",
    )
    assert confirmed
    assert set(confirmed) <= set(said)
    written = (
        "SELECT count(*), count(DISTINCT (symbol, \"interval\", open_time)) FROM kline_update WHERE source = 'rest'"
    )
    assert rows(run.data, written) == [(len(confirmed), len(confirmed))]


def test_a_recorder_heals_by_itself(tmp_path: Path) -> None:
    """On its own schedule: after its start, and when the candle of a gap has closed."""
    with exchange(tmp_path, "--symbols", SYMBOL) as market, recorder(tmp_path, market) as run:
        recording_is_under_way(run)
        run.kill(capture=True, writer=True)
        run.start()
        healed = "SELECT count(*) FROM coverage WHERE channel = 'kline' AND status = 'healed'"
        wait_until(lambda: rows(run.data, healed) != [(0,)], "the candles are healed", 2 * MINUTE + 30)
        assert rows(run.data, "SELECT count(*) FROM kline WHERE confirmed_by = 'rest'")[0][0]
        assert run.stop() == 0, run.log()
    assert (open_gaps(run, "trade"), open_gaps(run, "kline"), open_gaps(run, "depth")) == (0, 0, 1)
    assert [one for one in check_coverage(run.data) if one.is_problem] == []
