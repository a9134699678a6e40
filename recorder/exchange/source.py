"""What the exchange shows: a source of market data that moves only when it is told the time.

A source keeps one `Series` a symbol and yields what happened, in order. It has no clock, does not
sleep and talks to nobody: `hub.py` asks it to advance and passes on what it says. Books are not
events: the venue samples them, so the hub looks at their versions on its own cadence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from recorder.exchange.series import Quote, Series, Trade

MS = 1_000_000  # ns


@dataclass(frozen=True, slots=True)
class Traded:
    """A trade happened; the series already counts it."""

    series: Series
    trade: Trade


@dataclass(frozen=True, slots=True)
class Quoted:
    """The best bid or ask changed."""

    series: Series
    quote: Quote


Event = Traded | Quoted


@dataclass(frozen=True, slots=True)
class Mark:
    """The mark price of a contract at a whole second."""

    symbol: str
    price: str
    time: int  # ms


@dataclass(frozen=True, slots=True)
class Index:
    """An index at a whole second: its price, its ten minute average and the basket as text."""

    name: str
    price: str
    average: str
    formula: str
    time: int  # ms


class Source(Protocol):
    """Anything that can be served: the synthetic market, a recording, later a lake."""

    start_ns: int  # where the exchange's clock begins
    waits: bool  # begin only when a client has subscribed, so that it misses nothing
    series: dict[str, Series]  # what is listed now

    def next_time(self) -> int | None:
        """Exchange time (ns) of the next event; None when there will be none."""

    def advance(self, until_ns: int) -> Iterator[Event]:
        """Let everything up to and including `until_ns` happen."""

    def marks(self, now_ms: int) -> list[Mark]:
        """Mark prices for the whole second `now_ms`."""

    def indices(self, now_ms: int) -> list[Index]:
        """Indices for the whole second `now_ms`."""
