"""The CSV files have Tardis' columns, and applied row by row they give the lake's books."""

import csv
import gzip
from decimal import Decimal
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hftbacktest.data.utils import tardis

from recorder import open_lake
from recorder.exports import CoverageError, export
from recorder.exports.tardis import COLUMNS
from recorder.exports.times import to_ns
from tests.exports.lakes import CAPTURES, SECOND_NS, Made, market_lake
from tests.lake.helpers import Row

FIXTURES = CAPTURES.parent / "nautilus"
DAY = "2026-03-01"


def read(out: Path, kind: str, day: str = DAY, symbol: str = "BTCUSD") -> list[dict[str, str]]:
    with gzip.open(out / f"hashkey_{kind}_{day}_{symbol}.csv.gz", "rt", newline="") as file:
        return list(csv.DictReader(file))


def us(ns: int) -> str:
    return str(ns // 1000)


def rebuilt(rows: list[dict[str, str]]) -> dict[str, dict[str, dict[Decimal, Decimal]]]:
    """The book after each local_timestamp, by Tardis' rules: the first row of a snapshot discards the book."""
    book: dict[str, dict[Decimal, Decimal]] = {"bid": {}, "ask": {}}
    books = {}
    in_snapshot = False
    for stamp, group in groupby(rows, key=lambda row: row["local_timestamp"]):
        for row in group:
            snapshot = row["is_snapshot"] == "true"
            if snapshot and not in_snapshot:
                book = {"bid": {}, "ask": {}}
            in_snapshot = snapshot
            side, price, amount = book[row["side"]], Decimal(row["price"]), Decimal(row["amount"])
            if amount:
                side[price] = amount
            else:
                del side[price]  # what was never there must not be removed
        books[stamp] = {name: dict(levels) for name, levels in book.items()}
    return books


def book_of(row: Row) -> dict[str, dict[Decimal, Decimal]]:
    return {side: dict(zip(row[f"{side}_prices"], row[f"{side}_sizes"], strict=True)) for side in ("bid", "ask")}


def test_changes_applied_one_by_one_give_every_book(broken_lake: Made, out: Path) -> None:
    export("tardis", broken_lake.path, broken_lake.symbol, out=out, on_gap="ignore", progress=False)
    rows = read(out, "incremental_book_L2")
    books = rebuilt(rows)
    recorded = {us(row["receive_ns"]): book_of(row) for row in broken_lake.books}
    assert len(books) > 900
    assert all(recorded[stamp] == book for stamp, book in books.items())
    snapshots = {row["local_timestamp"] for row in rows if row["is_snapshot"] == "true"}
    assert len(snapshots) == 3


def test_trades_have_id_side_and_exact_numbers(whole_lake: Made, out: Path) -> None:
    report = export("tardis", whole_lake.path, whole_lake.symbol, out=out, progress=False)
    (file,) = [file for file in report.files if "_trades_" in file.path.name]
    stamps = [to_ns(row["exchange_time"]) for row in whole_lake.trades]
    assert (file.first_ns, file.last_ns) == (min(stamps), max(stamps))
    rows = read(out, "trades")
    assert rows == [
        {
            "exchange": "hashkey",
            "symbol": "BTCUSD",
            "timestamp": us(to_ns(row["exchange_time"])),
            "local_timestamp": us(row["receive_ns"]),
            "id": str(row["trade_id"]),
            "side": "sell" if row["buyer_is_maker"] else "buy",
            "price": f"{row['price'].normalize():f}",
            "amount": f"{row['size'].normalize():f}",
        }
        for row in whole_lake.trades
    ]


def test_snapshots_have_the_25_best_levels(whole_lake: Made, out: Path) -> None:
    export("tardis", whole_lake.path, whole_lake.symbol, out=out, progress=False)
    rows = read(out, "book_snapshot_25")
    assert len(rows) == len(whole_lake.books)
    for row, book in zip(rows, whole_lake.books, strict=True):
        assert row["local_timestamp"] == us(book["receive_ns"])
        for side in ("ask", "bid"):
            levels = list(zip(book[f"{side}_prices"], book[f"{side}_sizes"], strict=True))[:25]
            told = [(row[f"{side}s[{n}].price"], row[f"{side}s[{n}].amount"]) for n in range(25)]
            assert [(Decimal(p), Decimal(a)) for p, a in told if p] == levels
            assert all(level == ("", "") for level in told[len(levels) :])


def test_a_day_is_a_file_and_begins_with_a_snapshot(tmp_path: Path, out: Path) -> None:
    from datetime import UTC, datetime

    made = market_lake(tmp_path / "lake", seconds=20, start=datetime(2026, 3, 1, 23, 59, 50, tzinfo=UTC))
    export("tardis", made.path, made.symbol, out=out, progress=False)
    second = read(out, "incremental_book_L2", "2026-03-02")
    assert second[0]["is_snapshot"] == "true"
    recorded = {us(row["receive_ns"]): book_of(row) for row in made.books}
    for day in (DAY, "2026-03-02"):
        assert all(recorded[stamp] == book for stamp, book in rebuilt(read(out, "incremental_book_L2", day)).items())
    assert len(read(out, "trades")) + len(read(out, "trades", "2026-03-02")) == len(made.trades)


def test_quotes_are_written_where_they_were_recorded(whole_lake: Made, out: Path) -> None:
    report = export("tardis", whole_lake.path, whole_lake.symbol, out=out, progress=False)
    assert "bbo was not recorded" in report.notes
    assert not list(out.glob("*quotes*"))


def test_clocks_that_disagree_are_told_and_shifted_only_when_asked(late_clock_lake: Made, out: Path) -> None:
    lake, symbol = late_clock_lake.path, late_clock_lake.symbol
    report = export("tardis", lake, symbol, out=out, progress=False)
    assert any("before their timestamp" in note for note in report.notes)
    assert read(out, "trades")[0]["local_timestamp"] == us(late_clock_lake.trades[0]["receive_ns"])
    export("tardis", lake, symbol, out=out, clock_offset="measured", progress=False)
    row, trade = read(out, "trades")[0], late_clock_lake.trades[0]
    assert row["local_timestamp"] == us(trade["receive_ns"] + 1_500_000_000)


def test_gaps_are_refused_or_split_into_folders(broken_lake: Made, out: Path) -> None:
    with pytest.raises(CoverageError, match="--on-gap split"):
        export("tardis", broken_lake.path, broken_lake.symbol, out=out, progress=False)
    export("tardis", broken_lake.path, broken_lake.symbol, out=out, on_gap="split", progress=False)
    for number, (first, last) in enumerate(((0, 30), (40.05, 80), (81, 120)), 1):
        rows = read(out / f"{number:03d}", "incremental_book_L2")
        assert rows[0]["is_snapshot"] == "true"
        local = np.array([int(row["local_timestamp"]) * 1000 for row in rows]) - broken_lake.start_ns
        assert first * SECOND_NS - 1000 <= local.min() <= local.max() <= last * SECOND_NS


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="Tardis' samples are not on this machine")
def test_columns_are_those_of_its_own_files() -> None:
    samples = {
        "incremental_book_L2": "deribit_incremental_book_L2_BTC-PERPETUAL.csv",
        "book_snapshot_25": "binance-futures_book_snapshot_25_BTCUSDT.csv",
    }
    for kind, name in samples.items():
        with (FIXTURES / name).open() as file:
            assert tuple(file.readline().strip().split(",")) == COLUMNS[kind]


def test_hftbacktest_reads_them(whole_lake: Made, out: Path) -> None:
    export("tardis", whole_lake.path, whole_lake.symbol, out=out, progress=False)
    files = [str(out / f"hashkey_{kind}_{DAY}_BTCUSD.csv.gz") for kind in ("trades", "incremental_book_L2")]
    events = tardis.convert(files, buffer_size=100_000, ss_buffer_size=10_000)
    happened = events[events["ev"] & (1 << 31) != 0]
    assert int((happened["ev"] & 0xFF == 2).sum()) == len(whole_lake.trades)
    rows = open_lake(whole_lake.path).trades(whole_lake.symbol).fetchall()
    assert len(rows) == len(whole_lake.trades)
