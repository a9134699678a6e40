"""open_lake: the doors for Python users, what they say when something is wrong, and that they keep up."""

import json
import os
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

import recorder
from recorder.errors import LakeError
from recorder.lake import listing
from recorder.lake.reader import Lake, open_lake
from tests.lake.helpers import at, bbo, book, candle, empty_lake, event, gap, trade, write

DAY = 86_400


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return empty_lake(tmp_path / "data")


@pytest.fixture
def lake(root: Path) -> Lake:
    write(root, "session", [event(1, -60, "start"), event(2, -60, "live", "trade"), event(900, 600, "note")])
    write(root, "trade", [trade(n, n, f"{100 + n}") for n in range(10, 20)])
    write(root, "bbo", [bbo(200, 1, "99", "101"), bbo(201, 2, "99.5", "101")])
    write(root, "depth", [book(300, 1, ["99"], ["101"]), book(301, 2, ["99"], ["102"])])
    write(root, "kline", [candle(400, 1, 0, "100"), candle(401, 61, 60, "101"), candle(402, 61, 0, "5", interval="5m")])
    return open_lake(root)


def test_the_package_opens_a_lake(root: Path) -> None:
    assert isinstance(recorder.open_lake(root), recorder.Lake)


def test_what_is_not_a_lake_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="no such directory; record something first"):
        open_lake(tmp_path / "nothing")
    with pytest.raises(LakeError, match=r"LAKE\.json"):
        open_lake(tmp_path)
    (tmp_path / "LAKE.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(LakeError, match="format 99"):
        open_lake(tmp_path)
    (tmp_path / "LAKE.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(LakeError, match="schema file is missing"):
        open_lake(tmp_path)


def test_a_query_sees_what_was_written_since_the_last_one(root: Path, lake: Lake) -> None:
    query = "SELECT count(*) FROM trade"
    for more in range(5):  # also within one tick of the clock that stamps folders
        assert lake.sql(query).fetchall() == [(10 + more,)]
        write(root, "trade", [trade(50 + more, 50 + more, "1")])
    assert lake.sql(query).fetchall() == [(15,)]


def test_a_folder_that_has_not_changed_is_not_listed_again(root: Path, lake: Lake) -> None:
    watch = listing.Watch(root)
    folders = [*root.glob("hot/*"), *root.glob("hot/*/*")]
    for folder in folders:
        os.utime(folder, (1_700_000_000, 1_700_000_000))
    assert watch.changed("trade")
    assert not watch.changed("trade")
    write(root, "trade", [trade(99, DAY, "1")])  # a new date
    assert watch.changed("trade")
    watch.forget()
    assert watch.changed("trade")


def test_no_progress_is_drawn_where_the_data_goes(lake: Lake) -> None:
    assert lake.sql("SELECT current_setting('enable_progress_bar')").fetchall() == [(False,)]


def test_parameters_are_named(lake: Lake) -> None:
    assert lake.sql("SELECT count(*) FROM trade WHERE price > $limit", limit=115).fetchall() == [(4,)]


def test_a_query_sees_the_data_frames_of_its_caller(lake: Lake) -> None:
    wanted = pl.DataFrame({"seq": [10, 11]})
    assert len(wanted) == lake.sql("SELECT count(*) FROM trade SEMI JOIN wanted USING (seq)").fetchall()[0][0]


def test_a_file_that_was_merged_away_since_it_was_listed_is_looked_for_again(root: Path, lake: Lake) -> None:
    rows = [trade(n, n, f"{100 + n}") for n in range(10, 20)]
    (part,) = root.glob("hot/trade/*/*")
    before = part.parent.stat()
    write(root, "trade", rows, level="d", place="sealed")
    part.unlink()
    os.utime(part.parent, ns=(before.st_atime_ns, before.st_mtime_ns))  # as if the change went unnoticed
    lake.refresh()
    assert lake.sql("SELECT count(*) FROM trade").fetchall() == [(10,)]


def test_ranges_are_half_open_and_take_text_dates_and_datetimes(lake: Lake) -> None:
    start, end = at(12), at(15)
    eastern = timezone(timedelta(hours=8))
    for low, high in (
        (start, end),
        (start.replace(tzinfo=UTC), end.replace(tzinfo=UTC)),
        (start.replace(tzinfo=UTC).astimezone(eastern), end.replace(tzinfo=UTC).astimezone(eastern)),
        ("2026-03-01T12:00:12Z", "2026-03-01 12:00:15"),
        ("2026-03-01T20:00:12+08:00", "2026-03-01T12:00:15"),
    ):
        assert [row[6] for row in lake.trades("BTCUSD", low, high).fetchall()] == [12, 13, 14]
    assert len(lake.trades("BTCUSD", date(2026, 3, 1), "2026-03-02").df()) == 10
    assert lake.trades("BTCUSD", datetime(2026, 3, 2)).fetchall() == []
    with pytest.raises(LakeError, match="write it as"):
        lake.trades("BTCUSD", "yesterday")


def test_every_door_gives_a_relation_of_its_views_columns(lake: Lake) -> None:
    assert lake.trades("BTCUSD").columns == lake.sql("FROM trade").columns
    assert lake.bbo("BTCUSD").df()["bid_price"].tolist() == [99.0, 99.5]
    assert lake.depth("BTCUSD", None, at(2)).pl()["version"].to_list() == [300]
    assert lake.klines("BTCUSD").fetchnumpy()["close"].tolist() == [100, 101]
    assert [row[12] for row in lake.klines("BTCUSD", "5m", at(0), at(1)).fetchall()] == [Decimal(5)]
    assert lake.book_at("BTCUSD", at(1.5)).arrow().read_all()["version"].to_pylist() == [300]
    assert lake.ohlcv("BTCUSD", "1m", at(0), at(60)).fetchall()[0][3] == Decimal(110)


def test_an_unknown_symbol_is_named_with_what_is_close_to_it(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"BTCUSDT: never recorded here \(did you mean BTCUSD\?\)"):
        lake.trades("BTCUSDT")
    assert lake.symbols() == ["BTCUSD"]


def test_a_symbol_without_rows_in_one_table_is_no_error(lake: Lake) -> None:
    assert lake.sql("SELECT count(*) FROM ticker").fetchall() == [(0,)]
    assert lake.trades("BTCUSD", "2030-01-01").fetchall() == []


def test_quotes_in_a_symbol_are_only_letters(lake: Lake) -> None:
    with pytest.raises(LakeError, match="never recorded"):
        lake.trades("BTC' OR '1'='1")


def test_files_are_those_of_the_view_and_any_engine_counts_the_same(root: Path, lake: Lake) -> None:
    write(root, "trade", [trade(n, 5 * DAY + n, "1") for n in range(30, 33)])
    files = lake.files("trade")
    assert pl.scan_parquet(files).select(pl.len()).collect().item() == 13
    assert lake.sql("SELECT count(*) FROM trade").fetchall() == [(13,)]
    early = lake.files("trade", end="2026-03-03")
    assert early == files[:2]
    assert lake.files("trade", start="2026-03-05T12:00") == [files[0], files[2]]
    assert lake.files("kline_update") == lake.files("kline")
    assert pl.scan_parquet(lake.files("mark_price")).collect().height == 0
    with pytest.raises(LakeError, match=r"trades: no such table \(did you mean trade\?\); one of bbo, clock"):
        lake.files("trades")


def test_coverage_by_symbol_and_channel(root: Path, lake: Lake) -> None:
    write(root, "gap", [gap(50, 30, "trade", 20, 30, "silent")])
    statuses = [row[5] for row in lake.coverage("BTCUSD", "trade").fetchall()]
    assert statuses == ["ok", "gap", "ok"]
    assert lake.coverage("ETHUSD").fetchall() == []


def test_pictures_are_drawn_without_a_display(root: Path, lake: Lake, tmp_path: Path) -> None:
    write(root, "gap", [gap(50, 30, "trade", 20, 30, "silent")])
    figures = {
        "coverage": lake.plot_coverage(),
        "candles": lake.plot_candles("BTCUSD", "5s", at(0), at(60)),
        "depth": lake.plot_depth("BTCUSD"),
        "depth at": lake.plot_depth("BTCUSD", at(1)),
    }
    for name, figure in figures.items():
        figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
    assert figures["depth"].axes[0].get_title(loc="left") == "BTCUSD, book at 2026-03-01 12:00:02 UTC"
    with pytest.raises(LakeError, match="no book in the day before"):
        lake.plot_depth("BTCUSD", at(-10))


def test_an_empty_lake_has_nothing_to_draw_and_says_so(root: Path) -> None:
    with pytest.raises(LakeError, match="no stream was live"):
        open_lake(root).plot_coverage()
    with pytest.raises(LakeError, match="nothing recorded"):
        open_lake(root).plot_depth("BTCUSD")
