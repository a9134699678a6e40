"""The status page of a recorder that runs, and of one whose port is taken."""

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.scenarios.support import exchange, recorder, wait_until


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def monitor(port: int) -> dict[str, str]:
    return {"RECORDER__MONITOR__PORT": str(port)}


def get(port: int, path: str) -> tuple[int, str]:
    """(status, body); status 0 while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""


@pytest.mark.slow
def test_it_tells_what_is_recorded_and_turns_unwell_when_the_disk_runs_low(tmp_path: Path) -> None:
    port = free_port()

    def health() -> dict[str, Any]:
        status, body = get(port, "/health")
        found: dict[str, Any] = json.loads(body or "{}")
        assert not found or status == (200 if found["ok"] else 503)
        return found

    with exchange(tmp_path, "--symbols", "BTCUSD", "--rate", "5") as market:
        with recorder(tmp_path, market, **monitor(port)) as run:
            wait_until(lambda: health().get("live_streams") == 5, "all five streams are live")
            assert health()["problems"] == []
            families = text_string_to_metric_families(get(port, "/metrics")[1])
            sampled = [x for family in families for x in family.samples]
            assert sum(x.value for x in sampled if x.name == "recorder_frames_total") > 0
            ages = {x.labels["topic"]: x.value for x in sampled if x.name == "recorder_stream_last_frame_age_seconds"}
            assert 0 <= ages["depth"] < 60
            lake = json.loads(get(port, "/lake")[1])
            assert lake["running"] and lake["pid"] == run.running.pid
            assert "recording" in get(port, "/")[1]
            assert run.stop() == 0, run.log()
            assert get(port, "/health")[0] == 0
        # As much as no disk has.
        huge = monitor(port) | {"RECORDER__JOURNAL__RESERVE_MB": str(1 << 40)}
        with recorder(tmp_path, market, **huge) as run:
            wait_until(lambda: health().get("disk") == "low", "the reserve is told")
            assert health()["problems"] == ["disk low: less space is free than [journal] reserve_mb"]
            assert run.stop() == 0, run.log()


def test_a_port_that_is_taken_is_said_loudly_and_recording_goes_on(tmp_path: Path) -> None:
    with socket.socket() as taken, exchange(tmp_path, "--symbols", "BTCUSD") as market:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with recorder(tmp_path, market, **monitor(taken.getsockname()[1])) as run:
            wait_until(lambda: "the status page is not served" in run.log(), "it says so")
            wait_until(lambda: any((run.data / "hot" / "trade").glob("*/*.parquet")), "trades are in the lake")
            assert run.stop() == 0, run.log()
