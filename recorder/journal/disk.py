"""The thread side of the journal: one thread writes what piled up, one more waits for the disk to sync.

Two threads, because a sync may take long and what arrives meanwhile must still reach the kernel within
10 ms: that is what survives `kill -9`. Nothing is forgotten before it is written, and nothing that was
written is forgotten before it is synced: after a failed sync the kernel may have thrown the pages away,
so they are written once more.

Work comes in order through one deque: records, `Rotate`, `Sync` and `Close`.
"""

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from recorder.journal.format import HEADER_SIZE, header
from recorder.journal.reader import segment_name

NAP = 0.007  # seconds that records may pile up before one write takes them all, unless somebody waits for them
RETRY = 1.0  # seconds between attempts while the disk refuses
SYNC_BYTES = 4 << 20
CHUNK = 1 << 20  # bytes, and
CHUNK_PARTS = 1000  # pieces of one write; the kernel takes 1024
MAX_UNSYNCED = 64 << 20

Entry = tuple[int, int, int, int, int, int, int, bytes]  # the fields of a Record, in order


@dataclass(slots=True)
class Rotate:
    """Go on in a new segment, whose first record is `head`."""

    head: Entry


@dataclass(slots=True)
class Sync:
    """Say so when all before this is durable."""

    done: Callable[[], None]


@dataclass(slots=True)
class Close:
    """Write and sync all before this, then end; gives up after one failed attempt."""


Work = Entry | Rotate | Sync | Close


Chunk = tuple[int, list[bytes], int]  # where it is in the file, its pieces, their size


@dataclass(slots=True)
class Segment:
    """The open file: `size` is the end of its last whole record."""

    path: Path
    fd: int
    size: int = 0
    unsynced: list[Chunk] = field(default_factory=list)

    def write(self, parts: list[bytes], size: int) -> None:
        """All of it or nothing: what a full disk cut short is cut back."""
        try:
            _write_at(self.fd, parts, size, self.size)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self.fd, self.size)
            raise
        self.unsynced.append((self.size, parts, size))
        self.size += size


@dataclass(slots=True)
class _Job:
    segment: Segment
    chunks: list[Chunk]
    done: list[Callable[[], None]]
    last: bool  # nothing more will be written to this segment


def _write_at(fd: int, parts: list[bytes], size: int, at: int) -> None:
    written = os.pwritev(fd, parts, at)
    if written == size:
        return
    view = memoryview(b"".join(parts))  # rare: a disk that runs full, a signal
    while written < size:
        written += os.pwrite(fd, view[written:], at + written)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def create_segment(folder: Path, head: Entry) -> Segment:
    """A new segment that already holds its head when its name appears. Its sync is left to the caller."""
    partial = folder / ".next.tmp"
    fd = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        segment = Segment(folder / segment_name(head[0]), fd)
        segment.write([header(*head), head[7]], HEADER_SIZE + len(head[7]))
        partial.rename(segment.path)
    except BaseException:
        os.close(fd)
        partial.unlink(missing_ok=True)
        raise
    return segment


