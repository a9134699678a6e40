"""The command line: data on stdout, words on stderr; wrong use is one line with the remedy and status 2.

Commands that only read are run in this process, by the function that the script calls: hundreds of milliseconds
less each. Those that serve or log set up signals and logs for the whole of their process, and get one.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from recorder.cli import main
from recorder.lake.prepare import prepare
from tests.exports.lakes import market_lake
from tests.lake.journals import contents, new_lake, write_story
from tests.scenarios.support import run_cli

SERVE_OR_LOG = ("run", "simulate", "replay", "seal", "backfill", "verify")
Ended = subprocess.CompletedProcess[str]
Run = Callable[..., Ended]
Refused = Callable[..., None]


@pytest.fixture
def empty_lake(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    prepare(data)
    return data


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """`recorder …` to its end, as `run_cli` does it in a process of its own."""

    def here(*arguments: str, **environment: str) -> Ended:
        if arguments[0] in SERVE_OR_LOG:
            return run_cli(*arguments, **environment)
        with monkeypatch.context() as patched, pytest.raises(SystemExit) as ended:
            patched.setattr(sys, "argv", ["recorder", *arguments])
            for name in [name for name in os.environ if name.startswith("RECORDER__")]:
                patched.delenv(name)
            for name, value in environment.items():
                patched.setenv(name, value)
            main()
        out, err = capfd.readouterr()
        return Ended(arguments, int(ended.value.code or 0), out, err)

    return here


@pytest.fixture
def refused(run: Run) -> Refused:
    """It ends with status 2, nothing on stdout, and one line on stderr that holds `words`."""

    def check(*arguments: str, words: list[str], **environment: str) -> None:
        ended = run(*arguments, **environment)
        assert ended.returncode == 2, ended
        assert ended.stdout == ""
        assert "Traceback" not in ended.stderr
        message = ended.stderr.strip()
        for word in words:
            assert word in message, message

    return check


def test_help_names_the_verbs_of_the_contract(run: Run) -> None:
    ended = run("--help")
    assert ended.returncode == 0
    verbs = "run demo simulate replay status coverage backfill seal verify sql export tables doctor"
    for verb in verbs.split():
        assert f" {verb} " in ended.stdout


def test_an_unknown_key_starts_nothing(refused: Refused, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[record]\nsymbol = ["BTCUSD"]\n')
    refused("run", "-c", str(config), "--data", str(tmp_path / "data"), words=[str(config), "symbol", "symbols"])
    assert not (tmp_path / "data").exists()


def test_a_wrong_type_names_the_key_and_a_valid_value(refused: Refused, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[journal]\nsegment_seconds = "often"\n')
    refused("status", "-c", str(config), words=["segment_seconds", "segment_seconds = 15"])


def test_a_data_directory_in_a_missing_folder_is_not_made(refused: Refused, tmp_path: Path) -> None:
    refused("run", "--data", str(tmp_path / "none" / "data"), words=["none", "does not exist", "--data"])
    assert not (tmp_path / "none").exists()


def test_a_file_in_place_of_the_data_directory(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    refused("run", "--data", str(tmp_path / "data"), words=["a file is in the way", "--data"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_data_directory_that_is_read_only(refused: Refused, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o555)
    refused("run", "--data", str(data), words=["cannot be written", "--data"])


@pytest.mark.parametrize(
    "verb",
    [
        *(["status"], ["sql", "SELECT 1"], ["coverage"], ["seal"], ["verify"], ["replay"]),
        ["export", "bars", "--symbol", "BTCUSD", "--out", "bars.csv"],
    ],
)
def test_reading_what_is_no_lake(refused: Refused, tmp_path: Path, verb: list[str]) -> None:
    refused(*verb, "--data", str(tmp_path / "none"), words=["none"])


def test_a_lake_of_another_format(refused: Refused, empty_lake: Path) -> None:
    (empty_lake / "LAKE.json").write_text('{"format": 99}')
    refused("sql", "SELECT 1", "--data", str(empty_lake), words=["format 99", "reads 1"])


def test_a_port_that_is_taken(refused: Refused, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused("simulate", "--port", port, words=[port])


def test_a_symbol_that_the_simulator_does_not_have(refused: Refused) -> None:
    refused("simulate", "--symbols", "NO/SUCH", words=["NO/SUCH"])


def test_a_capture_that_is_not_there(refused: Refused, tmp_path: Path) -> None:
    refused("simulate", "--capture", str(tmp_path / "none.gz"), words=["none.gz"])


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELEC 1", ["SQL", "SELEC"]),
        ("SELECT nothing FROM trade", ["nothing"]),
        ("DROP VIEW trade", ["DROP", "refused"]),
        ("SELECT 1; SELECT 2", ["one statement"]),
        ("COPY trade TO 'x.csv'", ["COPY", "--out"]),
    ],
)
def test_sql_only_reads_and_says_what_is_wrong(
    refused: Refused, empty_lake: Path, query: str, words: list[str]
) -> None:
    refused("sql", query, "--data", str(empty_lake), words=words)


def test_every_view_of_the_contract_can_be_asked_on_an_empty_lake(run: Run, empty_lake: Path) -> None:
    views = [
        *("trade", "depth", "depth_delta", "kline_update", "kline", "bbo", "ticker", "mark_price", "index_price"),
        *("clock", "instrument", "session", "gap", "coverage", "quarantine"),
    ]
    query = " UNION ALL ".join(f"SELECT '{view}' AS name, count(*) AS rows FROM {view}" for view in views)
    ended = run("sql", query, "--json", "--data", str(empty_lake))
    assert ended.returncode == 0, ended.stderr
    assert {row["name"]: row["rows"] for row in json.loads(ended.stdout)} == dict.fromkeys(views, 0)


def test_sql_as_csv_and_into_a_file(refused: Refused, run: Run, empty_lake: Path, tmp_path: Path) -> None:
    query = "SELECT 0.1::DECIMAL(30,12) AS price, make_timestamp_ns(1723161256172210766) AS t"
    assert run("sql", query, "--format", "csv", "--data", str(empty_lake)).stdout == (
        "price,t\n0.100000000000,2024-08-08 23:54:16.172210766\n"
    )
    out = tmp_path / "answer.parquet"
    assert run("sql", query, "--format", "parquet", "--out", str(out), "--data", str(empty_lake)).returncode == 0
    assert out.stat().st_size > 0
    refused("sql", query, "--format", "parquet", "--data", str(empty_lake), words=["--out"])


def test_an_export_says_what_there_is_and_which_gaps_forbid_it(refused: Refused, run: Run, tmp_path: Path) -> None:
    made = market_lake(tmp_path / "lake", seconds=20, gaps=[(10, 12)])
    place = ("--out", str(tmp_path / "bars.csv"), "--interval", "1s", "--data", str(made.path))
    refused("export", "bars", "--symbol", "NOPE", *place, words=["NOPE", made.symbol])
    refused("export", "bars", "--symbol", made.symbol, *place, words=["gap", "--on-gap split", "--on-gap ignore"])
    assert not (tmp_path / "bars.csv").exists()
    ended = run("export", "bars", "--symbol", made.symbol, "--on-gap", "ignore", "--json", *place)
    assert ended.returncode == 0, ended.stderr
    rows = len((tmp_path / "bars.csv").read_text().splitlines()) - 1
    assert 0 < rows <= 18
    assert json.loads(ended.stdout)["rows"] == rows
    assert f"{rows} rows" in ended.stderr
    place = ("--out", str(tmp_path / "bars.csv"), "--interval", "11s", "--data", str(made.path))
    refused("export", "bars", "--symbol", made.symbol, *place, words=["not one bar"])
    assert run("export", "bars", "--symbol", made.symbol, "--incomplete", "--on-gap", "ignore", *place).returncode == 0


def test_a_replay_needs_a_range_that_was_recorded(refused: Refused, tmp_path: Path, empty_lake: Path) -> None:
    refused("replay", "--data", str(empty_lake), words=["nothing"])
    made = market_lake(tmp_path / "lake", seconds=5)
    refused("replay", "--speed", "0", "--data", str(made.path), words=["--speed", "max"])
    refused("replay", "--symbols", "NOPE", "--data", str(made.path), words=["NOPE", "never recorded"])


def test_a_lake_is_made_again_from_raw_frames(refused: Refused, run: Run, tmp_path: Path) -> None:
    root, new = tmp_path / "old", tmp_path / "new"
    write_story(new_lake(root))
    ended = run("seal", "--from-raw", str(root / "journal"), "--json", "--data", str(new))
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert report["rows"] == sum(map(len, contents(new).values())) > 0
    refused("seal", "--from-raw", str(root / "journal"), "--data", str(new), words=["empty directory", "--data"])
    refused("seal", "--from-raw", str(root / "hot"), "--data", str(tmp_path / "x"), words=["raw archives"])


def test_status_of_an_empty_lake_is_one_json_document(run: Run, empty_lake: Path) -> None:
    ended = run("status", "--json", "--data", str(empty_lake))
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["running"] is False and found["streams"] == []
    assert "not recording" in run("status", "--data", str(empty_lake)).stdout


def test_coverage_refuses_what_it_does_not_know(refused: Refused, run: Run, empty_lake: Path) -> None:
    refused("coverage", "--table", "trades", "--data", str(empty_lake), words=["trades", "trade, depth"])
    refused("coverage", "--from", "yesterday", "--data", str(empty_lake), words=["yesterday", "2026-09-23T08:00:00"])
    assert json.loads(run("coverage", "--json", "--data", str(empty_lake)).stdout) == []


def test_the_doctor_names_what_cannot_be_reached(run: Run, tmp_path: Path) -> None:
    nowhere = {
        "RECORDER__VENUE__REST_URL": "http://127.0.0.1:9",
        "RECORDER__VENUE__WS_V1_URL": "ws://127.0.0.1:9/v1",
        "RECORDER__VENUE__WS_V2_URL": "ws://127.0.0.1:9/v2",
    }
    ended = run("doctor", "--json", "--data", str(tmp_path), **nowhere)
    assert ended.returncode == 1, ended.stderr
    findings = {finding["check"]: finding for finding in json.loads(ended.stdout)}
    for check in ("REST", "WS V1", "WS V2"):
        assert not findings[check]["ok"] and "[venue]" in findings[check]["remedy"]
    assert findings["data directory"]["ok"] and findings["versions"]["ok"]


def test_the_docs_of_the_tables_are_what_the_schemas_say(run: Run, tmp_path: Path) -> None:
    assert run("tables", "--check").returncode == 0
    old = tmp_path / "tables.md"
    old.write_text("something else")
    assert run("tables", "--check", "--out", str(old)).returncode == 1
