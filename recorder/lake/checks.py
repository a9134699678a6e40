"""Questions that `recorder verify` asks DuckDB: a reader that is not the writer's, with memory that is bounded.

Everything takes lists of files, so that the caller's list is what is judged, whatever is merged meanwhile.
"""

import atexit
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from recorder.errors import LakeError
from recorder.lake.reader import open_lake

MEMORY = "96MB"  # of each of our connections; what needs more goes to disk meanwhile
THREADS = 1  # each more needs memory of its own
STATUSES = ("ok", "gap", "healed", "not_recording")
SHOWN = 5  # of each kind of fault


def bound(con: duckdb.DuckDBPyConnection) -> None:
    """Let a connection answer questions over much of a lake in little memory; also without a lake to write into."""
    con.execute(f"SET memory_limit = '{MEMORY}'")
    con.execute(f"SET threads = {THREADS}")
    con.execute(f"SET temp_directory = '{_spill_folder()}'")
    con.execute("SET preserve_insertion_order = false")


@cache
def _spill_folder() -> str:
    """One for this process; DuckDB would take the working directory."""
    folder = tempfile.mkdtemp(prefix="recorder-verify-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Checks:
    """One connection for all questions. What DuckDB cannot do raises `Checks.Error`."""

    Error = duckdb.Error

    def __init__(self) -> None:
        self.con = duckdb.connect()
        bound(self.con)
        self.con.execute("SET asof_loop_join_threshold = 0")

    def read_all(self, file: Path) -> tuple[int, int]:
        """(rows, sum of seq) after every value of the file was read. Raises LakeError if it cannot be read."""
        query = """
            SELECT count(*), coalesce(sum(seq), 0)::BIGINT, bit_xor(hash(COLUMNS(*)))
            FROM read_parquet($file, hive_partitioning = false)"""
        try:
            found = self.con.execute(query, {"file": str(file)}).fetchall()[0]
        except duckdb.Error as error:
            raise LakeError(str(error).splitlines()[0]) from error
        return found[0], found[1]

    def repeated_trades(self, files: Sequence[Path]) -> Iterator[tuple[str, str, int, int]]:
        """(venue, symbol, trade_id, times) of trades that files of one recorder hold more than once."""
        for venue, symbol in self.series(files):
            yield from self._ask(
                f"""SELECT venue, symbol, trade_id, count(*) FROM {FILES}
                    WHERE venue = $venue AND symbol = $symbol AND trade_id IS NOT NULL
                    GROUP BY ALL HAVING count(*) > 1 ORDER BY trade_id LIMIT {SHOWN}""",
                files,
                venue=venue,
                symbol=symbol,
            )

    def series(self, files: Sequence[Path]) -> list[tuple[str, str]]:
        """(venue, symbol) of which there are rows."""
        return self._ask(f"SELECT DISTINCT venue, symbol FROM {FILES} ORDER BY ALL", files)

    def rows_between(self, files: Sequence[Path], low: int, high: int) -> NDArray[np.int64]:
        """seq * 2**15 + idx of the rows with low <= seq <= high, sorted."""
        if not files:
            return np.empty(0, np.int64)
        query = f"SELECT seq * 32768 + idx AS place FROM {FILES} WHERE seq BETWEEN $low AND $high ORDER BY 1"
        parameters = {"files": list(map(str, files)), "low": low, "high": high}
        return np.asarray(self.con.execute(query, parameters).fetchnumpy()["place"], np.int64)

    def known_trades(self, files: Sequence[Path], venue: str, symbol: str, ids: Sequence[int]) -> set[int]:
        """Those of `ids` that the files hold."""
        found = self._ask(
            f"""SELECT trade_id FROM {FILES} WHERE venue = $venue AND symbol = $symbol
                AND trade_id BETWEEN $low AND $high AND list_contains($ids, trade_id)""",
            files,
            venue=venue,
            symbol=symbol,
            low=min(ids),
            high=max(ids),
            ids=list(ids),
        )
        return {trade_id for (trade_id,) in found}

    def taker_agreement(self, trades: Sequence[Path], quotes: Sequence[Path]) -> tuple[int, int]:
        """(trades at or through the quote before them, of these how many on the side that the flag says).

        `buyer_is_maker` is read as documented: true means that the taker sold, so at the bid. Day by day: a trade
        before the first quote of its date is passed over.
        """
        decided = agreed = 0
        for date in sorted({path.parent.name for path in trades} & {path.parent.name for path in quotes}):
            of_date = [path for path in trades if path.parent.name == date]
            quoted = [str(path) for path in quotes if path.parent.name == date]
            ((more, same),) = self._ask(TAKER_AGREEMENT, of_date, quotes=quoted)
            decided, agreed = decided + more, agreed + same
        return decided, agreed

    def _ask(self, query: str, files: Sequence[Path], **parameters: object) -> list[tuple[Any, ...]]:
        if not files:
            return []
        return self.con.execute(query, {"files": list(map(str, files)), **parameters}).fetchall()


FILES = "read_parquet($files, hive_partitioning = false, union_by_name = true)"
TAKER_AGREEMENT = f"""
    WITH t AS (SELECT venue, symbol, exchange_time, price, buyer_is_maker FROM {FILES}),
    q AS (SELECT venue, symbol, exchange_time, bid_price, ask_price
          FROM read_parquet($quotes, hive_partitioning = false, union_by_name = true) WHERE bid_price < ask_price)
    SELECT count(*) FILTER (price >= ask_price OR price <= bid_price),
           count(*) FILTER (CASE WHEN buyer_is_maker THEN price <= bid_price ELSE price >= ask_price END)
    FROM t ASOF JOIN q ON t.venue = q.venue AND t.symbol = q.symbol AND t.exchange_time > q.exchange_time"""


def coverage_faults(root: Path) -> list[tuple[str, str]]:
    """(venue symbol channel, what) of intervals that are not adjacent, overlap, are empty or of unknown status."""
    statuses = ", ".join(f"'{status}'" for status in STATUSES)
    query = f"""
        WITH c AS (
          SELECT *, lag(to_time) OVER (PARTITION BY venue, symbol, channel ORDER BY from_time) AS before FROM coverage),
        fault AS (
          SELECT venue || ' ' || symbol || ' ' || channel AS stream, from_time,
                 CASE WHEN status NOT IN ({statuses}) THEN 'status ' || status
                      WHEN from_time >= to_time THEN 'an empty interval'
                      WHEN before > from_time THEN 'an overlap'
                      WHEN before < from_time THEN 'a hole' END AS what
          FROM c)
        SELECT stream, what || ' at ' || from_time FROM fault WHERE what IS NOT NULL ORDER BY ALL LIMIT 100"""
    lake = open_lake(root)
    bound(lake.con)
    return [(stream, what) for stream, what in lake.sql(query).fetchall()]
