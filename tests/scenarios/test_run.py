"""`recorder run` from start to stop: what was sent is in the lake, and it ends as it was asked to."""

import signal
from pathlib import Path

import pytest

import recorder as api
from tests.scenarios.ledger import compare
from tests.scenarios.support import Recorder, exchange, recorder, wait_until

SYMBOLS = ("--symbols", "BTCUSD,ETHUSD,USDTUSD")


def rows(data: Path, query: str) -> list[tuple[object, ...]]:
    return api.open_lake(data).sql(query).fetchall()


def recording_is_under_way(run: Recorder) -> None:
    """Until the first parts hold trades, books and candles."""

    def seen() -> bool:
        if not (run.data / "LAKE.json").exists():
            return False
        counts = rows(
            run.data, "SELECT (SELECT count(*) FROM depth), (SELECT count(*) FROM trade), (SELECT count(*) FROM kline)"
        )
        return all(counts[0])

    wait_until(seen, "trades, books and candles are in the lake")


def test_a_clean_run_equals_the_ledger(tmp_path: Path) -> None:
    streams = {"RECORDER__RECORD__STREAMS": '["trade", "depth", "kline", "bbo", "ticker", "depth_delta"]'}
    with exchange(tmp_path, *SYMBOLS, "--rate", "5") as market, recorder(tmp_path, market, **streams) as run:
        recording_is_under_way(run)
        market.wait_for_frames(500)
        assert run.stop() == 0, run.log()
    verdicts = compare(run.data, market.ledger)
    assert all(verdict.holds for verdict in verdicts.values()), "\n".join(map(str, verdicts.values()))
    assert all(verdict.stored for verdict in verdicts.values()), "\n".join(map(str, verdicts.values()))
    assert rows(run.data, "SELECT count(*) FROM quarantine") == [(0,)]
    assert rows(run.data, "SELECT count(*) FROM gap") == [(0,)]
    assert len(list((run.data / "journal" / "main").glob("*.jrn"))) == 1, "all is in parts; its name has the next seq"
    events = {event for (event,) in rows(run.data, "SELECT DISTINCT event FROM session")}
    assert {"start", "connect", "subscribe", "live", "stop"} <= events


@pytest.mark.slow
def test_reading_works_while_it_records_and_every_answer_is_whole(tmp_path: Path) -> None:
    with exchange(tmp_path, *SYMBOLS, "--rate", "5") as market, recorder(tmp_path, market) as run:
        recording_is_under_way(run)
        lake = api.open_lake(run.data)
        before = 0
        for _ in range(20):
            count, distinct = lake.sql("SELECT count(*), count(DISTINCT (symbol, trade_id)) FROM trade").fetchall()[0]
            assert count == distinct
            assert count >= before
            before = count
            market.wait_for_frames(20)
        assert run.stop() == 0


def test_ctrl_c_ends_it_as_well_as_sigterm_does(tmp_path: Path) -> None:
    with exchange(tmp_path, *SYMBOLS) as market, recorder(tmp_path, market) as run:
        recording_is_under_way(run)
        run.running.send_signal(signal.SIGINT)
        assert run.running.wait(30) == 0


def test_a_second_recorder_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with exchange(tmp_path, *SYMBOLS) as market, recorder(tmp_path, market) as run:
        recording_is_under_way(run)
        second = Recorder(run.data, market.urls)
        second.start()
        assert second.running.wait(30) == 2
        assert "is the recorder here; stop it first" in second.log()
        assert run.stop() == 0