class Disk:
    """Runs the two threads. `error` is empty while all goes well; `written` counts bytes taken from the queue.

    `on_error(text)` is called from these threads at each change of `error`, with '' when it is over.
    """

    def __init__(
        self, folder: Path, segment: Segment, work: deque[Work], sync_seconds: float, on_error: Callable[[str], None]
    ) -> None:
        self.written = 0
        self.writes = 0
        self.syncs = 0
        self.error = ""
        self.unsaved = 0  # records that were given up at close
        self._folder = folder
        self._segment = segment
        self._work = work
        self._sync_seconds = sync_seconds
        self._on_error = on_error
        self._write_error = self._sync_error = ""
        self._wake = threading.Event()
        self._idle = False
        self._nap = threading.Lock()  # held, so that taking it again is a sleep that `press` ends
        self._nap.acquire()
        self._closing = threading.Event()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._submitted = self._synced = 0
        self._waiters: list[Callable[[], None]] = []
        self._due = time.monotonic()
        self._writer = threading.Thread(target=self._write_all, name="journal-write", daemon=True)
        self._syncer = threading.Thread(target=self._sync_all, name="journal-sync", daemon=True)
        self._submit()
        self._syncer.start()
        self._writer.start()

    def poke(self) -> None:
        """Call after appending to the work queue; costs next to nothing while the thread is busy anyway."""
        if self._idle:
            self._idle = False
            self._wake.set()

    def press(self) -> None:
        """Call after appending what somebody waits for: the nap under way ends at once."""
        with suppress(RuntimeError):  # pressed already
            self._nap.release()
        self.poke()

    def hurry(self) -> None:
        """Do not sleep between attempts any more: we are closing."""
        self._closing.set()
        self.press()
        self._wake.set()

    def join(self) -> None:
        self._writer.join()
        self._syncer.join()

    # The writing thread

    def _write_all(self) -> None:
        work = self._work
        while True:
            self._sync_if_due()
            if not work:
                self._wake.clear()
                self._idle = True
                if not work:  # one may have come between the two lines above
                    wait = self._due - time.monotonic() if self._segment.unsynced else None
                    self._wake.wait(None if wait is None else max(wait, 2 * NAP))
                self._idle = False
                if not work:
                    continue
            self._nap.acquire(timeout=NAP)  # far cheaper than an Event: it is taken a hundred times a second
            if not self._take():
                break
        self._submit(last=True)
        self._jobs.put(None)

    def _take(self) -> bool:
        """Write all that is queued, in chunks. False once Close was met."""
        work, size, count = self._work, 0, 0
        parts: list[bytes] = []
        while work:
            item = work.popleft()
            if isinstance(item, tuple):
                parts += (header(*item), item[7])
                size += HEADER_SIZE + len(item[7])
                count += 1
                if size >= CHUNK or len(parts) >= CHUNK_PARTS:
                    self._write(parts, size, count)
                    parts, size, count = [], 0, 0
                continue
            if parts:
                self._write(parts, size, count)
                parts, size, count = [], 0, 0
            if isinstance(item, Rotate):
                self._rotate(item.head)
            elif isinstance(item, Sync):
                self._waiters.append(item.done)
                self._submit()
            else:
                return False
        if parts:
            self._write(parts, size, count)
        return True

    def _write(self, parts: list[bytes], size: int, count: int) -> None:
        if self._insist(lambda: self._segment.write(parts, size)):
            self.writes += 1
        else:
            self.unsaved += count
        self.written += size

    def _rotate(self, head: Entry) -> None:
        def step() -> None:
            following = create_segment(self._folder, head)
            self._submit(last=True)
            self._segment = following

        if self._insist(step):
            self._submit()
        self.written += HEADER_SIZE + len(head[7])

    def _insist(self, step: Callable[[], None]) -> bool:
        """Do it, however long the disk refuses. False only if we are closing and it still refuses."""
        while True:
            final = self._closing.is_set()
            try:
                step()
            except OSError as error:
                self._tell(write=f"{error.strerror or error}")
                if final:
                    return False
                self._closing.wait(RETRY)
            else:
                if self._write_error:
                    self._tell(write="")
                return True

    def _sync_if_due(self) -> None:
        chunks = self._segment.unsynced
        if not chunks:
            self._due = time.monotonic() + self._sync_seconds
            return
        bulk = self._segment.size - chunks[0][0]
        while bulk > MAX_UNSYNCED and self._submitted != self._synced and not self._closing.is_set():
            time.sleep(NAP)  # the disk takes nothing any more: let the queue fill up and be seen
        if self._submitted == self._synced and (bulk >= SYNC_BYTES or time.monotonic() >= self._due):
            self._submit()

    def _submit(self, last: bool = False) -> None:
        segment, waiters = self._segment, self._waiters
        self._jobs.put(_Job(segment, segment.unsynced, waiters, last))
        self._submitted += 1
        segment.unsynced, self._waiters = [], []
        self._due = time.monotonic() + self._sync_seconds

    # The syncing thread

    def _sync_all(self) -> None:
        current: Segment | None = None
        while (job := self._jobs.get()) is not None:
            is_new = job.segment is not current
            current = job.segment
            durable = self._sync(job, is_new)
            if job.last:
                os.close(job.segment.fd)
            self.syncs += 1
            self._synced += 1
            if durable:
                for done in job.done:
                    done()

    def _sync(self, job: _Job, is_new: bool) -> bool:
        while True:
            final = self._closing.is_set()
            try:
                if self._sync_error:
                    for at, parts, size in job.chunks:
                        _write_at(job.segment.fd, parts, size, at)
                os.fdatasync(job.segment.fd)
                if is_new:
                    sync_folder(self._folder)
            except OSError as error:
                self._tell(sync=f"sync: {error.strerror or error}")
                if final:
                    return False
                self._closing.wait(RETRY)
            else:
                if self._sync_error:
                    self._tell(sync="")
                return True

    def _tell(self, write: str | None = None, sync: str | None = None) -> None:
        if write is not None:
            self._write_error = write
        if sync is not None:
            self._sync_error = sync
        error = self._write_error or self._sync_error
        if error != self.error:
            self.error = error
            self._on_error(error)
