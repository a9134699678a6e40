"""Each trade once: V1, V2 and history overlap, and history on a quiet pair can be weeks old."""

from pathlib import Path

import pytest

from recorder.lake import known_trades
from recorder.lake.known_trades import KnownTrades, Trade
from recorder.lake.names import PartName, path_of
from recorder.lake.parquet import write_file
from recorder.lake.rows import as_table
from recorder.venues.hashkey.decode import Context, decode
from tests.frames.arrivals import START_NS, arrived, trade_push

NOW = START_NS // 1000  # microseconds
DAY = 86_400_000_000
REC = "main"


def trade(trade_id: int | None, time: int = NOW, symbol: str = "A", source: str = "ws_v1") -> Trade:
    return "hashkey", symbol, trade_id, time, source


def store(root: Path, seq: int, trades: list[Trade], window: str = "2026092302", rec: str = REC) -> None:
    """A part with these trades, all of one symbol."""
    rows = [(i or 0, (time or 0) // 1000, "1", "1", True) for _, _, i, time, _ in trades]
    columns = decode([arrived(trade_push(trades[0][1], rows), seq)], Context("hashkey"))["trade"]
    name = PartName(rec, "p", window, seq, seq, len(trades))
    path = path_of(root, "hot", "trade", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, "trade", name, as_table("trade", columns))


def test_the_first_of_equal_ids_is_kept_and_the_others_are_counted_by_source(tmp_path: Path) -> None:
    known = KnownTrades(tmp_path, REC)
    assert known.is_new([trade(1), trade(2), trade(1, source="ws_v2")]) == [True, True, False]
    assert known.is_new([trade(2), trade(3)]) == [False, True]
    assert known.repeated == {"ws_v1": 1, "ws_v2": 1}


def test_the_same_id_of_another_symbol_is_another_trade(tmp_path: Path) -> None:
    assert KnownTrades(tmp_path, REC).is_new([trade(1), trade(1, symbol="B")]) == [True, True]


def test_trades_without_an_id_are_always_new(tmp_path: Path) -> None:
    assert KnownTrades(tmp_path, REC).is_new([trade(None), trade(None)]) == [True, True]


def test_trades_of_the_lake_are_known_after_a_restart(tmp_path: Path) -> None:
    store(tmp_path, 1, [trade(1), trade(2)])
    assert KnownTrades(tmp_path, REC).is_new([trade(2), trade(3), trade(1, symbol="B")]) == [False, True, True]


def test_history_that_is_weeks_old_is_found(tmp_path: Path) -> None:
    old = NOW - 30 * DAY
    store(tmp_path, 1, [trade(1, old)], window="2026082402")
    store(tmp_path, 2, [trade(2)])
    known = KnownTrades(tmp_path, REC)
    assert known.is_new([trade(3)]) == [True]
    assert known.is_new([trade(1, old), trade(2), trade(4, old)]) == [False, False, True]
    assert known.is_new([trade(4, old)]) == [False]


def test_a_time_within_what_memory_holds_needs_no_look_at_the_lake(tmp_path: Path) -> None:
    known = KnownTrades(tmp_path, REC)
    known.is_new([trade(1, NOW)])
    assert known.is_new([trade(i, NOW + i) for i in range(2, 50)]) == [True] * 48
    assert known.loads == 1


def test_memory_is_bounded_and_what_it_forgot_is_found_in_the_lake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_trades, "KEPT", 10)
    monkeypatch.setattr(known_trades, "CROWDED", 20)
    monkeypatch.setattr(known_trades, "KEPT_US", 5)
    known = KnownTrades(tmp_path, REC)
    trades = [trade(i, NOW + 1000 * i) for i in range(100)]
    for seq, one in enumerate(trades, 1):
        assert known.is_new([one]) == [True]
        store(tmp_path, seq, [one])
    assert len(known.series["hashkey", "A"].ids) < 20
    assert known.is_new(trades) == [False] * 100
    assert len(known.series["hashkey", "A"].ids) < 20


def test_all_ids_of_the_last_minutes_stay_however_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_trades, "KEPT", 10)
    monkeypatch.setattr(known_trades, "CROWDED", 20)
    known = KnownTrades(tmp_path, REC)
    trades = [trade(i, NOW + i) for i in range(100)]
    assert known.is_new(trades) == [True] * 100
    assert known.is_new(trades) == [False] * 100
    assert known.loads == 1


def test_another_recorders_trades_are_its_own(tmp_path: Path) -> None:
    store(tmp_path, 1, [trade(1)], rec="other")
    assert KnownTrades(tmp_path, REC).is_new([trade(1)]) == [True]


def test_a_time_of_nonsense_looks_through_the_whole_lake(tmp_path: Path) -> None:
    store(tmp_path, 1, [trade(1, 0)], window="1999010101")
    assert KnownTrades(tmp_path, REC).is_new([trade(1, 0), trade(2, 0)]) == [False, True]
