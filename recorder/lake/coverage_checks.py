"""What `verify` asks about coverage: does every row lie in it, and do streams that can be checked keep its promise?

Only questions; each answer names a series and an example. Times are Unix ns of our clock.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, TypeVar

import duckdb

from recorder.errors import LakeError
from recorder.lake.checks import bound
from recorder.lake.reader import Lake, open_lake
from recorder.lake.schema import tables

CHANNELS = ("trade", "depth", "kline", "bbo", "ticker", "depth_delta", "index_price", "mark_price")
# A stream of several topics is proved by the last of them, and the last sign of life is the last pong.
EDGE_NS = 60_000_000_000
NEAR_NS = 10_000_000_000  # within which two connections may bring changes out of order
TOP = 20  # levels: so many were found equal at equal versions; source: reference, section 4.6
BATCH = 2_000

Level = tuple[Decimal, Decimal]
T = TypeVar("T")


class Stray(NamedTuple):
    """Rows of a stream that lie outside of its coverage."""

    channel: str
    venue: str
    symbol: str
    rows: int
    first_ns: int


class Hole(NamedTuple):
    """Places inside `ok` where the counter of a delta stream leaps; the first of them."""

    venue: str
    symbol: str
    holes: int
    before: int
    counter: int
    at_ns: int


class Step(NamedTuple):
    """A change of a delta book, and the whole book of the same version if `depth` has one."""

    seq: int
    version: int | None
    counter: int | None
    is_snapshot: bool
    bids: list[Level]
    asks: list[Level]
    depth_bids: list[Level] | None
    depth_asks: list[Level] | None


class Disagreement(NamedTuple):
    """Fields of closed candles of one series on which two sources differ; the first of them."""

    venue: str
    symbol: str
    interval: str
    fields: int
    open_time: datetime
    field: str
    rest: Decimal
    other: Decimal


def told(answers: Iterator[T]) -> Iterator[T]:
    """The same answers; LakeError where DuckDB cannot read the files."""
    try:
        yield from answers
    except duckdb.Error as error:
        raise LakeError(str(error).splitlines()[0]) from error


def has_sessions(lake: Lake) -> bool:
    """Whether the lake tells what was recorded."""
    return bool(lake.sql("SELECT 1 FROM session LIMIT 1").fetchall())


def open_bounded(root: Path) -> Lake:
    """The lake, for questions over much of it."""
    lake = open_lake(root)
    bound(lake.con)
    return lake


def stray_rows(lake: Lake, first: str, last: str) -> list[Stray]:
    """Rows from sockets outside of their stream's coverage, or where it says that nothing was recorded.

    `first`, `last`: dates of arrival (YYYY-MM-DD), as in the functions below. A stream without any coverage has
    EDGE_NS to be proved: it may be at its beginning, the recorder may have died there, or a copy may end there.
    """
    found: list[Stray] = []
    for channel in CHANNELS:
        rows = lake.sql(
            f"""
            WITH
            covered AS MATERIALIZED (
              SELECT venue, symbol, status, epoch_ns(from_time) AS from_ns, epoch_ns(to_time) AS to_ns
              FROM coverage WHERE channel = '{channel}'),
            span AS (SELECT venue, symbol, min(from_ns) AS low, max(to_ns) AS high FROM covered GROUP BY ALL),
            off AS (SELECT venue, symbol, from_ns + {EDGE_NS} AS off_ns, to_ns - {EDGE_NS} AS on_ns
                    FROM covered WHERE status = 'not_recording'),
            seen AS (SELECT venue, symbol, receive_ns FROM {tables()[channel].view}
                     WHERE source IN ('ws_v1', 'ws_v2') AND date BETWEEN $first AND $last)
            SELECT s.venue, s.symbol, count(*), min(receive_ns)
            FROM seen AS s LEFT JOIN span USING (venue, symbol)
            LEFT JOIN off
              ON s.venue = off.venue AND s.symbol = off.symbol AND receive_ns > off_ns AND receive_ns < on_ns
            WHERE (low IS NULL AND receive_ns < (SELECT max(last_ns) FROM last_moment) - {EDGE_NS})
               OR receive_ns < low - {EDGE_NS} OR receive_ns > high + {EDGE_NS} OR off_ns IS NOT NULL
            GROUP BY ALL ORDER BY ALL""",
            first=first,
            last=last,
        )
        found += [Stray(channel, *row) for row in rows.fetchall()]
    return found


def silent_holes(lake: Lake, first: str, last: str) -> list[Hole]:
    """Series of `depth_delta` whose counter leaps although coverage says ok all the time."""
    rows = lake.sql(
        f"""
        WITH
        delta AS (
          SELECT venue, symbol, seq, idx, receive_ns, counter, is_snapshot,
                 lag(counter) OVER story AS before, lag(is_snapshot) OVER story AS follows_snapshot,
                 lag(receive_ns) OVER story AS before_ns
          FROM depth_delta WHERE date BETWEEN $first AND $last
          WINDOW story AS (PARTITION BY venue, symbol ORDER BY receive_ns, seq, idx)),
        leap AS (
          SELECT * FROM delta AS d
          WHERE NOT is_snapshot AND NOT follows_snapshot AND counter > before + 1),
        hole AS (
          SELECT * FROM leap AS l WHERE NOT EXISTS (
            SELECT 1 FROM depth_delta AS o
            WHERE o.venue = l.venue AND o.symbol = l.symbol AND o.counter = l.counter - 1
              AND o.date BETWEEN $first AND $last
              AND o.receive_ns BETWEEN l.receive_ns - {NEAR_NS} AND l.receive_ns + {NEAR_NS})),
        covered AS (
          SELECT venue, symbol, epoch_ns(from_time) AS from_ns, epoch_ns(to_time) AS to_ns, status
          FROM coverage WHERE channel = 'depth_delta')
        SELECT h.venue, h.symbol, count(*), arg_min(before, receive_ns), arg_min(counter, receive_ns), min(receive_ns)
        FROM hole AS h ASOF JOIN covered AS c
          ON h.venue = c.venue AND h.symbol = c.symbol AND h.before_ns >= c.from_ns
        WHERE c.status = 'ok' AND c.to_ns >= h.receive_ns
        GROUP BY ALL ORDER BY ALL""",
        first=first,
        last=last,
    )
    return [Hole(*row) for row in rows.fetchall()]


def delta_series(lake: Lake, first: str, last: str) -> list[tuple[str, str]]:
    """(venue, symbol) of which there are both delta books and whole books."""
    where = "WHERE date BETWEEN $first AND $last"
    query = (
        f"SELECT venue, symbol FROM depth_delta {where} INTERSECT SELECT venue, symbol FROM depth {where} ORDER BY ALL"
    )
    return lake.sql(query, first=first, last=last).fetchall()


def delta_steps(lake: Lake, venue: str, symbol: str, first: str, last: str) -> Iterator[Step]:
    """The changes of one delta book in their order; the whole book goes with the last change of its version."""
    where = "venue = $venue AND symbol = $symbol AND date BETWEEN $first AND $last"
    sides = ", ".join(
        f"{side}_{what}[:{TOP}] AS {side}_{what}" for side in ("bid", "ask") for what in ("prices", "sizes")
    )
    lake.refresh(everything=False)
    rows = lake.con.execute(
        f"""
        WITH
        whole AS (SELECT version, any_value({{'bids': list_zip(bid_prices, bid_sizes),
                                              'asks': list_zip(ask_prices, ask_sizes)}}) AS book
                  FROM (SELECT version, {sides} FROM depth WHERE {where}) GROUP BY version),
        change AS (SELECT *, lead(version) OVER (ORDER BY receive_ns, seq, idx) AS next_version
                   FROM depth_delta WHERE {where})
        SELECT seq, version, counter, is_snapshot, list_zip(bid_prices, bid_sizes), list_zip(ask_prices, ask_sizes),
               CASE WHEN next_version IS DISTINCT FROM version THEN book END
        FROM change LEFT JOIN whole USING (version)
        ORDER BY receive_ns, seq, idx""",
        {"venue": venue, "symbol": symbol, "first": first, "last": last},
    )
    while batch := rows.fetchmany(BATCH):
        for seq, version, counter, is_snapshot, bids, asks, book in batch:
            whole = (None, None) if book is None else (book["bids"], book["asks"])
            yield Step(seq, version, counter, is_snapshot, bids, asks, *whole)


def disagreements(lake: Lake, first: str, last: str, other: str) -> list[Disagreement]:
    """Candles on which REST and `other` ('trades' or 'push') differ, of those that opened on the dates."""
    rows = lake.sql(
        f"""
        SELECT venue, symbol, "interval", count(*), min(open_time), arg_min(field, open_time),
               arg_min(rest, open_time), arg_min({other}, open_time)
        FROM kline_differences_since(DATE '{first}')
        WHERE {other} <> rest AND open_time < DATE '{last}' + 1
        GROUP BY ALL ORDER BY ALL"""
    )
    return [Disagreement(*row) for row in rows.fetchall()]
