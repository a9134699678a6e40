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
from tests.scenarios.support import Exchange, Recorder, exchange, recorder, wait_until
from tests.scenarios.test_run import recording_is_under_way, rows

pytestmark = pytest.mark.slow
SYMBOLS = ("BTCUSD", "ETHUSD")
MINUTE = 60
CLOSED = 5.5  # seconds after its close, a candle may be asked for
FEWEST_LOST = 3
SETTLED = 8.5  # seconds after a gap, trades may be compared


def ask(market: Exchange, path: str, **params: Any) -> Any:
    address = f"{market.urls['rest']}{path}?{urllib.parse.urlencode(params)}"
    with urllib.request.urlopen(address, timeout=10) as reply:
        return json.load(reply)


def trades(market: Exchange, symbol: str) -> Counter[tuple[Any, ...]]:
    found = ask(market, "/quote/v1/trades", symbol=symbol, limit=100)
    return Counter((one["t"], Decimal(one["p"]), Decimal(one["q"]), one["ibm"]) for one in found)


def stored_trades(run: Recorder, symbol: str) -> Counter[tuple[Any, ...]]:
    query = f"SELECT epoch_ms(exchange_time), price, size, buyer_is_maker FROM trade WHERE symbol = '{symbol}'"
    return Counter(rows(run.data, query))


def open_gaps(run: Recorder, channel: str) -> int:
    query = f"SELECT count(*) FROM coverage WHERE channel = '{channel}' AND status = 'gap'"
    return int(str(rows(run.data, query)[0][0]))


def backfill(run: Recorder) -> dict[str, Any]:
    """One run to its end, as the service starts it."""
    settings = Settings(
        venue=Venue(rest_url=run.urls["rest"]),
        record=Record(symbols=SYMBOLS, kline_intervals=("1m",)),
        data=Data(dir=run.data),
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECORDER__")}
    done = subprocess.run(command(settings), capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_trades_and_candles_of_a_killed_recorder_are_healed_and_only_once(tmp_path: Path) -> None:
    symbols = ",".join(SYMBOLS)
    with exchange(tmp_path, "--symbols", symbols) as market, recorder(tmp_path, market) as run:
        recording_is_under_way(run)
        run.kill(capture=True, writer=True)
        before = {symbol: trades(market, symbol) for symbol in SYMBOLS}
        wait_until(
            lambda: all((trades(market, s) - before[s]).total() >= FEWEST_LOST for s in SYMBOLS),
            "trades happen while nobody records",
        )
        run.start()
        wait_until(
            lambda: rows(run.data, "SELECT count(*) FROM gap WHERE channel IN ('trade', 'kline')") == [(4,)],
            "the streams are whole again",
        )
        again = float(str(rows(run.data, "SELECT max(to_ns) FROM gap")[0][0])) / 1e9
        due = max((again // MINUTE + 1) * MINUTE + CLOSED, again + SETTLED)
        wait_until(lambda: time.time() > due, "the candles of the gap have closed", MINUTE + 30)
        now = {symbol: trades(market, symbol) for symbol in SYMBOLS}
        first = backfill(run)
        assert run.stop() == 0, run.log()

    assert first["unfinished"] == ""
    assert {gap["channel"] for gap in first["healed"]} == {"trade", "kline"}
    assert (open_gaps(run, "trade"), open_gaps(run, "kline")) == (0, 0)
    assert open_gaps(run, "depth") == len(SYMBOLS), "books never heal"
    for symbol in SYMBOLS:
        stored = stored_trades(run, symbol)
        lost = now[symbol] - stored
        assert not lost, f"{symbol}: {lost.total()} trades of REST are missing"
        assert all(stored[one] == count for one, count in now[symbol].items()), "a trade was stored twice"
    assert rows(run.data, "SELECT count(*) FROM quarantine") == [(0,)]


def test_candles_are_what_rest_says_and_a_second_run_adds_nothing(tmp_path: Path) -> None:
    symbols = ",".join(SYMBOLS)
    with exchange(tmp_path, "--symbols", symbols) as market, recorder(tmp_path, market) as run:
        recording_is_under_way(run)
        closed = (time.time() // MINUTE + 1) * MINUTE
        wait_until(lambda: time.time() > closed + CLOSED, "a candle has closed", MINUTE + 30)
        assert run.stop() == 0, run.log()
        first, second = backfill(run), backfill(run)
        confirmed = rows(
            run.data,
            """SELECT symbol, epoch_ms(open_time), open, high, low, close, volume, quote_volume, trade_count,
                      taker_buy_volume, taker_buy_quote_volume
               FROM kline WHERE confirmed_by = 'rest' ORDER BY ALL""",
        )
        said = [
            (symbol, one[0], *(Decimal(value) for value in one[1:6]), Decimal(one[7]), one[8], *map(Decimal, one[9:11]))
            for symbol in SYMBOLS
            for one in ask(market, "/quote/v1/klines", symbol=symbol, interval="1m", limit=1000)
        ]
    assert first["rows"] > 0
    assert len(confirmed) >= len(SYMBOLS)
    assert set(confirmed) <= set(said)
    written = (
        "SELECT count(*), count(DISTINCT (symbol, \"interval\", open_time)) FROM kline_update WHERE source = 'rest'"
    )
    total, distinct = rows(run.data, written)[0]
    assert total == distinct == len(confirmed)
    assert (second["healed"], second["left"]) == ([], [])
