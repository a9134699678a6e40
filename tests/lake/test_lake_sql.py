"""lake.sql alone, in a DuckDB that knows nothing of us, gives the answers that Python gives."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from recorder.lake.reader import open_lake
from recorder.lake.views import lake_sql
from tests.lake.helpers import bbo, book, candle, clock, empty_lake, event, gap, trade, write

QUERIES = (
    "SELECT count(*), sum(price), max(receive_time) FROM trade",
    "FROM trade ORDER BY seq",
    "FROM kline",
    "FROM coverage",
    "FROM gap",
    "FROM ohlcv('BTCUSD', '1m', '2026-03-01T12:00', '2026-03-01T12:05')",
    "FROM book_at('BTCUSD', '2026-03-01T12:00:02')",
    "FROM levels('BTCUSD', NULL, NULL) ORDER BY ALL",
    "FROM spread('BTCUSD', NULL, NULL)",
    "FROM instrument_now",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = empty_lake(tmp_path / "data")
    write(root, "session", [event(1, -60, "start"), event(2, -60, "live", "trade"), event(900, 600, "note")])
    write(root, "gap", [gap(50, 121, "trade", 119.5, 120.5, "disconnect")])
    write(root, "clock", [clock(60, 30)])
    write(root, "trade", [trade(100, 1, "100")])
    write(root, "trade", [trade(101, 2, "101")])
    write(root, "trade", [trade(100, 1, "100"), trade(101, 2, "101")], level="h")
    write(root, "bbo", [bbo(200, 1, "99", "101")])
    write(root, "depth", [book(300, 1, ["99"], ["101"])], level="h", place="sealed")
    write(root, "kline", [candle(400, 1, 0, "100"), candle(401, 61, 60, "101")])
    (root / "lake.sql").write_text(lake_sql())
    return root


@pytest.mark.parametrize("query", QUERIES)
def test_a_plain_connection_gives_the_same_answers(root: Path, query: str) -> None:
    with duckdb.connect() as con:
        con.execute("SET VARIABLE lake = ?", [str(root)])
        con.execute((root / "lake.sql").read_text())
        assert con.execute(query).fetchall() == open_lake(root).sql(query).fetchall()


def test_in_the_directory_of_the_lake_nothing_needs_to_be_set(root: Path) -> None:
    program = (
        "import duckdb; con = duckdb.connect(); con.execute(open('lake.sql').read());"
        "print(con.execute('SELECT count(*) FROM trade').fetchall())"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[(2,)]\n"


def test_reading_it_again_shows_newer_rows(root: Path) -> None:
    with duckdb.connect() as con:
        con.execute("SET VARIABLE lake = ?", [str(root)])
        con.execute(lake_sql())
        write(root, "trade", [trade(102, 4000, "102")])
        assert con.execute("SELECT count(*) FROM trade").fetchall() == [(2,)]
        con.execute(lake_sql())
        assert con.execute("SELECT count(*) FROM trade").fetchall() == [(3,)]


def test_the_script_needs_no_extension_from_the_network(root: Path) -> None:
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as con:
        con.execute("SET VARIABLE lake = ?", [str(root)])
        con.execute(lake_sql())
        assert con.execute("SELECT count(*) > 0 FROM coverage").fetchall() == [(True,)]
