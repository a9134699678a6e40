"""The writer process: `python -m recorder.lake.writer --data DIR --rec REC`. Started and kept alive by capture.

It looks for closed segments, makes parts of them, and ends when asked to (SIGTERM) or when its parent is
gone, once every closed segment has become parts. A segment that fails is kept, told of, and tried again:
parts come in order, so those after it wait. Once an hour it applies the retention settings.
"""

import argparse
import gc
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import structlog

from recorder.errors import BusyError, RecorderError
from recorder.journal.lock import Lock
from recorder.journal.reader import closed_segments
from recorder.lake.keep import Keep, Schedule
from recorder.lake.layout import check_format
from recorder.lake.parts import PartMaker

log = structlog.get_logger()

POLL_SECONDS = 0.5
LOCK_PATIENCE = 30.0  # seconds for a writer before us to finish
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds after a failure
LAST_TRIES = 3  # of a segment that fails, once we were asked to stop
MIB = 1 << 20
SEGMENTS_AT_ONCE = 64  # then the marks and the wish to stop are looked at again


class Bell:
    """A sleep that SIGTERM and SIGINT end at once. Rung for good by the first of them, or by the parent's end."""

    def __init__(self, parent: int | None) -> None:
        self.parent = parent
        self.rung = False
        self._reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ring)

    def _ring(self, *_: object) -> None:
        self.rung = True

    def is_rung(self) -> bool:
        if self.parent is not None and os.getppid() != self.parent and not self.rung:
            log.warning("capture is gone; the writer finishes what is closed and ends")
            self.rung = True
        return self.rung

    def wait(self, seconds: float) -> None:
        if not self.is_rung() and select.select([self._reader], [], [], seconds)[0]:
            os.read(self._reader, 4096)


def write(
    journal: Path, make_maker: Callable[[], PartMaker], bell: Bell, once: bool, retention: Schedule | None = None
) -> int:
    """Make parts until the bell rings and nothing closed is left; returns the exit status."""
    maker: PartMaker | None = None
    pause, failures = FIRST_PAUSE, 0
    while True:
        ending = once or bell.is_rung()  # before the look, so that nothing closed in between is left
        try:
            maker = maker or make_maker()
            paths = closed_segments(journal)
            if paths:
                maker.make(paths[:SEGMENTS_AT_ONCE])
            else:
                maker.mark_closed()
        except Exception as error:
            # Whatever it is, the segment stays where it is and is read again with a fresh memory.
            maker, failures = None, failures + 1
            log.exception("making parts failed, segment kept", error=str(error), retry_seconds=pause)
            if ending and failures >= LAST_TRIES:
                return 1
            if ending:
                time.sleep(FIRST_PAUSE)
            else:
                bell.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            continue
        pause, failures = FIRST_PAUSE, 0
        if not paths:
            if ending:
                return 0
            if retention is not None:
                retention.look(time.monotonic(), time.time_ns())
            bell.wait(POLL_SECONDS)


def take_lock(path: Path, bell: Bell) -> Lock:
    """WRITER.LOCK; an earlier writer gets some time to finish. Raises BusyError."""
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            return Lock(path, "writer")
        except BusyError:
            if time.monotonic() > deadline or bell.is_rung():
                raise
            bell.wait(POLL_SECONDS)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0: all that is closed is in parts; 1: something is not; 2: wrong use."""
    from recorder.logs import set_up_logs

    parser = argparse.ArgumentParser(prog="python -m recorder.lake.writer")
    parser.add_argument("--data", type=Path, required=True, help="the lake")
    parser.add_argument("--rec", required=True, help="whose journal")
    parser.add_argument("--parent", type=int, help="end when this process is no longer our parent")
    parser.add_argument("--once", action="store_true", help="end when nothing closed is left")
    parser.add_argument("--keep-raw-days", type=float, default=0, metavar="N", help="archive segments, for N days")
    parser.add_argument("--reserve-mb", type=int, default=0, metavar="N", help="archive nothing with less free space")
    parser.add_argument("--keep", action="append", default=[], metavar="TABLE=DAYS", help="remove what is older")
    asked = parser.parse_args(argv)
    set_up_logs()
    bell = Bell(asked.parent)
    pa.set_cpu_count(1)  # one core is capture's
    pa.set_io_thread_count(1)
    pa.set_memory_pool(pa.system_memory_pool())  # gives back what a batch needed
    gc.freeze()  # what the imports made stays
    try:
        check_format(asked.data)
        retention = Schedule(asked.data, asked.rec, Keep.parse(asked.keep, asked.keep_raw_days))
        journal = asked.data / "journal" / asked.rec
        make_maker = partial(PartMaker, asked.data, asked.rec, asked.keep_raw_days > 0, asked.reserve_mb * MIB)
        with take_lock(journal / "WRITER.LOCK", bell):
            return write(journal, make_maker, bell, asked.once, retention)
    except RecorderError as error:
        log.error("writer ends", error=str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())
