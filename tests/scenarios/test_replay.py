"""The closed circle: what is recorded of a replayed lake is that lake, row by row, over its gaps."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import recorder as api
from tests.scenarios.support import PATIENCE_SECONDS, RECORDER, Exchange, Recorder, exchange, recorder, wait_until
from tests.scenarios.test_run import recording_is_under_way, rows

pytestmark = pytest.mark.slow
SYMBOLS = ("--symbols", "BTCUSD,ETHUSD,USDTUSD,BTCUSDT-PERPETUAL")
STREAMS = {"RECORDER__RECORD__STREAMS": '["trade","depth","kline","bbo","ticker","depth_delta","index","mark_price"]'}
# What the venue said; not when and by which line we heard it.
QUERIES = {
    "trade": "SELECT symbol, trade_id, exchange_time, price, size, buyer_is_maker FROM trade ORDER BY symbol, trade_id",
    "depth": "SELECT symbol, exchange_time, version, bid_prices, bid_sizes, ask_prices, ask_sizes FROM depth "
    "ORDER BY symbol, receive_ns, seq",
    "bbo": "SELECT symbol, exchange_time, version, bid_price, bid_size, ask_price, ask_size FROM bbo "
    "ORDER BY symbol, receive_ns, seq",
    "kline": "SELECT symbol, send_ms, interval, open_time, open, high, low, close, volume, quote_volume, trade_count, "
    "taker_buy_volume, taker_buy_quote_volume FROM kline_update WHERE source <> 'rest' "
    "ORDER BY symbol, receive_ns, seq, idx",
    "ticker": "SELECT symbol, send_ms, exchange_time, open, high, low, last, volume, quote_volume FROM ticker "
    "ORDER BY symbol, receive_ns, seq",
    "depth_delta": "SELECT symbol, send_ms, exchange_time, version, counter, is_snapshot, bid_prices, bid_sizes, "
    "ask_prices, ask_sizes FROM depth_delta ORDER BY symbol, receive_ns, seq",
    "mark_price": "SELECT symbol, exchange_time, price FROM mark_price ORDER BY symbol, receive_ns, seq",
    "index_price": "SELECT symbol, exchange_time, price, average_price, formula FROM index_price "
    "ORDER BY symbol, receive_ns, seq",
}


@contextmanager
def replay(lake: Path, folder: Path) -> Iterator[Exchange]:
    """`recorder replay` of all of a lake at full speed."""
    folder.mkdir()
    ledger = folder / "ledger.ndjson"
    command = [*RECORDER, "replay", "--data", str(lake), "--speed", "max", "--ledger", str(ledger)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the replay ended before its first line"
        yield Exchange(process, json.loads(line), ledger)
    finally:
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0


FAULTS = """
[[fault]]            # the V2 line goes away alone
after = "subscribed"
api = "v2"
at = 3
kind = "cut"

[[fault]]            # and the V1 line
after = "subscribed"
api = "v1"
at = 6
kind = "cut"
"""


def record_with_gaps(folder: Path) -> Path:
    """A lake of the simulator's market: each line was cut once, then the recorder killed and started again."""
    folder.mkdir()
    script = folder / "faults.toml"
    script.write_text(FAULTS)
    options = (*SYMBOLS, "--rate", "5", "--faults", str(script))
    back = "SELECT count(*) FROM session WHERE event = 'connect' AND seq > {}"
    with exchange(folder, *options) as market, recorder(folder, market, **STREAMS) as run:
        recording_is_under_way(run)
        wait_until(lambda: rows(run.data, back.format(0)) == [(4,)], "both lines were lost and came back")
        live_again(run)
        run.kill(capture=True, writer=True)
        run.start()
        wait_until(lambda: rows(run.data, back.format(0)) == [(6,)], "the second run has connected")
        live_again(run)
        assert run.stop() == 0, run.log()
    return run.data


def live_again(run: Recorder) -> None:
    """Until books of all symbols, and candles, have come after the last connect."""
    query = (
        "SELECT (SELECT count(DISTINCT symbol) FROM depth WHERE seq > c), "
        "(SELECT count(*) > 0 FROM kline_update WHERE seq > c) "
        "FROM (SELECT max(seq) AS c FROM session WHERE event = 'connect')"
    )
    wait_until(lambda: rows(run.data, query) == [(4, True)], "books and candles arrive again")


def stored(lake: "api.Lake", channel: str) -> list[tuple[Any, ...]]:
    return lake.sql(QUERIES[channel]).fetchall()


def test_what_is_recorded_of_a_replay_is_the_replayed_lake_over_its_gaps(tmp_path: Path) -> None:
    first = record_with_gaps(tmp_path / "first")
    with replay(first, tmp_path / "second") as market, recorder(tmp_path / "second", market, **STREAMS) as run:
        market.wait_for_event("finished", 120)
        assert run.stop() == 0, run.log()
    before, after = api.open_lake(first), api.open_lake(run.data)
    for channel in QUERIES:
        expected, found = stored(before, channel), stored(after, channel)
        assert expected, f"{channel}: nothing was recorded in the first place"
        missing = [row for row in expected if row not in found]
        assert not missing, f"{channel}: {len(missing)} of {len(expected)} missing, first {str(missing[0])[:300]}"
        assert found == expected, f"{channel}: {len(found)} rows, expected {len(expected)} in the same order"
    # At full speed a line may be lost just as the other comes back: one more gap of trades, a healed one.
    gaps = (
        "SELECT symbol, channel, count(*) FROM (SELECT symbol, channel, from_ns FROM gap GROUP BY ALL "
        "HAVING NOT bool_or(healed)) GROUP BY ALL ORDER BY ALL"
    )
    assert after.sql(gaps).fetchall() == before.sql(gaps).fetchall()
    assert after.sql("SELECT count(*) FROM quarantine").fetchall() == [(0,)]
