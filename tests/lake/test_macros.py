"""The macros: exact numbers, whole bars, and no number where a gap was."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from recorder.lake.reader import Lake, open_lake
from tests.lake.helpers import at, bbo, book, empty_lake, event, gap, ns, trade, write

NOON, LATER = "2026-03-01T12:00:00Z", "2026-03-01T12:05:00Z"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return empty_lake(tmp_path / "data")


def recorded(root: Path, *channels: str, until: float = 600) -> None:
    """Every channel is live from a minute before START on."""
    live = [event(n + 2, -60, "live", channel) for n, channel in enumerate(channels)]
    write(root, "session", [event(1, -60, "start"), *live, event(900_000, until, "note")])


def bars(lake: Lake, columns: str, interval: str = "1m", start: Any = NOON, end: Any = LATER) -> list[Any]:
    query = f"SELECT {columns} FROM ohlcv('BTCUSD', $interval, $start, $end)"
    return lake.sql(query, interval=interval, start=start, end=end).fetchall()


def test_bars_are_exact_and_empty_ones_have_volume_zero(root: Path) -> None:
    recorded(root, "trade")
    write(
        root,
        "trade",
        [
            trade(1, 1, "100.000000000001", "0.1"),
            trade(2, 30, "101.5", "2", taker="sell"),
            trade(3, 59.999, "99.25", "3"),
            trade(4, 60, "98", "1", taker="sell"),
            trade(5, 70, "1", "1", symbol="ETHUSD"),
        ],
    )
    columns = "open_time, open, high, low, close, volume, quote_volume, trade_count, taker_buy_volume, complete"
    d = Decimal
    quote = d("100.000000000001") * d("0.1") + d(203) + d("297.75")
    first = (at(0), d("100.000000000001"), d("101.5"), d("99.25"), d("99.25"), d("5.1"), quote.quantize(d("1e-12")))
    assert bars(open_lake(root), columns, end="2026-03-01T12:03:00Z") == [
        (*first, 3, d("3.1"), True),
        (at(60), d(98), d(98), d(98), d(98), d(1), d(98), 1, d(0), True),
        (at(120), None, None, None, None, d(0), d(0), 0, d(0), True),
    ]


def test_within_one_exchange_time_the_trade_id_decides_what_is_first_and_last(root: Path) -> None:
    recorded(root, "trade")
    write(
        root,
        "trade",
        [trade(1, 5, "100", trade_id=30), trade(2, 5, "101", trade_id=10), trade(3, 5, "102", trade_id=20)],
    )
    assert bars(open_lake(root), "open, close", end="2026-03-01T12:01:00Z") == [(Decimal(101), Decimal(100))]


def test_a_bar_that_a_gap_touches_is_null_and_incomplete(root: Path) -> None:
    recorded(root, "trade", "depth")
    write(root, "gap", [gap(50, 121, "trade", 119.5, 120.5, "disconnect"), gap(51, 200, "depth", 10, 200, "silent")])
    write(root, "trade", [trade(n, n * 30, "100") for n in range(10)])
    found = bars(open_lake(root), "open_time, open, volume, trade_count, complete")
    assert [row[-1] for row in found] == [True, False, False, True, True]
    assert found[1] == (at(60), None, None, None, False)


def test_a_bar_is_whole_right_up_to_a_gap_and_from_its_end_on(root: Path) -> None:
    recorded(root, "trade")
    write(root, "gap", [gap(50, 121, "trade", 60, 120, "disconnect")])
    assert [c for (c,) in bars(open_lake(root), "complete")] == [True, False, True, True, True]


def test_a_healed_gap_leaves_bars_complete(root: Path) -> None:
    recorded(root, "trade")
    write(root, "gap", [gap(50, 121, "trade", 60, 120, "disconnect", healed=True)])
    assert all(complete for (complete,) in bars(open_lake(root), "complete"))


def test_bars_outside_the_recording_are_incomplete(root: Path) -> None:
    recorded(root, "trade", until=90)
    write(root, "trade", [trade(1, 70, "100")])
    found = bars(open_lake(root), "open_time, volume, complete", start="2026-03-01T11:58:00Z")
    assert found[:4] == [
        (at(-120), None, False),
        (at(-60), Decimal(0), True),
        (at(0), Decimal(0), True),
        (at(60), None, False),  # 12:01:30 is the last known moment
    ]


def test_without_ends_the_bars_are_those_of_the_coverage(root: Path) -> None:
    recorded(root, "trade", until=125)
    found = bars(open_lake(root), "open_time, complete", start=None, end=None)
    assert found == [(at(-60), True), (at(0), True), (at(60), True), (at(120), False)]


def test_an_unaligned_range_gives_each_bar_that_it_touches_whole(root: Path) -> None:
    recorded(root, "trade")
    write(root, "trade", [trade(1, 1, "100"), trade(2, 110, "101")])
    found = bars(open_lake(root), "open_time, volume", start=at(30), end=at(61))
    assert found == [(at(0), Decimal(1)), (at(60), Decimal(1))]


@pytest.mark.parametrize(
    ("interval", "count"), [("1s", 300), ("5s", 60), ("1 minute", 5), ("1h", 1), ("1d", 1), ("1M", 1)]
)
def test_intervals_may_be_written_as_the_venue_does_or_as_sql_does(root: Path, interval: str, count: int) -> None:
    recorded(root, "trade")
    assert len(bars(open_lake(root), "open_time", interval)) == count


def test_an_offset_in_the_text_of_a_time_is_heard(root: Path) -> None:
    recorded(root, "trade")
    eastern = bars(open_lake(root), "open_time", start="2026-03-01T20:00:00+08:00", end="2026-03-01T20:01:00+08:00")
    assert eastern == [(at(0),)]


def test_a_range_may_be_a_subquery(root: Path) -> None:
    recorded(root, "trade")
    write(root, "trade", [trade(1, 1, "100"), trade(2, 110, "101")])
    last = "(SELECT max(exchange_time) FROM trade)"
    found = open_lake(root).sql(f"SELECT open_time FROM ohlcv('BTCUSD', '1m', {last} - INTERVAL 1 MINUTE, {last})")
    assert found.fetchall() == [(at(0),), (at(60),)]


def test_each_venue_has_its_own_bars(root: Path) -> None:
    recorded(root, "trade")
    write(root, "trade", [trade(1, 1, "100"), trade(2, 1, "200", venue="hashkey-global")])
    found = bars(open_lake(root), "venue, open, complete", end="2026-03-01T12:01:00Z")
    assert found == [("hashkey", Decimal(100), True), ("hashkey-global", None, False)]


def test_book_at_is_the_last_book_at_or_before_the_time(root: Path) -> None:
    write(root, "depth", [book(n, n, ["99", "98"], ["101"]) for n in (10, 20, 30)])
    lake = open_lake(root)
    versions = {
        s: [row[0] for row in lake.sql("SELECT version FROM book_at('BTCUSD', $t)", t=at(s)).fetchall()]
        for s in (9, 10, 19.9, 20, 31, 86_429, 86_431)
    }
    assert versions == {9: [], 10: [10], 19.9: [10], 20: [20], 31: [30], 86_429: [30], 86_431: []}
    assert lake.book_at("BTCUSD", at(20)).columns == lake.sql("FROM depth").columns


def test_levels_are_counted_from_the_best(root: Path) -> None:
    write(root, "depth", [book(1, 1, ["99", "98"], ["101", "102", "103"])])
    found = (
        open_lake(root).sql("SELECT side, level, price, size FROM levels('BTCUSD', NULL, NULL) ORDER BY ALL").fetchall()
    )
    d = Decimal
    assert found == [
        ("ask", 1, d(101), d(1)),
        ("ask", 2, d(102), d(2)),
        ("ask", 3, d(103), d(3)),
        ("bid", 1, d(99), d(1)),
        ("bid", 2, d(98), d(2)),
    ]


def test_spread_is_exact_and_needs_both_sides(root: Path) -> None:
    recorded(root, "bbo")
    write(root, "bbo", [bbo(1, 1, "99.5", "100"), bbo(2, 2, None, "100"), bbo(3, 3, "99.5", "99.500000000001")])
    found = (
        open_lake(root)
        .sql("SELECT exchange_time, mid, spread, complete FROM spread('BTCUSD', $a, $b)", a=NOON, b=LATER)
        .fetchall()
    )
    d = Decimal
    assert found == [(at(1), d("99.75"), d("0.5"), True), (at(3), d("99.5000000000005"), d("1e-12"), True)]


def test_the_last_quote_before_a_gap_and_those_never_covered_are_incomplete(root: Path) -> None:
    recorded(root, "bbo")
    write(root, "gap", [gap(50, 12, "bbo", 5, 10, "disconnect")])
    write(root, "bbo", [bbo(n, n, "99", "100") for n in (-70, 1, 2, 4, 11, 12)])
    found = open_lake(root).sql("SELECT epoch_ns(receive_time), complete FROM spread('BTCUSD', NULL, NULL)").fetchall()
    assert found == [(ns(-70), False), (ns(1), True), (ns(2), True), (ns(4), False), (ns(11), True), (ns(12), True)]


def test_a_range_reads_only_the_dates_around_it(root: Path) -> None:
    write(root, "trade", [trade(1, 0, "1")])
    write(root, "trade", [trade(2, 10 * 86_400, "1")])
    plan = open_lake(root).sql(
        "EXPLAIN ANALYZE SELECT sum(volume) FROM ohlcv('BTCUSD', '1m', '2026-03-01', '2026-03-02')"
    )
    text = plan.fetchall()[0][1]
    assert "trade/date=2026-03-01/" in text
    assert "trade/date=2026-03-11/" not in text
