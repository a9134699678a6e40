"""The order hftbacktest wants, for rows that come hour by hour.

Its own `correct_event_order` decides, but it wants all rows at once and sorts them twice. So rows are handed to it in
blocks, cut where nothing before the cut happens or arrives later than anything after it: there the parts, one after
the other, are what the whole would give. Late rows (trades of a healed gap) only make a block longer.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recorder.exports.files import need

Events = NDArray[Any]  # of hftbacktest's event_dtype


class EventOrder:
    def __init__(self) -> None:
        self._correct = need("hftbacktest.data").correct_event_order
        self._waiting: Events | None = None

    def push(self, events: Events, until_ns: int) -> Events:
        """Take rows, trades before depth; give back those that are in order now. All later rows happen and arrive
        at `until_ns` or after."""
        waiting = events if self._waiting is None else np.concatenate([self._waiting, events])
        order = np.argsort(waiting["exch_ts"], kind="stable")
        waiting = waiting[order]
        ready = _cut(waiting["exch_ts"], waiting["local_ts"], until_ns)
        self._waiting = waiting[ready:]
        return self._ordered(waiting[:ready])

    def finish(self) -> Events:
        waiting, self._waiting = self._waiting, None
        assert waiting is not None, "push comes first"
        return self._ordered(waiting)

    def _ordered(self, events: Events) -> Events:
        if not len(events):
            return events
        exchange = np.argsort(events["exch_ts"], kind="stable")
        local = np.argsort(events["local_ts"], kind="stable")
        corrected: Events = self._correct(events, exchange, local)
        return corrected


def _cut(exchange: NDArray[np.int64], local: NDArray[np.int64], until_ns: int) -> int:
    """How many rows, in order of exchange time, nothing else can mix with."""
    if not len(exchange):
        return 0
    arrived = np.maximum.accumulate(local)  # the last arrival among the first i + 1
    coming = np.append(np.minimum.accumulate(local[::-1])[::-1][1:], until_ns)  # the first among the others
    happening = np.append(exchange[1:], until_ns)
    clean = (arrived < np.minimum(coming, until_ns)) & (exchange < happening)
    return int(clean.nonzero()[0][-1]) + 1 if clean.any() else 0
