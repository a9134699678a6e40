"""The sealer: parts become hour files, hours become day files. `python -m recorder.lake.seal --data DIR --rec REC`.

The process that `recorder run` starts only watches for marks; each pass is a child of it, so that the memory
of merging is given back. It ends on SIGTERM at the next row group, or when its parent is gone.
"""

import argparse
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from recorder.errors import BusyError, RecorderError
from recorder.journal.lock import Lock

if TYPE_CHECKING:
    from recorder.lake.seal_pass import SealReport

GRACE_SECONDS = 3600.0
EVERY_SECONDS = 60.0  # between two looks at the marks
CLEAN_SECONDS = 900.0  # between two passes while there are marks but no new ones
RETRY_SECONDS = 60.0  # after a pass that failed; doubles up to CLEAN_SECONDS
LOCK_PATIENCE = 30.0  # seconds for a sealer before us to finish
EXIT_FAILED = 1


def seal(
    root: Path,
    rec: str,
    *,
    gc_grace_seconds: float = GRACE_SECONDS,
    now_ns: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> "SealReport":
    """One pass over all that is marked closed. Takes SEALER.LOCK; raises BusyError if another has it."""
    from recorder.lake.layout import check_format
    from recorder.lake.seal_pass import Sealer

    check_format(root)
    folder = root / "journal" / rec
    folder.mkdir(parents=True, exist_ok=True)
    with Lock(folder / "SEALER.LOCK", "sealer"):
        moment = time.time_ns() if now_ns is None else now_ns
        return Sealer(root, rec, moment, round(gc_grace_seconds * 1e9), should_stop).run()


class Watch:
    """Decides when a pass is due, from the marks and the clock alone."""

    def __init__(self) -> None:
        self.seen: frozenset[str] = frozenset()
        self.next = -math.inf  # when a pass is due whatever the marks say, if there are any or the last one failed
        self.pause = RETRY_SECONDS
        self.retry = True

    def is_due(self, marks: frozenset[str], now: float) -> bool:
        """At the first look, at a new mark, and now and then while marks are left."""
        return bool(marks - self.seen) or (now >= self.next and (bool(marks) or self.retry))

    def done(self, marks: frozenset[str], now: float) -> None:
        self.seen, self.next = marks, now + CLEAN_SECONDS
        self.pause, self.retry = RETRY_SECONDS, False

    def failed(self, marks: frozenset[str], now: float) -> None:
        """Try again, each time a little later."""
        self.seen, self.next = marks, now + self.pause
        self.pause, self.retry = min(2 * self.pause, CLEAN_SECONDS), True


def marks_of(root: Path, rec: str) -> frozenset[str]:
    try:
        return frozenset(path.name for path in (root / "closed").iterdir() if path.name.startswith(f"{rec}~"))
    except FileNotFoundError:
        return frozenset()


class Bell:
    """A sleep that SIGTERM, SIGINT, the end of a child and the parent's end cut short."""

    def __init__(self, parent: int | None) -> None:
        self.parent = parent
        self.asked = False
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ring)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only so that the sleep ends
        self._watched = [self._reader]
        if parent is not None and hasattr(os, "pidfd_open"):
            try:
                self._watched.append(os.pidfd_open(parent))
            except OSError:
                self.asked = True  # gone already

    def _ring(self, *_: object) -> None:
        self.asked = True

    def rung(self) -> bool:
        if self.parent is not None and os.getppid() != self.parent:
            self.asked = True
        return self.asked

    def wait(self, seconds: float) -> bool:
        """Sleep; true when it is time to end."""
        if not self.rung():
            select.select(self._watched, [], [], seconds)
            with suppress(BlockingIOError):
                os.read(self._reader, 4096)
        return self.rung()


def watch(root: Path, rec: str, every: float, grace: float, bell: Bell) -> int:
    """Run passes as children until the bell rings."""
    due = Watch()
    command = [sys.executable, "-m", "recorder.lake.seal", "--once", "--data", str(root), "--rec", rec]
    command += ["--grace", str(grace), "--parent", str(os.getpid())]
    while not bell.rung():
        marks = marks_of(root, rec)
        if due.is_due(marks, time.monotonic()):
            status = _pass(command, bell)
            (due.failed if status else due.done)(marks, time.monotonic())
        bell.wait(every)
    return 0


def _pass(command: Sequence[str], bell: Bell) -> int:
    with subprocess.Popen(command, start_new_session=True) as child:
        while child.poll() is None:
            if bell.rung():
                child.terminate()
                return child.wait()
            bell.wait(3600)  # its end rings too
        return child.returncode


def once(root: Path, rec: str, grace: float, bell: Bell) -> int:
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            report = seal(root, rec, gc_grace_seconds=grace, should_stop=bell.rung)
        except BusyError:
            if time.monotonic() > deadline or bell.wait(0.2):
                raise
            continue
        return EXIT_FAILED if report.failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0: done or asked to end; 1: a window could not be merged; 2: wrong use."""
    from recorder.logs import set_up_logs

    parser = argparse.ArgumentParser(prog="python -m recorder.lake.seal")
    parser.add_argument("--data", type=Path, required=True, help="the lake")
    parser.add_argument("--rec", required=True, help="whose files")
    parser.add_argument("--once", action="store_true", help="one pass")
    parser.add_argument("--every", type=float, default=EVERY_SECONDS, metavar="SECONDS", help="between looks")
    parser.add_argument("--grace", type=float, default=GRACE_SECONDS, metavar="SECONDS", help="before inputs go")
    parser.add_argument("--parent", type=int, help="end when this process is no longer our parent")
    asked = parser.parse_args(argv)
    bell = Bell(asked.parent)
    set_up_logs()
    try:
        if asked.once:
            return once(asked.data, asked.rec, asked.grace, bell)
        return watch(asked.data, asked.rec, asked.every, asked.grace, bell)
    except RecorderError as error:
        sys.stderr.write(f"sealer: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
