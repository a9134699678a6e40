"""What backfill asks of the lake: open gaps, candles that REST has not confirmed, trades that are known.

Only questions; what to do about the answers is decided in `recorder.quality`. Times of coverage and gaps are our
clock, in Unix ns; times of trades and candles are the venue's, in Unix ms.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal, NamedTuple

from recorder.lake.reader import Lake, open_lake, quoted

MEMORY = "400MB"
FIRST_MONTH, FIRST_WEEK = "TIMESTAMP '2000-01-01'", "TIMESTAMP '2000-01-03'"  # a Monday
TRADE_SLACK_DAYS = 2  # a trade may have arrived so long before the venue's time of it, by a wrong clock


class Gap(NamedTuple):
    """A gap row, as it was recorded. It is the same gap as long as venue, symbol, channel and from_ns are the same."""

    symbol: str
    channel: str
    from_ns: int
    to_ns: int
    reason: str
    seq_before: int | None
    seq_after: int | None


class Range(NamedTuple):
    """A time of one symbol's candle stream."""

    symbol: str
    from_ns: int
    to_ns: int


class Candles(NamedTuple):
    """Candles without a break: from_ms <= open time, close time <= until_ms, all of one state."""

    symbol: str
    interval: str
    from_ms: int
    until_ms: int
    number: int
    state: Literal["confirmed", "due", "later"]  # by REST after the close; not yet; not yet closed


class Known(NamedTuple):
    """A trade of the lake."""

    time_ms: int
    price: Decimal
    size: Decimal
    buyer_is_maker: bool
    receive_ns: int
    is_from_socket: bool


class Verdict(NamedTuple):
    """What an earlier backfill said of a gap that it left open."""

    detail: str
    is_final: bool


def open_for_backfill(root: Path) -> Lake:
    """The lake with its last seconds, on one thread and little memory: the recorder is at work beside us."""
    lake = open_lake(root, live=True)
    lake.con.execute(f"SET memory_limit = '{MEMORY}'")
    lake.con.execute("SET threads = 1")
    return lake


def open_gaps(lake: Lake, venue: str, channel: str) -> list[Gap]:
    """Gaps that are over and not healed, newest first."""
    rows = lake.sql(
        """
        SELECT symbol, channel, from_ns, max(to_ns), arg_min(reason, receive_ns), arg_min(seq_before, receive_ns),
               arg_min(seq_after, receive_ns)
        FROM gap WHERE venue = $venue AND channel = $channel
        GROUP BY symbol, channel, from_ns
        HAVING coalesce(max(to_ns) FILTER (healed) < max(to_ns), true)
        ORDER BY from_ns DESC, symbol""",
        venue=venue,
        channel=channel,
    )
    return [Gap(*row) for row in rows.fetchall()]


def verdicts(lake: Lake, venue: str) -> dict[tuple[str, str, int], Verdict]:
    """By (symbol, channel, from_ns) of a gap the last that was said of it."""
    rows = lake.sql(
        """
        SELECT symbol, channel, CAST(detail ->> 'from_ns' AS BIGINT) AS from_ns,
               arg_max(detail ->> 'detail', (receive_ns, seq)),
               arg_max(coalesce(CAST(detail ->> 'final' AS BOOLEAN), false), (receive_ns, seq))
        FROM session WHERE venue = $venue AND event = 'backfill' AND detail ->> 'from_ns' IS NOT NULL
        GROUP BY ALL""",
        venue=venue,
    )
    return {(symbol, channel, from_ns): Verdict(*told) for symbol, channel, from_ns, *told in rows.fetchall()}


def not_before_ns(lake: Lake, venue: str) -> int:
    """Until when the venue asked an earlier backfill for silence; 0 if it never did."""
    rows = lake.sql(
        """
        SELECT coalesce(max(CAST(detail ->> 'not_before_ns' AS BIGINT)), 0)
        FROM session WHERE venue = $venue AND event = 'backfill'""",
        venue=venue,
    )
    return int(rows.fetchall()[0][0])


def clock_offset_ns(lake: Lake, venue: str) -> int:
    """The venue's clock minus ours, by the last pong; 0 without any."""
    rows = lake.sql("SELECT arg_max(offset_ns, receive_ns) FROM clock WHERE venue = $venue", venue=venue).fetchall()
    return int(rows[0][0] or 0)


def recorded(lake: Lake, venue: str, channel: str, from_ns: int, to_ns: int) -> list[Range]:
    """When a channel was recorded, or should have been, within [from_ns, to_ns)."""
    rows = lake.sql(
        """
        SELECT symbol, greatest(epoch_ns(from_time), $low), least(epoch_ns(to_time), $high)
        FROM coverage
        WHERE venue = $venue AND channel = $channel AND status <> 'not_recording'
          AND epoch_ns(to_time) > $low AND epoch_ns(from_time) < $high
        ORDER BY ALL""",
        venue=venue,
        channel=channel,
        low=from_ns,
        high=to_ns,
    )
    return [Range(*row) for row in rows.fetchall()]


