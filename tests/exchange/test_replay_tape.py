"""The tape: every row of the range once, in order, in bounded pieces; and clear words when there is none."""

from pathlib import Path
from typing import Any

import pytest

from recorder.errors import LakeError
from recorder.exchange import replay_tape
from recorder.exchange.replay_options import ReplayOptions, speed_of
from recorder.exchange.replay_rows import Entry, Kind
from recorder.exchange.replay_tape import Tape
from tests.exchange.replay_bench import lake, line
from tests.lake.helpers import START, at, bbo, book, candle, event, gap, ns, trade


def open_tape(root: Path, **options: Any) -> Tape:
    return Tape(ReplayOptions(root, **options))


def entries(tape: Tape) -> list[Entry]:
    return [entry for window in tape.windows() for entry in window]


def test_rows_of_all_tables_come_in_order_of_arrival(tmp_path: Path) -> None:
    root = lake(
        tmp_path,
        depth=[book(4, 2, ["10"], ["11"]), book(5, 3, ["10"], ["11"])],
        trade=[trade(2, 1, "10"), trade(7, 3.5, "11")],
        bbo=[bbo(3, 1, "10", "11")],
        kline=[candle(6, 3, 0, "10")],
    )
    assert [(entry.seq, entry.kind) for entry in entries(open_tape(root))] == [
        (2, Kind.TRADE),
        (3, Kind.BBO),
        (4, Kind.DEPTH),
        (5, Kind.DEPTH),
        (6, Kind.KLINE),
        (7, Kind.TRADE),
    ]


def test_windows_are_bounded_and_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_tape, "WINDOW", 5.0)
    root = lake(tmp_path, depth=[book(seq, seq / 2, ["10"], ["11"]) for seq in range(1, 41)])
    windows = list(open_tape(root).windows())
    assert [entry.seq for window in windows for entry in window] == list(range(1, 41))
    assert max(map(len, windows)) <= 5


def test_hours_without_rows_are_passed_over(tmp_path: Path) -> None:
    root = lake(tmp_path, trade=[trade(1, 0, "10")])
    lake_of_later = [trade(2, 100_000, "10")]
    from tests.lake.helpers import write

    write(root, "trade", lake_of_later)
    assert [entry.seq for entry in entries(open_tape(root))] == [1, 2]


def test_rows_of_one_v1_frame_stay_together(tmp_path: Path) -> None:
    rows = [trade(1, 5, "10", idx=idx, trade_id=idx, send_ms=1) for idx in range(3)]
    (entry,) = entries(open_tape(lake(tmp_path, trade=rows)))
    assert [fill.id for fill in entry.data] == [0, 1, 2]


def test_a_range_takes_its_start_and_leaves_its_end(tmp_path: Path) -> None:
    root = lake(tmp_path, trade=[trade(seq, seq, "10") for seq in range(10)])
    tape = open_tape(root, start=at(3), end=at(6))
    assert [entry.seq for entry in entries(tape)] == [3, 4, 5]
    assert (tape.start_ns, tape.end_ns) == (ns(3), ns(5) + 1)  # from its first row to its last
    assert [entry.seq for entry in tape.before()] == [0, 1, 2]


def test_by_exchange_time_rows_come_as_the_venue_dates_them(tmp_path: Path) -> None:
    root = lake(
        tmp_path,
        trade=[trade(1, 1, "10", exchange_time=at(0.9)), trade(3, 2, "10", exchange_time=at(1.2))],
        depth=[book(2, 1.5, ["10"], ["11"], exchange_time=at(1.4))],
    )
    assert [entry.seq for entry in entries(open_tape(root, timing="exchange"))] == [1, 3, 2]
    assert [entry.seq for entry in entries(open_tape(root, timing="exchange", start=at(1)))] == [3, 2]


def test_only_the_wanted_symbols_are_played(tmp_path: Path) -> None:
    root = lake(tmp_path, trade=[trade(1, 1, "10"), trade(2, 2, "10", symbol="ETHUSD")])
    assert [entry.symbol for entry in entries(open_tape(root, symbols=("ETHUSD",)))] == ["ETHUSD"]


def test_what_lines_did_is_among_the_entries(tmp_path: Path) -> None:
    root = lake(
        tmp_path,
        trade=[trade(3, 1, "10"), trade(9, 5, "10")],
        session=[
            line(1, 0, "start"),
            line(2, 0.5, "connect", 2, conn=7),
            event(4, 1.5, "lost", "trade"),
            line(5, 2, "disconnect", 2, conn=7),
        ],
        gap=[gap(8, 4, "trade", 2, 4, "disconnect", healed=True)],
    )
    tape = open_tape(root)
    kinds = [(entry.seq, entry.kind is Kind.LINE) for entry in entries(tape)]
    assert kinds == [(3, False), (5, True), (9, False)]  # the first two happened before the first row
    assert [(entry.data.what, entry.data.api, entry.data.conn) for entry in tape.lines] == [
        ("start", "", 0),
        ("connect", "v2", 7),
        ("disconnect", "v2", 7),
    ]
    assert [(one.symbol, one.healed) for one in tape.trade_gaps] == [("BTCUSD", True)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"symbols": ("BTCUSX",)}, "BTCUSX: never recorded here (did you mean BTCUSD?)"),
        ({"start": "2031-01-01"}, "no rows there; the lake has 2026-03-01T12:00:01Z to 2026-03-01T12:00:01Z"),
        ({"start": START, "end": START}, "let --to be after --from"),
        ({"start": "yesterday"}, "is not a time; write it as"),
        ({"venue": "moon"}, "moon: not recorded in"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_wish_that_cannot_be_met_is_told_with_a_remedy(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    root = lake(tmp_path, trade=[trade(1, 1, "10")])
    with pytest.raises(LakeError) as caught:
        open_tape(root, **options)
    assert words in str(caught.value)


def test_there_must_be_a_lake_and_something_in_it(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="no such directory"):
        open_tape(tmp_path / "none")
    with pytest.raises(LakeError, match="nothing recorded yet"):
        open_tape(lake(tmp_path / "empty"))


def test_of_several_venues_one_must_be_named(tmp_path: Path) -> None:
    root = lake(tmp_path, trade=[trade(1, 1, "10"), trade(2, 2, "10", venue="hashkey-global")])
    with pytest.raises(LakeError, match="name one with --venue"):
        open_tape(root)
    assert [entry.seq for entry in entries(open_tape(root, venue="hashkey-global"))] == [2]


def test_a_speed_is_a_number_above_zero_or_max() -> None:
    assert (speed_of("max"), speed_of("0.1")) == (float("inf"), 0.1)
    for wrong in ("0", "-1", "fast", "nan"):
        with pytest.raises(Exception, match="give a number above 0 or the word max"):
            speed_of(wrong)
