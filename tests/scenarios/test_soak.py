"""SIGKILL of capture, writer and sealer again and again under load, and a reader that asks all the time.

0 wrong answers, 0 errors of the reader; at the end everything that was acknowledged is there, once, and nothing else.
The processes are the real writer and sealer; capture appends frames of past hours so that hours and days close.
SOAK_SECONDS makes it longer.
"""

import contextlib
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

import recorder
from recorder.lake.prepare import next_seq
from recorder.quality.verify import verify
from tests.lake.seal_support import REC, make_lake
from tests.scenarios.support import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("SOAK_SECONDS", "15"))
ROLES = ("capture", "writer", "sealer")
KILLS_EACH = 3  # at least, however slow the machine
DAYS = 2  # that are closed and sealed, at least
GRACE = 5.0  # of the sealer: no query here takes nearly as long
KILLS_EVERY = (0.3, 3.0)  # seconds between two kills
LONGEST_GROUP = 200  # seqs that capture may have written and not yet acknowledged

# Every number follows from the seq: what does not is a wrong answer. A trade keeps the seq of the line that came first.
QUERY = """
WITH said AS (
  SELECT 'bbo' AS channel, seq, seq AS number, bid_price AS price FROM bbo
  UNION ALL SELECT 'depth', seq, seq, bid_prices[1] FROM depth
  UNION ALL SELECT 'trade', seq, trade_id, price FROM trade)
SELECT channel, count(*), count(DISTINCT number), count(*) FILTER (price <> 1000.5 + number), max(seq),
       count(*) FILTER (seq <= CASE channel WHEN 'bbo' THEN $bbo WHEN 'depth' THEN $depth ELSE $trade END)
FROM said GROUP BY channel"""


