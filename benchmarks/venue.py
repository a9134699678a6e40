"""The whole venue: CPU and memory of capture and writer against a bare client of the same stream, in one run.

Both receive V2 depth, bbo and trades and V1 trades and 1 m klines of 38 pairs, at the same time.
Bars: CPU at most 2 x the floor, memory at most 250 MB together.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))
WARM_UP_SECONDS = 20


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder))


def measure(folder: Path) -> None:
    market = subprocess.Popen(
        [sys.executable, "-m", "recorder", "simulate", "--pairs", "38"], stdout=subprocess.PIPE, text=True
    )
    assert market.stdout is not None
    urls = json.loads(market.stdout.readline())
    with urllib.request.urlopen(urls["rest"] + "/api/v1/exchangeInfo") as reply:
        symbols = [row["symbol"] for row in json.load(reply)["symbols"]]
    settings = {
        "RECORDER__VENUE__REST_URL": urls["rest"],
        "RECORDER__VENUE__WS_V1_URL": urls["ws_v1"],
        "RECORDER__VENUE__WS_V2_URL": urls["ws_v2"],
        "RECORDER__RECORD__STREAMS": '["depth","bbo","trade","kline"]',
        "RECORDER__RECORD__SYMBOLS": json.dumps(symbols),
    }
    run = subprocess.Popen(
        [sys.executable, "-m", "recorder", "run", "--data", str(folder / "data")],
        env=os.environ | settings,
        stderr=subprocess.DEVNULL,
    )
    listen = [sys.executable, "-m", "benchmarks._floor", urls["ws_v1"], urls["ws_v2"], ",".join(symbols)]
    floor = subprocess.Popen(listen, stdout=subprocess.PIPE, text=True)
    floor_uvloop = subprocess.Popen([*listen, "uvloop"], stdout=subprocess.DEVNULL)
    try:
        time.sleep(WARM_UP_SECONDS)
        capture = psutil.Process(run.pid)
        children = {
            name: [c for c in capture.children() if f"recorder.lake.{name}" in c.cmdline()]
            for name in ("writer", "seal")
        }
        parts = {
            "capture": [capture],
            "writer": children["writer"],
            "sealer, idle": children["seal"],
            "floor": [psutil.Process(floor.pid)],
            "floor on uvloop": [psutil.Process(floor_uvloop.pid)],
            "exchange": [psutil.Process(market.pid)],
        }
        before = {name: sum(map(cpu, group)) for name, group in parts.items()}
        peak = {"capture": 0, "writer": 0}
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(0.5)
            for name in peak:
                peak[name] = max(peak[name], sum(p.memory_info().rss for p in parts[name]))
        used = {name: sum(map(cpu, group)) - before[name] for name, group in parts.items()}
        floor.terminate()
        frames = int(floor.communicate()[0])
    finally:
        for process in (run, floor, floor_uvloop, market):
            process.terminate()
            process.wait()
    rate = frames / (SECONDS + WARM_UP_SECONDS)
    for name, seconds in used.items():
        print(f"{name:16} {100 * seconds / SECONDS:5.1f} % of a core, {1e6 * seconds / SECONDS / rate:5.0f} us a frame")
    ours = used["capture"] + used["writer"]
    print(f"frames a second                  {rate:6.0f}")
    print(f"capture + writer / floor         {ours / used['floor']:6.2f}   required <= 2")
    print(f"capture + writer / uvloop floor  {ours / used['floor on uvloop']:6.2f}   (capture runs on uvloop too)")
    total = sum(peak.values()) / 1e6
    each = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in peak.items())
    print(f"memory, capture + writer         {total:6.0f} MB required <= 250 MB ({each})")
