"""From journal records to the rows that the lake does not hold yet, as Arrow tables of our schema.

Decoding is the venue's; this side knows what the lake holds: which seqs are covered by files, which trades
and books are repetitions, how each instrument looked last. The writer makes parts of the tables,
`open_lake(live=True)` shows them as they are.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recorder.journal.format import Kind, Record
from recorder.lake.known_trades import KnownTrades
from recorder.lake.known_versions import TABLES, KnownVersions
from recorder.lake.names import Covered, covered, live, table_files
from recorder.lake.schema import tables
from recorder.venues.hashkey.columns import Columns
from recorder.venues.hashkey.decode import Context, decode


class RowMaker:
    """Takes the records of one recorder in order and gives their new rows.

    Its memory runs ahead of the lake: if the rows of a call did not get into files, start with a new one.
    """

    def __init__(self, root: Path, rec: str, held: dict[str, Covered] | None = None) -> None:
        self.root = root
        self.rec = rec
        self.covered = covered(root, rec, tables()) if held is None else held
        self.trades = KnownTrades(root, rec)
        self.versions = {name: KnownVersions(root, rec, name) for name in TABLES}
        self.context = Context()
        self._knows_instruments = False

    def make(self, records: Sequence[Record]) -> dict[str, pa.Table]:
        """Rows by table, sorted by (venue, symbol, seq, idx); a table without rows is left out."""
        if not self._knows_instruments and any(record.kind == Kind.REST for record in records):
            self.context.instruments.update(last_instruments(self.root, self.rec))
            self._knows_instruments = True
        made = {}
        for name, columns in decode(records, self.context).items():
            rows = as_table(name, columns)
            fresh = ~self.covered[name].covers(rows.column("seq").to_numpy())
            if not fresh.all():
                rows = rows.filter(pa.array(fresh))
            if name == "trade":
                rows = self._new_trades(rows)
            elif name in self.versions and (new := self.versions[name].is_new(rows)) is not None:
                rows = rows.filter(pa.array(new))
            if len(rows):
                made[name] = rows
        return made

    def _new_trades(self, rows: pa.Table) -> pa.Table:
        times = rows.column("exchange_time").cast("int64").to_pylist()
        names = (rows.column(name).to_pylist() for name in ("venue", "symbol", "trade_id"))
        trades = list(zip(*names, times, rows.column("source").to_pylist(), strict=True))
        new = np.array(self.trades.is_new(trades), bool)
        return rows if new.all() else rows.filter(pa.array(new))


def as_table(name: str, columns: Columns) -> pa.Table:
    """The decoder's columns as a table of exactly our schema."""
    schema = tables()[name].arrow
    return pa.Table.from_arrays([columns[field.name] for field in schema], schema=schema)


def last_instruments(root: Path, rec: str) -> dict[tuple[str, str], str]:
    """How each symbol's object looked when it was last stored."""
    newest: dict[tuple[str, str], tuple[int, str]] = {}
    for path in live(table_files(root, "instrument", rec)):
        with pq.ParquetFile(path) as file:
            rows = file.read(["venue", "symbol", "seq", "raw"]).to_pydict()
        for venue, symbol, seq, raw in zip(*rows.values(), strict=True):
            if newest.get((venue, symbol), (-1, ""))[0] < seq:
                newest[venue, symbol] = seq, raw
    return {key: raw for key, (_, raw) in newest.items()}


def decode_rows(
    root: Path, rec: str, records: Iterable[Record], held: dict[str, Covered] | None = None
) -> dict[str, pa.Table]:
    """Rows of records that are in no file yet, without writing anything: the last seconds, for readers.

    Records must begin with a segment's first. To see each row once, read the journal first, then list the
    files, and pass what that list covers as `held` (`names.Covered`, by table).
    """
    return RowMaker(root, rec, held).make(list(records))