class Roles:
    """The three processes, each started again as soon as it ended."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ledger = root.parent / "ledger"
        self.log = root.parent / "processes.log"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.kills: Counter[str] = Counter()

    def command(self, role: str) -> list[str]:
        own = ["--data", str(self.root), "--rec", REC]
        if role == "capture":
            last = [str(next_seq(self.root, REC))]
            return [sys.executable, "-m", "tests.scenarios.soak_capture", str(self.root), str(self.ledger), *last]
        if role == "writer":
            return [sys.executable, "-m", "recorder.lake.writer", *own]
        return [sys.executable, "-m", "recorder.lake.seal", *own, "--every", "0.2", "--grace", str(GRACE)]

    def start(self, role: str) -> None:
        with self.log.open("ab") as log:
            self.running[role] = subprocess.Popen(self.command(role), stdout=log, stderr=log)

    def kill(self, role: str) -> None:
        self.running[role].kill()
        self.running[role].wait(PATIENCE_SECONDS)
        self.kills[role] += 1

    def stop(self) -> None:
        """Orderly: capture first, then what follows it."""
        for role in ROLES:
            self.running[role].terminate()
            self.running[role].wait(PATIENCE_SECONDS)
        for _ in range(2):
            assert subprocess.run([*self.command("writer"), "--once"], check=False, timeout=60).returncode == 0
            sealing = [*self.command("sealer"), "--once", "--grace", "-60"]
            assert subprocess.run(sealing, check=False, timeout=60).returncode == 0, self.log.read_text()[-2000:]

    def acknowledged(self) -> int:
        """The last seq of which capture said that it is durable."""
        lines = self.ledger.read_bytes().split(b"\n") if self.ledger.exists() else []
        whole = [int(line) for line in lines[:-1]]
        return max(whole, default=0)


@contextlib.contextmanager
def roles(root: Path) -> Iterator[Roles]:
    made = Roles(root)
    for role in ROLES:
        made.start(role)
    try:
        yield made
    finally:
        for process in made.running.values():
            process.kill()
            process.wait(PATIENCE_SECONDS)


class Killer(threading.Thread):
    """Kills one of the roles at a time, or all of them, and starts them again; each of these in turn, shuffled."""

    def __init__(self, target: Roles, seed: int) -> None:
        super().__init__(name="killer")
        self.target = target
        self.chance = random.Random(seed)
        self.ended = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            turns: list[Sequence[str]] = []
            while not self.ended.wait(self.chance.uniform(*KILLS_EVERY)):
                if not turns:
                    turns = [*((role,) for role in ROLES), ROLES]
                    self.chance.shuffle(turns)
                chosen = turns.pop()
                for role in chosen:
                    self.target.kill(role)
                for role in chosen:
                    self.target.start(role)
        except BaseException as error:
            self.error = error


def test_kills_under_load_cost_nothing_and_no_reader_notices(tmp_path: Path) -> None:
    root = make_lake(tmp_path / "lake")
    with roles(root) as running:
        wait_until(lambda: running.acknowledged() > 0, "frames are acknowledged")
        killer = Killer(running, seed=7)
        killer.start()

        def is_enough() -> bool:
            return min(running.kills[role] for role in ROLES) >= KILLS_EACH and len(sealed(root, "bbo")) >= DAYS

        try:
            asked = ask_all_the_time(root, time.monotonic() + SECONDS, is_enough)
            copy = tmp_path / "copy"
            subprocess.run(["cp", "-r", root, copy], check=False, capture_output=True)  # a file may go meanwhile
        finally:
            killer.ended.set()
            killer.join()
        assert killer.error is None
        running.stop()
    hours, days = sealed(root, "depth"), sealed(root, "bbo")
    assert len(hours) > 24 and len(days) >= DAYS
    killed = ", ".join(f"{role} {running.kills[role]} times" for role in ROLES)
    acknowledged = running.acknowledged()
    sealed_too = f"{len(hours)} hours and {len(days)} days sealed"
    sys.stdout.write(f"killed {killed}; asked {asked} times; {acknowledged:,} records; {sealed_too}\n")
    assert asked > SECONDS / 2
    everything_is_there(root, acknowledged)
    for place in (root, copy):
        assert [str(found) for found in verify(place) if found.is_problem] == []


def sealed(root: Path, table: str) -> set[str]:
    """Windows of a table that have their final file."""
    return {path.name.split("~")[2] for path in root.glob(f"sealed/{table}/*/*.parquet")}


def ask_all_the_time(root: Path, end: float, is_enough: Callable[[], bool]) -> int:
    """Until `end`, and until it is enough; how often. What was seen once is always seen, nothing twice or wrong."""
    lake = recorder.open_lake(root)
    before: dict[str, tuple[int, int]] = {}
    asked = 0
    while time.monotonic() < end or not is_enough():
        assert time.monotonic() < end + 2 * PATIENCE_SECONDS, "this machine is too slow for a soak"
        known = {channel: before.get(channel, (0, 0))[1] for channel in ("bbo", "depth", "trade")}
        for channel, rows, distinct, wrong, last, again in lake.sql(QUERY, **known).fetchall():
            assert rows == distinct, f"{channel}: {rows - distinct} rows twice"
            assert wrong == 0, f"{channel}: {wrong} wrong rows"
            seen, seq = before.get(channel, (0, 0))
            assert again == seen, f"{channel}: {seen} rows up to seq {seq} have become {again}"
            before[channel] = rows, last
        asked += 1
    return asked


def everything_is_there(root: Path, acknowledged: int) -> None:
    """Every seq that was acknowledged is a row, but for heads of segments and second arrivals of a trade."""
    lake = recorder.open_lake(root)
    (count, distinct) = lake.sql(
        "SELECT count(*), count(DISTINCT seq) FROM (SELECT seq FROM bbo UNION ALL SELECT seq FROM depth "
        "UNION ALL SELECT seq FROM trade)"
    ).fetchall()[0]
    assert count == distinct
    # Rounds are of 12 records: bbo, depth, trade and its repetition for three symbols. A quote says where one began.
    lost = lake.sql(
        """SELECT b.seq FROM bbo AS b
           LEFT JOIN depth AS d ON d.seq = b.seq + 1 LEFT JOIN trade AS t ON t.seq = b.seq + 2
           WHERE b.seq <= $acknowledged - 3 AND (d.seq IS NULL OR t.seq IS NULL) ORDER BY 1""",
        acknowledged=acknowledged,
    ).fetchall()
    assert lost == []
    seqs = [seq for (seq,) in lake.sql(f"SELECT seq FROM bbo WHERE seq <= {acknowledged} ORDER BY seq").fetchall()]
    holes = [(a, b) for a, b in pairwise(seqs) if b - a not in (4, 5, 6)]
    assert holes == [], "between two quotes are three records, and at times the heads of one or two segments"
    assert acknowledged - seqs[-1] < LONGEST_GROUP