def test_a_restart_goes_on_and_names_the_time_between(tmp_path: Path) -> None:
    with exchange(tmp_path, *SYMBOLS, "--rate", "5") as market, recorder(tmp_path, market) as run:
        recording_is_under_way(run)
        assert run.stop() == 0
        run.start()
        wait_until(
            lambda: rows(run.data, "SELECT count(DISTINCT symbol) FROM gap WHERE channel = 'depth'") == [(3,)],
            "the stop is a gap of every book",
        )
        assert run.stop() == 0
    verdicts = compare(run.data, market.ledger)
    assert all(verdict.holds for verdict in verdicts.values()), "\n".join(map(str, verdicts.values()))
    sequences = rows(run.data, "SELECT count(*), count(DISTINCT seq) FROM bbo")
    assert sequences[0][0] == sequences[0][1]


@pytest.mark.slow
def test_the_exchange_going_away_and_coming_back_is_a_gap(tmp_path: Path) -> None:
    with exchange(tmp_path, *SYMBOLS) as market, recorder(tmp_path, market) as run:
        recording_is_under_way(run)
        port = market.urls["rest"].rsplit(":", 1)[1]
        market.process.kill()
        market.process.wait()
        (tmp_path / "second").mkdir()
        with exchange(tmp_path / "second", *SYMBOLS, "--port", port):
            wait_until(
                lambda: rows(run.data, "SELECT count(DISTINCT (symbol, channel)) > 10 FROM gap") == [(True,)],
                "the outage is in the lake",
            )
            assert run.stop() == 0
    reasons = rows(run.data, "SELECT DISTINCT reason FROM gap")
    assert len(reasons) >= 1 and all(reason for (reason,) in reasons)
    broken = rows(run.data, "SELECT count(*) FROM gap WHERE to_ns < from_ns")
    assert broken == [(0,)]


def test_an_unreachable_venue_is_waited_for_and_the_recorder_still_stops_at_once(tmp_path: Path) -> None:
    nowhere = {"rest": "http://127.0.0.1:9", "ws_v1": "ws://127.0.0.1:9/v1", "ws_v2": "ws://127.0.0.1:9/v2"}
    run = Recorder(tmp_path / "data", nowhere, {"RECORDER__RECORD__SYMBOLS": '["BTCUSD"]'})
    run.start()
    wait_until(lambda: "127.0.0.1:9" in run.log(), "it says what it cannot reach")
    assert run.running.poll() is None, "the host may come back: a recorder does not give up"
    assert run.stop() == 0


def test_symbols_that_the_venue_does_not_list_are_refused_with_the_nearest_names(tmp_path: Path) -> None:
    with exchange(tmp_path, *SYMBOLS) as market:
        run = Recorder(tmp_path / "data", market.urls, {"RECORDER__RECORD__SYMBOLS": '["BTCUSDD"]'})
        run.start()
        assert run.running.wait(60) == 2
    last = run.log().strip().splitlines()[-1]
    assert "BTCUSDD" in last and "close: BTCUSD," in last and "[record] symbols" in last


@pytest.mark.slow
def test_a_second_signal_ends_it_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    with exchange(tmp_path, *SYMBOLS) as market, recorder(tmp_path, market) as run:
        recording_is_under_way(run)
        run.running.send_signal(signal.SIGTERM)
        run.running.send_signal(signal.SIGINT)
        assert run.running.wait(30) in (0, 1)  # 0: it was faster than the second signal
        run.start()
        lived = "SELECT count(DISTINCT session) FROM session WHERE event = 'live'"
        wait_until(lambda: rows(run.data, lived) == [(2,)], "the second run is under way")
        assert run.stop() == 0
    verdicts = compare(run.data, market.ledger)
    assert all(verdict.holds for verdict in verdicts.values()), "\n".join(map(str, verdicts.values()))


def test_raw_frames_are_kept_when_asked_for(tmp_path: Path) -> None:
    raw = {"RECORDER__JOURNAL__KEEP_RAW_DAYS": "1"}
    with exchange(tmp_path, *SYMBOLS) as market, recorder(tmp_path, market, **raw) as run:
        recording_is_under_way(run)
        assert run.stop() == 0, run.log()
    assert list((run.data / "raw" / "main").rglob("*.zst"))