def candles(lake: Lake, venue: str, ranges: Sequence[Range], intervals: Sequence[str], closed_ns: int) -> list[Candles]:
    """Every candle that touches a range, newest first, in runs of one state; closed are those that end by `closed_ns`.

    Of each symbol the intervals that are named, and of any other what lies between the first and the last candle
    that is stored. Where a week begins is taken from a stored one, else Monday.
    """
    if not ranges:
        return []
    values = ", ".join(f"({quoted(r.symbol)}, {r.from_ns}, {r.to_ns})" for r in ranges)
    first_date = f"to_timestamp({min(r.from_ns for r in ranges) // 1_000_000_000})::TIMESTAMP::DATE - 40"
    rows = lake.sql(
        f"""
        WITH
        stored AS MATERIALIZED (
          SELECT symbol, "interval", open_time,
                 bool_or(source = 'rest' AND receive_time >= open_time + candle_width("interval")) AS confirmed
          FROM kline_update WHERE venue = $venue AND date >= {first_date}
          GROUP BY ALL),
        asked AS (
          SELECT symbol, make_timestamp(from_ns // 1000) AS from_time, make_timestamp(to_ns // 1000) AS to_time
          FROM (VALUES {values}) AS v(symbol, from_ns, to_ns)),
        series AS (
          SELECT symbol, "interval", candle_width("interval") AS width, min(low) AS low, max(high) AS high,
                 coalesce(any_value(origin), if("interval" = '1M', {FIRST_MONTH}, {FIRST_WEEK})) AS origin
          FROM (SELECT DISTINCT symbol, unnest(CAST($intervals AS VARCHAR[])) AS "interval", NULL::TIMESTAMP AS origin,
                       TIMESTAMP '1970-01-01' AS low, TIMESTAMP '2200-01-01' AS high
                FROM asked
                UNION ALL
                SELECT symbol, "interval", max(open_time), min(open_time), max(open_time) FROM stored GROUP BY ALL)
          GROUP BY symbol, "interval"),
        aligned AS (
          SELECT symbol, "interval", width, to_time, low, high, time_bucket(width, from_time, origin) AS start
          FROM asked JOIN series USING (symbol)),
        slot AS (
          SELECT DISTINCT symbol, "interval", width, open_time
          FROM (SELECT symbol, "interval", width, low, high,
                       unnest(generate_series(start, to_time - INTERVAL 1 MICROSECOND, width)) AS open_time
                FROM aligned)
          WHERE open_time BETWEEN low AND high),
        judged AS (
          SELECT s.*, CASE WHEN confirmed THEN 'confirmed' WHEN open_time + width <= $closed THEN 'due'
                           ELSE 'later' END AS state
          FROM slot AS s LEFT JOIN stored USING (symbol, "interval", open_time)),
        numbered AS (
          SELECT *, count(*) FILTER (is_new) OVER (story ROWS UNBOUNDED PRECEDING) AS run
          FROM (SELECT *, coalesce(lag(open_time) OVER story + width <> open_time
                                   OR lag(state) OVER story <> state, true) AS is_new
                FROM judged WINDOW story AS (PARTITION BY symbol, "interval" ORDER BY open_time))
          WINDOW story AS (PARTITION BY symbol, "interval" ORDER BY open_time))
        SELECT symbol, "interval", epoch_ms(min(open_time)), epoch_ms(max(open_time + width)), count(*), state
        FROM numbered GROUP BY symbol, "interval", run, state
        ORDER BY 4 DESC, 1, 2""",
        venue=venue,
        intervals=list(intervals),
        closed=datetime.fromtimestamp(closed_ns // 1000 / 1e6, UTC).replace(tzinfo=None),
    )
    return [Candles(*row) for row in rows.fetchall()]


def known_trades(lake: Lake, venue: str, symbol: str, from_ms: int) -> list[Known]:
    """Trades with from_ms <= exchange time, in the order in which they arrived."""
    rows = lake.sql(
        f"""
        SELECT epoch_ms(exchange_time), price, size, buyer_is_maker, receive_ns, source <> 'rest'
        FROM trade
        WHERE venue = $venue AND symbol = $symbol AND exchange_time >= make_timestamp({from_ms} * 1000)
          AND date >= make_timestamp({from_ms} * 1000)::DATE - {TRADE_SLACK_DAYS}
        ORDER BY receive_ns, seq, idx""",
        venue=venue,
        symbol=symbol,
    )
    return [Known(*row) for row in rows.fetchall()]


def history_arrivals(lake: Lake, venue: str) -> dict[str, int]:
    """By symbol when V1 last proved its trade stream, which it does by sending its history; Unix ns."""
    rows = lake.sql(
        """
        WITH v1 AS (
          SELECT session, detail ->> 'conn' AS conn FROM session
          WHERE venue = $venue AND event = 'connect' AND detail ->> 'line' = '1')
        SELECT symbol, max(receive_ns) FROM session AS s
        WHERE venue = $venue AND event = 'live' AND channel = 'trade'
          AND EXISTS (SELECT 1 FROM v1 WHERE v1.session = s.session AND v1.conn = s.detail ->> 'conn')
        GROUP BY symbol""",
        venue=venue,
    )
    return dict(rows.fetchall())
