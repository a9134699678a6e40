"""The whole recorder as its user runs it: real processes, real sockets, real signals.

`Exchange` is `recorder simulate`, `Recorder` is `recorder run`. Both are waited for by what they say or do,
never by a length of time in which they are hoped to have done it.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

RECORDER = [sys.executable, "-m", "recorder"]
PATIENCE_SECONDS = 60.0
EVENT = re.compile(rb'^\{"conn": ?\d+, ?"event": ?"(\w+)"', re.MULTILINE)  # a line of the ledger that is no frame


def wait_until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Look again every few milliseconds; fail with `what` when it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:g} s in vain until {what}"
        time.sleep(0.02)


@dataclass
class Exchange:
    """A running `recorder simulate` and its ledger."""

    process: subprocess.Popen[bytes]
    urls: dict[str, str]
    ledger: Path
    lines: int = 0  # of the ledger, as far as it was read
    events: set[str] = field(default_factory=set)  # in them
    offset: int = 0

    def look(self) -> None:
        """Read on in the ledger, which grows large: each line once, however often somebody looks."""
        with self.ledger.open("rb") as file:
            file.seek(self.offset)
            more, whole, _ = file.read().rpartition(b"\n")
        self.offset += len(more) + len(whole)
        self.lines += more.count(b"\n") + len(whole)
        self.events.update(name.decode() for name in EVENT.findall(more))

    def frames_sent(self) -> int:
        """Lines in the ledger so far."""
        self.look()
        return self.lines

    def wait_for_frames(self, more: int, seconds: float = PATIENCE_SECONDS) -> None:
        """Until it has put `more` further frames on its sockets."""
        target = self.frames_sent() + more
        wait_until(lambda: self.frames_sent() >= target, f"{more} more frames are sent", seconds)

    def wait_for_seconds(self, seconds: float) -> None:
        """Until the exchange has been serving for so long, told by the times in its ledger."""

        def served() -> bool:
            with self.ledger.open("rb") as file:
                first = json.loads(file.readline() or b"{}")
                file.seek(max(0, self.ledger.stat().st_size - 200_000))
                last = file.read().rsplit(b"\n", 2)[-2]
            stamps = [re.search(rb'"(?:sent|at)_ns": ?(\d+)', line) for line in (json.dumps(first).encode(), last)]
            return all(stamps) and int(stamps[1][1]) - int(stamps[0][1]) >= seconds * 1e9  # type: ignore[index]

        wait_until(served, f"the exchange has served for {seconds:g} s", seconds + PATIENCE_SECONDS)

    def wait_for_event(self, event: str, seconds: float) -> None:
        """Until the ledger has a line for `event`."""

        def happened() -> bool:
            self.look()
            return event in self.events

        wait_until(happened, f"event {event}", seconds)


@contextmanager
def exchange(folder: Path, *arguments: str) -> Iterator[Exchange]:
    """Start `recorder simulate` with `arguments`; its ledger is in `folder`."""
    ledger = folder / "ledger.ndjson"
    command = [*RECORDER, "simulate", "--ledger", str(ledger), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the simulator ended before its first line"
        yield Exchange(process, json.loads(line), ledger)
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@dataclass
class Recorder:
    """`recorder run` on one data directory, which may be started, killed and started again."""

    data: Path
    urls: dict[str, str]
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith("RECORDER__")}
        return others | {
            "RECORDER__VENUE__REST_URL": self.urls["rest"],
            "RECORDER__VENUE__WS_V1_URL": self.urls["ws_v1"],
            "RECORDER__VENUE__WS_V2_URL": self.urls["ws_v2"],
            "RECORDER__JOURNAL__SEGMENT_SECONDS": "1",
            **self.settings,
        }

    def start(self) -> None:
        log = (self.data.parent / "recorder.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [*RECORDER, "run", "--data", str(self.data)], env=self.environment, stderr=log
            )

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "the recorder was not started"
        return self.process

    def writer(self) -> psutil.Process:
        """The writer process; waits until there is one."""
        return self.child("recorder.lake.writer")

    def child(self, module: str) -> psutil.Process:
        """The process beside capture that runs a module; waits until there is one."""
        found: list[psutil.Process] = []

        def look() -> bool:
            for child in psutil.Process(self.running.pid).children():
                with suppress(psutil.Error):  # it may have ended by now
                    if module in child.cmdline():
                        found.append(child)
            return bool(found)

        wait_until(look, f"the process of {module} runs")
        return found[0]

    def kill(self, *, capture: bool, writer: bool) -> None:
        """SIGKILL, in the order writer, capture, so that neither can react to the other's end."""
        target = self.writer() if writer else None
        if target is not None:
            target.kill()
        if capture:
            self.running.kill()
            self.running.wait(PATIENCE_SECONDS)

    def stop(self) -> int:
        """SIGTERM, as a service manager does; the exit status."""
        self.running.send_signal(signal.SIGTERM)
        return self.running.wait(PATIENCE_SECONDS)

    def log(self) -> str:
        return (self.data.parent / "recorder.log").read_text()


@contextmanager
def recorder(folder: Path, market: Exchange, kind: type[Recorder] = Recorder, /, **settings: str) -> Iterator[Recorder]:
    """A started recorder on `folder/data`; whatever still runs at the end is killed."""
    made = kind(folder / "data", market.urls, settings)
    made.start()
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            for child in psutil.Process(made.process.pid).children(recursive=True):
                child.kill()
            made.process.kill()
            made.process.wait(PATIENCE_SECONDS)


def run_cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One `recorder …` command to its end."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("RECORDER__")}
    return subprocess.run(
        [*RECORDER, *arguments],
        env=others | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
