"""Days of trades and quotes as Arrow, made without the decoder, so that a month is made in seconds."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks._market import SYMBOLS
from recorder.lake.names import DAY, PartName, path_of
from recorder.lake.parquet import write_file
from recorder.lake.schema import DECIMAL, tables

DAY_NS = 86_400_000_000_000
FIRST_DAY = 20_700  # since 1970; 2026-09-04
REC = "bench"

Ints = NDArray[np.int64]


def decimals(values: Ints, digits: int) -> pa.Array:
    """Whole numbers of 10**-digits as decimals of the lake."""
    halves = np.empty((len(values), 2), np.int64)
    scaled = values * 10 ** (12 - digits)
    halves[:, 0] = scaled
    halves[:, 1] = scaled >> 63
    return pa.Array.from_buffers(DECIMAL, len(values), [None, pa.py_buffer(halves.tobytes())])


def write_day(root: Path, table: str, day: int, each: int, seed: int = 1) -> Path:
    """The sealed file of a day: `each` rows of every symbol."""
    chance = np.random.default_rng([seed, day])
    pieces = list(_series(table, day, each, chance))
    rows = pa.concat_tables(pieces)
    seqs = rows.column("seq").to_numpy()
    window = str(np.datetime64(day, "D")).replace("-", "")
    name = PartName(REC, DAY, window, int(seqs.min()), int(seqs.max()), len(rows))
    path = path_of(root, "sealed", table, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, table, name, rows, final=True)
    return path


def _series(table: str, day: int, each: int, chance: np.random.Generator) -> Iterator[pa.Table]:
    schema = tables()[table].arrow
    count = len(SYMBOLS)
    for number, symbol in enumerate(SYMBOLS):
        at = np.sort(chance.integers(0, DAY_NS, each)) + day * DAY_NS
        # Arrival numbers are those of all symbols together: a share of the day's, in the order of arrival.
        seq = day * each * (count * 4 + 1) + (at - day * DAY_NS) // (DAY_NS // (each * count * 2)) * 2
        seq = np.maximum.accumulate(seq + np.arange(each) % 2) + np.arange(each)
        mid = 1_000_00 * (number + 1) + np.cumsum(chance.integers(-1, 2, each))
        sizes = 1 + chance.exponential(300, (2, each)).astype(np.int64)  # lots of 0.0001
        columns = {
            "venue": pa.array(["hashkey"] * each),
            "symbol": pa.array([symbol] * each),
            "exchange_time": pa.array(at // 1_000_000 * 1000 - 40_000, pa.timestamp("us")),
            "receive_ns": pa.array(at),
            "send_ms": pa.nulls(each, pa.int64()),
            "seq": pa.array(seq),
            "idx": pa.array(np.zeros(each, np.int16)),
            "conn": pa.array(np.ones(each, np.int16)),
            "source": pa.array(["ws_v2"] * each),
        }
        if table == "trade":
            side = chance.integers(0, 2, each).astype(bool)
            ids = 2_200_000_000_000_000_000 + (at // 1_000_000) * 256 + np.arange(each) % 256
            columns |= {
                "trade_id": pa.array(ids),
                "price": decimals(mid + np.where(side, -1, 1), 2),
                "size": decimals(sizes[0], 4),
                "buyer_is_maker": pa.array(side),
            }
        else:
            columns |= {
                "version": pa.array(np.arange(each, dtype=np.int64) + day * each),
                "bid_price": decimals(mid - 1, 2),
                "bid_size": decimals(sizes[0], 4),
                "ask_price": decimals(mid + 1, 2),
                "ask_size": decimals(sizes[1], 4),
            }
        yield pa.Table.from_arrays([columns[field.name] for field in schema], schema=schema)
