"""Hold a lake against the ledger of the exchange that it recorded.

Written from the venue's reference, sharing nothing with the decoder: a frame of the ledger says which rows there
must be; every one of them is in the lake, or was sent inside what coverage calls a gap, or after the stop; and
the lake has no row that no frame says. A healed gap excuses nothing: its trades are there, by id or by REST.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import recorder

Row = tuple[Any, ...]
IN_FLIGHT_NS = 300_000_000  # how long before a loss a frame may have been sent and not yet read

V1_TOPICS = {
    "trade": "trade", "depth": "depth", "kline": "kline", "realtimes": "ticker", "diffMergedDepth": "depth_delta",
}  # fmt: skip
V2_TOPICS = {"trade": "trade", "depth": "depth", "kline": "kline", "realtimes": "ticker", "bbo": "bbo"}
ONCE = {"trade", "depth", "bbo"}  # stored once, whichever connections brought them; the others push by push


@dataclass
class Sent:
    """What the exchange put on its sockets: per channel each row, with the times at which it was sent."""

    rows: dict[str, dict[Row, list[int]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))


def number(text: str | None) -> Decimal | None:
    return None if text in (None, "") else Decimal(str(text))


def rows_of(channel: str, symbol: str, interval: str, data: dict[str, Any], first: bool) -> Row:
    """The row that one element of `data` stands for; the first element is the symbol."""
    if channel == "trade":
        return symbol, int(data["v"]), int(data["t"]), number(data["p"]), number(data["q"]), data["m"]
    if channel in ("depth", "depth_delta"):
        bids, asks = (tuple((number(p), number(q)) for p, q in data[side]) for side in "ba")
        book = (symbol, int(str(data["v"]).split("_")[0]), int(data["t"]))
        # Changes come in any order, and are stored best first.
        return (*book, bids, asks) if channel == "depth" else (*book, frozenset(bids), frozenset(asks), first)
    if channel == "bbo":
        version = int(str(data["v"]).split("_")[0]) if "v" in data else None
        quote = [number(data.get(key)) for key in ("b", "bz", "a", "az")]
        if not quote[1]:
            quote[:2] = [None, None]
        if not quote[3]:
            quote[2:] = [None, None]
        return symbol, version, int(data["t"]), *quote
    if channel == "ticker":
        return symbol, int(data["t"]), *(number(data.get(key)) for key in ("o", "h", "l", "c", "v", "qv"))
    prices = (number(data.get(key)) for key in ("o", "h", "l", "c", "v", "qv"))
    return (
        symbol,
        interval,
        int(data["t"]),
        *prices,
        data.get("td"),
        number(data.get("tb")),
        number(data.get("tq")),
    )


def read_ledger(path: Path) -> Sent:
    sent = Sent()
    with path.open("rb") as file:
        for line in file:
            entry = json.loads(line)
            frame = entry.get("frame")
            if not isinstance(frame, dict) or "code" in frame or "topic" not in frame or not frame.get("data"):
                continue
            topics = V1_TOPICS if entry["api"] == "v1" else V2_TOPICS
            channel = topics.get(frame["topic"])
            if channel is None:
                continue
            data = frame["data"] if isinstance(frame["data"], list) else [frame["data"]]
            params = frame.get("params", {})
            symbol = frame.get("symbol") or params["symbol"]
            for element in data:
                row = rows_of(channel, symbol, params.get("klineType", ""), element, frame.get("f") is True)
                sent.rows[channel][row].append(entry["sent_ns"])
    return sent


QUERIES = {
    "trade": """SELECT symbol, trade_id, epoch_ms(exchange_time), price, size, buyer_is_maker
                FROM trade WHERE source <> 'rest'""",
    "depth": """SELECT symbol, version, epoch_ms(exchange_time), bid_prices, bid_sizes, ask_prices, ask_sizes
                FROM depth""",
    "depth_delta": """SELECT symbol, version, epoch_ms(exchange_time), bid_prices, bid_sizes, ask_prices, ask_sizes,
                      is_snapshot FROM depth_delta""",
    "bbo": """SELECT symbol, version, epoch_ms(exchange_time), bid_price, bid_size, ask_price, ask_size FROM bbo""",
    "ticker": """SELECT symbol, epoch_ms(exchange_time), open, high, low, last, volume, quote_volume FROM ticker""",
    "kline": """SELECT symbol, "interval", epoch_ms(open_time), open, high, low, close, volume, quote_volume,
                trade_count, taker_buy_volume, taker_buy_quote_volume FROM kline_update WHERE source <> 'rest'""",
}
REST_TRADES = "SELECT symbol, epoch_ms(exchange_time), price, size, buyer_is_maker FROM trade WHERE source = 'rest'"
NOT_WHOLE = """SELECT symbol, channel, epoch_ns(from_time), epoch_ns(to_time) FROM coverage
               WHERE status IN ('gap', 'not_recording')"""


def lake_rows(lake: "recorder.Lake", channel: str) -> Iterator[Row]:
    for row in lake.sql(QUERIES[channel]).fetchall():
        if channel in ("depth", "depth_delta"):
            symbol, version, at, bid_prices, bid_sizes, ask_prices, ask_sizes, *first = row
            bids, asks = (
                tuple(zip(prices, sizes, strict=True))
                for prices, sizes in ((bid_prices, bid_sizes), (ask_prices, ask_sizes))
            )
            yield symbol, version, at, *((frozenset(bids), frozenset(asks)) if first else (bids, asks)), *first
        else:
            yield tuple(row)


@dataclass
class Verdict:
    """How a channel of the lake stands against the ledger."""

    channel: str
    sent: int  # distinct rows that the ledger has
    stored: int
    in_gaps: int  # not stored, and sent inside an interval that `gap` names or after the last stop
    lost: list[Row]
    invented: list[Row]
    doubled: list[Row]

    @property
    def holds(self) -> bool:
        return not (self.lost or self.invented or self.doubled)

    def __str__(self) -> str:
        text = (
            f"{self.channel}: sent {self.sent}, stored {self.stored}, in gaps {self.in_gaps}, "
            f"lost {len(self.lost)}, invented {len(self.invented)}, doubled {len(self.doubled)}"
        )
        examples = [
            f"\n  {name} {str(rows[0])[:300]}"
            for name in ("lost", "invented", "doubled")
            if (rows := getattr(self, name))
        ]
        return text + "".join(examples)


def compare(data: Path, ledger: Path) -> dict[str, Verdict]:
    """One verdict a channel."""
    lake = recorder.open_lake(data)
    sent = read_ledger(ledger)
    excused = gaps(lake)
    by_rest = Counter(lake.sql(REST_TRADES).fetchall())
    ends = [int(row[0]) for row in lake.sql("SELECT receive_ns FROM session WHERE event = 'stop'").fetchall()]
    last_stop = max(ends, default=None)
    return {
        channel: judge(
            channel,
            sent.rows[channel],
            Counter(lake_rows(lake, channel)),
            excused,
            last_stop,
            by_rest if channel == "trade" else Counter(),
        )
        for channel in QUERIES
    }


def gaps(lake: "recorder.Lake") -> dict[tuple[str, str], list[tuple[int, int]]]:
    found: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for symbol, channel, start, end in lake.sql(NOT_WHOLE).fetchall():
        found[symbol, channel].append((start - IN_FLIGHT_NS, end))
    return found


def judge(
    channel: str,
    sent: dict[Row, list[int]],
    stored: Counter[Row],
    excused: dict[tuple[str, str], list[tuple[int, int]]],
    last_stop: int | None,
    by_rest: Counter[Row],
) -> Verdict:
    """`by_rest`: trades that backfill brought, which have no id; each may stand for one that is missing."""
    lost, in_gaps = [], 0
    for row, times in sent.items():
        due = 1 if channel in ONCE else len(times)
        intervals = excused[row[0], channel]
        forgiven = sum(
            any(start <= at <= end for start, end in intervals)
            or (last_stop is not None and at >= last_stop - IN_FLIGHT_NS)
            for at in times
        )
        if channel in ONCE:
            # One arrival is enough; it may be missing only if no sending of it could have arrived.
            short = 0 if stored[row] else 1
            excused_now = short if forgiven == len(times) else 0
        else:
            short = max(0, due - stored[row])
            excused_now = min(short, forgiven)
        if short and by_rest[without_id(row)]:
            by_rest[without_id(row)] -= 1
            continue
        in_gaps += excused_now
        if short > excused_now:
            lost.append(row)
    invented = [row for row in stored if row not in sent]
    limit = {row: (1 if channel == "trade" else len(times)) for row, times in sent.items()}
    doubled = [row for row, count in stored.items() if row in limit and count > limit[row]]
    known = {without_id(row) for row in sent} if by_rest else set()
    for row, count in by_rest.items():  # what stands for no trade that is missing; of those never sent we cannot tell
        if count > 0 and row in known:
            doubled.append(row)
    return Verdict(channel, len(sent), sum(stored.values()), in_gaps, lost, invented, doubled)


def without_id(row: Row) -> Row:
    return row[:1] + row[2:]
