"""A capture whose clock runs fast: appends frames of past hours to the journal until it is told or killed.

Every number in a frame follows from its seq, so that whoever reads the lake can tell a true row from a wrong one.
After each fdatasync the last seq is written to the ledger: up to there everything is acknowledged.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from recorder.journal.format import HOUR_NS, Kind, Line, pack
from recorder.journal.lock import Lock
from recorder.journal.reader import segment_name
from recorder.journal.recover import recover
from tests.lake.seal_support import REC, START, VENUE, bbo_frame, depth_frame, trade_frame

SYMBOLS = ("BTCUSD", "ETHUSD", "XRPUSD")
STEP_NS = 240 * 1_000_000_000  # of journal time between two rounds
PAUSE = 0.02  # of real time between two groups
ROUNDS = 4  # in a group
SEGMENT_GROUPS = 12


def price_of(seq: int) -> str:
    return f"{1000 + seq}.5"


def records_of_round(seq: int, at_ns: int) -> list[tuple[int, int, bytes]]:
    """(kind, line, payload) of the seqs from `seq` on; each trade comes on both lines."""
    made: list[tuple[int, int, bytes]] = []
    for symbol in SYMBOLS:
        first = seq + len(made)
        trade = trade_frame(symbol, at_ns, price_of(first + 2), first + 2)
        made += [
            (Kind.TEXT, Line.WS_V2, bbo_frame(symbol, at_ns, price_of(first))),
            (Kind.TEXT, Line.WS_V1, depth_frame(symbol, at_ns, price_of(first + 1))),
            (Kind.TEXT, Line.WS_V2, trade),
            (Kind.TEXT, Line.WS_V1, trade),
        ]
    return made


class Journal:
    """The one open segment."""

    def __init__(self, folder: Path, seq: int, now: int, hour: int) -> None:
        self.folder, self.seq, self.now, self.hour = folder, seq, now, hour
        self.fd = -1
        self.rotate()

    def rotate(self) -> None:
        if self.fd >= 0:
            os.fdatasync(self.fd)
            os.close(self.fd)
        head = {"event": "segment", "format": 1, "venue": VENUE, "session": "soak", "open": [], "live": []}
        partial = self.folder / ".next.tmp"
        name = segment_name(self.seq)
        record = self._pack(Kind.EVENT, Line.OWN, json.dumps(head).encode())
        self.fd = os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.write(self.fd, record)
        partial.rename(self.folder / name)

    def append_round(self) -> None:
        self.now += STEP_NS
        if self.now // HOUR_NS > self.hour:
            self.hour = self.now // HOUR_NS
            self.rotate()
        records = records_of_round(self.seq, self.now)
        os.write(self.fd, b"".join(self._pack(*each) for each in records))

    def _pack(self, kind: int, line: int, payload: bytes) -> bytes:
        self.hour = max(self.hour, self.now // HOUR_NS)
        seq, self.seq = self.seq, self.seq + 1
        return pack(seq, self.now, seq, self.hour, int(kind == Kind.TEXT), kind, line, payload)


def main(root: Path, ledger: Path) -> None:
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    folder = root / "journal" / REC
    with Lock(folder / "LOCK"), ledger.open("ab") as acknowledged:
        found = recover(folder, at_least=int(sys.argv[3]))
        journal = Journal(folder, found.next_seq, found.last_ns or START, found.last_hour)
        while not asked:
            for _ in range(SEGMENT_GROUPS):
                for _ in range(ROUNDS):
                    journal.append_round()
                os.fdatasync(journal.fd)
                acknowledged.write(f"{journal.seq - 1}\n".encode())
                acknowledged.flush()
                time.sleep(PAUSE)
            journal.rotate()
        journal.rotate()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
