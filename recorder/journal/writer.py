"""Append to the journal from the event loop, without ever waiting for the disk.

This side decides: the seq of each record, its hour, where segments end, what is dropped when the disk
has refused for so long that memory would run out. `disk.py` does what was decided, in order.

A segment other than the newest by name is closed. Its records are all written before the next name
appears, so whoever lists the folder may take closed segments as they are.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

from recorder.errors import JournalError, LakeError
from recorder.journal.disk import Close, Disk, Entry, Rotate, Sync, Work, create_segment
from recorder.journal.format import HEADER_SIZE, HOUR_NS, Kind, Line

MAX_SEGMENT = 64 << 20
MAX_QUEUED = 64 << 20
LOSS_CHECK = 0.1  # seconds
DROPPED = 0  # what `append` returns for a record that it could not keep; the first seq is 1

OnLoss = Callable[[int, int, int], None]
OnState = Callable[[str], None]


class Journal:
    """The journal of one recorder, open for appending; used from one event loop only.

    `on_loss(first_receive_ns, last_receive_ns, count)` tells of records that were dropped, once the disk
    takes records again. `on_state(error)` tells of each change, with '' when all is well again.
    """

    def __init__(
        self,
        folder: Path,
        first_seq: int,
        head: Callable[[], bytes],
        *,
        sync_ms: int = 250,
        segment_seconds: float = 15,
        hour: int = 0,
        max_segment: int = MAX_SEGMENT,
        max_queued: int = MAX_QUEUED,
        on_loss: OnLoss | None = None,
        on_state: OnState | None = None,
    ) -> None:
        self.folder = folder
        self.next_seq = first_seq
        self.appended = 0  # records
        self.dropped = 0  # records
        self._head = head
        self._hour = hour
        self._max_segment = max_segment
        self._max_queued = max_queued
        self._on_loss = on_loss
        self._on_state = on_state
        self._loop = asyncio.get_running_loop()
        self._work: deque[Work] = deque()
        self._taken = 0  # bytes ever queued; with disk.written it tells what is still in memory
        self._loss: list[int] = []  # first, last receive_ns and count of a loss that goes on
        self._closed = False
        entry = self._head_entry(time.time_ns(), time.monotonic_ns())
        try:
            segment = create_segment(folder, entry)
        except OSError as error:
            raise LakeError(
                f"{folder}: the journal cannot be written: {error.strerror}; free some space, or make it writable"
            ) from error
        self._disk = Disk(folder, segment, self._work, sync_ms / 1000, self._tell)
        self._segment_seconds = segment_seconds
        self._timer = self._loop.call_later(segment_seconds, self._rotate_on_time)

    @property
    def state(self) -> Literal["ok", "failing"]:
        return "failing" if self._disk.error or self._loss else "ok"

    @property
    def error(self) -> str:
        """What the disk says, '' while all is well."""
        return self._disk.error

    @property
    def queued_bytes(self) -> int:
        """What is in memory only."""
        return self._taken - self._disk.written

    def append(
        self,
        kind: int,
        line: int,
        conn: int,
        payload: bytes,
        receive_ns: int | None = None,
        monotonic_ns: int | None = None,
    ) -> int:
        """Queue one record and return its seq; it is in the kernel's hands within 10 ms.

        Returns DROPPED if the disk has refused for so long that there is no room left in memory. Own
        events are kept even then: they are few, and they tell what happened.
        """
        if self._closed:
            raise JournalError(f"{self.folder}: the journal is closed; nothing can be appended any more")
        if receive_ns is None:
            receive_ns = time.time_ns()
        if monotonic_ns is None:
            monotonic_ns = time.monotonic_ns()
        size = len(payload) + HEADER_SIZE
        if (self._loss or self._taken - self._disk.written + size > self._max_queued) and not self._has_room(
            kind, receive_ns
        ):
            return DROPPED
        hour = receive_ns // HOUR_NS
        if hour > self._hour:
            self._rotate(receive_ns, monotonic_ns)
            self._hour = hour
        elif self._segment_bytes + size > self._max_segment:
            self._rotate(receive_ns, monotonic_ns)
        seq = self.next_seq
        self.next_seq = seq + 1
        self.appended += 1
        self._segment_bytes += size
        self._taken += size
        self._work.append((seq, receive_ns, monotonic_ns, self._hour, conn, kind, line, payload))
        self._disk.poke()
        return seq

    async def sync(self) -> None:
        """Return when all that was appended so far is durable, however long the disk takes."""
        done = self._loop.create_future()

        def finish() -> None:
            if not done.done():
                done.set_result(None)

        self._work.append(Sync(lambda: self._call(finish)))
        self._disk.press()
        await done

    def rotate(self) -> None:
        """Close the segment now, unless it holds nothing but its head."""
        self._rotate(time.time_ns(), time.monotonic_ns())

    async def close(self) -> None:
        """Write, sync and close everything; all records are in closed segments afterwards.

        Raises JournalError if the disk still refuses; what is written stays valid.
        """
        if self._closed:
            return
        self._closed = True
        self._timer.cancel()
        self.rotate()
        self._work.append(Close())
        self._disk.hurry()
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._disk.join))
        lost = self._disk.unsaved + (self._loss[2] if self._loss else 0)
        if lost or self._disk.error:
            raise JournalError(
                f"{self.folder}: {lost} records could not be written: {self._disk.error or 'queue was full'}; "
                "free some space; coverage will show the gap after the next start"
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _head_entry(self, receive_ns: int, monotonic_ns: int) -> Entry:
        self._hour = hour = max(self._hour, receive_ns // HOUR_NS)
        seq = self.next_seq
        self.next_seq = seq + 1
        payload = self._head()
        self._head_bytes = self._segment_bytes = HEADER_SIZE + len(payload)
        return seq, receive_ns, monotonic_ns, hour, 0, Kind.EVENT, Line.OWN, payload

    def _rotate(self, receive_ns: int, monotonic_ns: int) -> None:
        if self._segment_bytes == self._head_bytes:
            return
        entry = self._head_entry(receive_ns, monotonic_ns)
        self._taken += self._head_bytes
        self._work.append(Rotate(entry))
        self._disk.poke()

    def _rotate_on_time(self) -> None:
        self.rotate()
        self._timer = self._loop.call_later(self._segment_seconds, self._rotate_on_time)

    def _has_room(self, kind: int, receive_ns: int) -> bool:
        """Whether a record can be kept. After an overflow, only once half of the room is free again."""
        if self._loss and self._loss_is_over():
            return True
        if kind == Kind.EVENT and self.queued_bytes < 2 * self._max_queued:
            return True
        if self._loss:
            self._loss[1] = receive_ns
            self._loss[2] += 1
        else:
            self._loss = [receive_ns, receive_ns, 1]
            self._loop.call_later(LOSS_CHECK, self._check_loss)
        self.dropped += 1
        return False

    def _loss_is_over(self) -> bool:
        if self.queued_bytes >= self._max_queued // 2:
            return False
        first, last, count = self._loss
        self._loss = []
        if self._on_loss is not None:
            self._on_loss(first, last, count)
        return True

    def _check_loss(self) -> None:
        if self._loss and not self._closed and not self._loss_is_over():
            self._loop.call_later(LOSS_CHECK, self._check_loss)

    def _tell(self, error: str) -> None:
        if self._on_state is not None:
            on_state = self._on_state
            self._call(lambda: on_state(error))

    def _call(self, callback: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is gone: no one is left to tell
            self._loop.call_soon_threadsafe(callback)
