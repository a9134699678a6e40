"""The views over files: which files count, which columns there are, and what a candle's last word is."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from recorder.lake.macros import EXTRA_COLUMNS
from recorder.lake.names import live
from recorder.lake.reader import Lake, open_lake
from recorder.lake.schema import Column, tables, views
from recorder.lake.views import view_columns, view_sql
from tests.lake.helpers import at, candle, clock, empty_lake, event, ns, trade, write

COMMON = ["venue", "symbol", "exchange_time", "receive_time", "receive_ns", "send_ms", "seq", "idx", "conn", "source"]
HOUR = 3600


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return empty_lake(tmp_path / "data")


def seqs(lake: Lake) -> list[int]:
    return [seq for (seq,) in lake.sql("SELECT seq FROM trade ORDER BY seq").fetchall()]


def test_an_empty_lake_has_every_view_with_its_columns_and_no_rows(root: Path) -> None:
    lake = open_lake(root)
    for table in tables().values():
        relation = lake.sql(f"FROM {table.view}")
        own = [column.name for column in table.columns if column.name not in COMMON]
        derived = [c.name for c in (*table.derived, *EXTRA_COLUMNS.get(table.name, ())) if c.name not in COMMON]
        assert relation.columns[: len(COMMON)] == COMMON
        assert relation.columns[-1] == "date"
        assert sorted(relation.columns[len(COMMON) :]) == sorted(own + derived)
        told = dict(zip(relation.columns, map(str, relation.types), strict=True))
        assert told == {column.name: column.sql_type for column in view_columns(table)}
        assert relation.fetchall() == []
    for view in views().values():
        relation = lake.sql(f"SELECT {', '.join(column.name for column in view.columns)} FROM {view.name}")
        assert list(map(str, relation.types)) == [column.sql_type for column in view.columns]
        assert relation.fetchall() == []


@pytest.mark.parametrize(
    ("view", "columns"),
    [
        ("trade", "trade_id price size buyer_is_maker taker_side"),
        (
            "depth",
            "version bid_price bid_size ask_price ask_size bid_prices bid_sizes ask_prices ask_sizes",
        ),
        ("depth_delta", "version counter is_snapshot bid_prices bid_sizes ask_prices ask_sizes"),
        (
            "kline_update",
            "interval open_time open high low close volume quote_volume trade_count "
            "taker_buy_volume taker_buy_quote_volume",
        ),
        (
            "kline",
            "interval open_time open high low close volume quote_volume trade_count "
            "taker_buy_volume taker_buy_quote_volume is_final confirmed_by",
        ),
        ("bbo", "version bid_price bid_size ask_price ask_size"),
        ("ticker", "open high low last volume quote_volume"),
        ("mark_price", "price"),
        ("index_price", "price average_price formula"),
        ("clock", "server_ms round_trip_ns offset_ns"),
        (
            "instrument",
            "base quote kind status tick_size lot_size min_notional contract_multiplier raw",
        ),
        ("session", "session event channel detail"),
        ("gap", "channel reason from_time to_time healed"),
        ("quarantine", "channel reason frame"),
    ],
)
def test_after_the_common_columns_come_those_of_the_contract(root: Path, view: str, columns: str) -> None:
    found = open_lake(root).sql(f"FROM {view}").columns
    assert found[: len(COMMON)] == COMMON
    assert found[len(COMMON) :][: len(columns.split())] == columns.split()


def test_coverage_has_the_columns_of_the_contract(root: Path) -> None:
    found = open_lake(root).sql("FROM coverage").columns
    assert found == ["venue", "symbol", "channel", "from_time", "to_time", "status", "reason"]


def test_an_hour_file_replaces_its_parts_and_a_day_file_replaces_both(root: Path) -> None:
    lake = open_lake(root)
    first, second, later = trade(1, 0, "1"), trade(2, 60, "1"), trade(3, HOUR, "1")
    write(root, "trade", [first])
    write(root, "trade", [second])
    write(root, "trade", [later])
    assert seqs(lake) == [1, 2, 3]
    write(root, "trade", [first, second], level="h")
    assert seqs(lake) == [1, 2, 3]  # its parts are still there
    assert len(lake.files("trade")) == 3  # the file without rows, the hour, the part of the next hour
    write(root, "trade", [first, second, later], level="d", place="sealed")
    assert seqs(lake) == [1, 2, 3]
    assert len(lake.files("trade")) == 2


def test_an_hour_half_merged_beside_a_finished_one_is_read_once(root: Path) -> None:
    write(root, "trade", [trade(1, 0, "1")])
    write(root, "trade", [trade(1, 0, "1"), trade(2, 1, "1")], level="h")
    write(root, "trade", [trade(2, 1, "1")])  # an input that is not removed yet
    write(root, "trade", [trade(3, HOUR, "1")])
    assert seqs(open_lake(root)) == [1, 2, 3]


def test_a_file_replaces_only_what_the_same_recorder_wrote_in_its_window(root: Path) -> None:
    write(root, "trade", [trade(1, 0, "1")], rec="alpha")
    write(root, "trade", [trade(1, 0, "1")], rec="alpha", level="h")
    write(root, "trade", [trade(1, 0, "1", symbol="ETHUSD")], rec="beta")
    write(root, "trade", [trade(9, 24 * HOUR, "1")], rec="alpha")
    assert seqs(open_lake(root)) == [1, 1, 9]


def test_readers_and_the_sealer_apply_the_same_rule(root: Path) -> None:
    for rec in ("alpha", "beta"):
        for hour in range(3):
            for n in range(2):
                write(root, "trade", [trade(10 * hour + n, hour * HOUR + n, "1")], rec=rec)
    write(root, "trade", [trade(0, 0, "1"), trade(1, 1, "1")], level="h")
    write(root, "trade", [trade(0, 0, "1"), trade(21, 2 * HOUR + 1, "1")], level="d", rec="beta", place="sealed")
    every = sorted(root.glob("hot/trade/*/*")) + sorted(root.glob("sealed/trade/*/*"))
    assert sorted(open_lake(root).files("trade")[1:]) == sorted(map(str, live(every)))


def test_a_filter_on_date_reads_only_the_files_of_that_date(root: Path) -> None:
    write(root, "trade", [trade(1, 0, "1")])
    write(root, "trade", [trade(2, 24 * HOUR, "2")])
    plan = open_lake(root).sql(
        "EXPLAIN ANALYZE SELECT sum(price) FROM trade WHERE date = DATE '2026-03-02' AND seq > 0"
    )
    text = plan.fetchall()[0][1]
    assert "date=2026-03-02/" in text
    assert "date=2026-03-01/" not in text
    assert "date=1970-01-01/" not in text


def test_brackets_and_stars_in_the_path_are_only_letters(tmp_path: Path) -> None:
    root = empty_lake(tmp_path / "a[b]*?c's")
    write(root, "trade", [trade(1, 0, "1")])
    assert seqs(open_lake(root)) == [1]


def test_taker_side_and_receive_time_are_derived(root: Path) -> None:
    write(root, "trade", [trade(1, 0.5, "1"), trade(2, 1, "1", taker="sell")])
    found = open_lake(root).sql("SELECT taker_side, receive_time, epoch_ns(receive_time) FROM trade").fetchall()
    assert found == [("buy", at(0.5), ns(0.5)), ("sell", at(1), ns(1))]


def test_size_base_is_the_size_times_todays_contract_multiplier(root: Path) -> None:
    lake = open_lake(root)
    write(root, "trade", [trade(1, 0, "1", "3"), trade(2, 0, "1", "3", symbol="BTCUSDT-PERPETUAL")])
    words = {"base": "BTC", "quote": "USDT", "kind": "perpetual", "status": "TRADING", "raw": "{}"}
    perpetual = {"symbol": "BTCUSDT-PERPETUAL", "contract_multiplier": Decimal("0.001")} | words
    spot = words | {"kind": "spot"}
    write(root, "instrument", [{"seq": 5, "receive_ns": ns(0)} | r for r in (perpetual, spot)])
    assert lake.sql("SELECT size_base FROM trade ORDER BY seq").fetchall() == [(Decimal(3),), (Decimal("0.003"),)]
    assert lake.sql("SELECT symbol FROM instrument_now ORDER BY symbol").fetchall() == [
        ("BTCUSD",),
        ("BTCUSDT-PERPETUAL",),
    ]


def test_old_and_new_versions_of_a_table_read_in_one_view(root: Path) -> None:
    old = tables()["trade"]
    new = replace(old, version=2, columns=(*old.columns, Column("flag", "string", "new", nullable=True)))
    write(root, "trade", [trade(1, 0, "1")])
    lake = open_lake(root)
    lake.con.execute(view_sql(new))
    assert lake.sql("SELECT seq, flag FROM trade").fetchall() == [(1, None)]  # no file has it yet
    write(root, "trade", [trade(2, 1, "2", flag="x")], table=new)
    assert lake.sql("SELECT seq, flag, price FROM trade ORDER BY seq").fetchall() == [
        (1, None, Decimal(1)),
        (2, "x", Decimal(2)),
    ]
    lake.con.execute(view_sql(old))  # an old program and a file of the future
    assert lake.sql("SELECT seq, price FROM trade ORDER BY seq").fetchall() == [(1, Decimal(1)), (2, Decimal(2))]


def test_comments_tell_what_views_and_columns_mean(root: Path) -> None:
    con = open_lake(root).con
    doc = tables()["trade"].doc
    assert con.execute("SELECT comment FROM duckdb_views() WHERE view_name = 'trade'").fetchall() == [(doc,)]
    query = "SELECT count(*) FROM duckdb_columns() WHERE comment IS NULL AND table_name IN ('depth', 'kline', 'gap')"
    assert con.execute(query).fetchall() == [(0,)]


KLINE = "SELECT open_time, close, quote_volume, source, is_final, confirmed_by FROM kline ORDER BY open_time"


def test_the_last_push_is_the_word_on_a_candle_but_nulls_of_v2_hide_nothing(root: Path) -> None:
    v1 = candle(1, 10, 0, "100", quote_volume=Decimal(500), trade_count=5)
    v2 = candle(2, 11, 0, "101", source="ws_v2")
    write(root, "kline", [v1, v2])
    assert open_lake(root).sql(KLINE).fetchall() == [(at(0), Decimal(101), Decimal(500), "ws_v2", False, None)]


def test_a_candle_is_final_five_seconds_after_a_later_one_was_seen(root: Path) -> None:
    write(root, "kline", [candle(1, 10, 0, "100"), candle(2, 61, 60, "101")])
    write(root, "clock", [clock(3, 65.9)])
    lake = open_lake(root)
    assert [row[4:] for row in lake.sql(KLINE).fetchall()] == [(False, None), (False, None)]
    write(root, "clock", [clock(4, 66)])
    assert [row[4:] for row in lake.sql(KLINE).fetchall()] == [(True, "next"), (False, None)]


def test_rest_after_the_close_is_the_last_word_and_before_it_a_push_like_any_other(root: Path) -> None:
    early = candle(1, 30, 0, "99", source="rest")
    push = candle(2, 59, 0, "100")
    late_push = candle(4, 62, 0, "102")
    write(root, "kline", [early, push])
    lake = open_lake(root)
    assert lake.sql(KLINE).fetchall() == [(at(0), Decimal(100), None, "ws_v1", False, None)]
    write(root, "kline", [candle(3, 61, 0, "101", source="rest"), late_push])
    assert lake.sql(KLINE).fetchall() == [(at(0), Decimal(101), None, "rest", True, "rest")]


def test_candles_of_other_symbols_and_intervals_confirm_nothing(root: Path) -> None:
    other = [candle(2, 61, 60, "1", symbol="ETHUSD"), candle(3, 61, 60, "1", interval="5m")]
    write(root, "kline", [candle(1, 10, 0, "100"), *other])
    write(root, "session", [event(9, 100, "note")])
    finals = open_lake(root).sql("SELECT count(*) FROM kline WHERE is_final").fetchall()
    assert finals == [(0,)]


def test_a_month_is_not_a_minute(root: Path) -> None:
    month = candle(1, 120, 0, "100", interval="1M", source="rest")
    write(root, "kline", [month])
    assert open_lake(root).sql(KLINE).fetchall()[0][4:] == (False, None)


def test_the_file_that_fixes_types_has_no_rows(root: Path) -> None:
    for file in root.glob("schema/*/*/*.parquet"):
        assert pq.ParquetFile(file).metadata.num_rows == 0
    with duckdb.connect() as con:
        assert con.execute(f"SELECT count(*) FROM '{root}/schema/trade/*/*.parquet'").fetchall() == [(0,)]
