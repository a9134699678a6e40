"""Serve a real recording: Binance messages in, the series of a HashKey-like exchange out.

Books follow Binance's own rule: start from the REST snapshot, drop what it already holds, and let
each update follow the one before by its ids. A book that loses a step is withdrawn, never guessed.
The clock is the recording's receive clock; every other time on the wire is the recorded exchange's.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from recorder.exchange.decimals import parse
from recorder.exchange.instruments import Instrument
from recorder.exchange.recording import Line, Message, Recording, open_recording, play
from recorder.exchange.series import Quote, Series
from recorder.exchange.source import Event, Index, Mark, Quoted, Traded


class Rebuild:
    """One symbol, rebuilt message by message."""

    def __init__(self, instrument: Instrument) -> None:
        self.series = Series(instrument)
        self._early: list[Message] = []  # updates before the snapshot
        self._fresh = False  # the snapshot has not been followed by an update yet
        self._time = 0  # ms; the newest exchange time seen

    def apply(self, message: Message) -> Event | None:
        """Take one message; returns the trade or quote it tells of."""
        if "lastUpdateId" in message:
            self._snapshot(message)
            return None
        data = message.get("data", message)
        self._time = max(self._time, _time(data))
        kind = data.get("e")
        if kind == "trade":
            return self._trade(data)
        if kind == "depthUpdate":
            self._update(data)
        elif "u" in data and "B" in data:  # spot's bookTicker has no `e`
            return self._quote(data)
        return None

    def _trade(self, data: Message) -> Event | None:
        price, size = self._price(data["p"]), self._size(data["q"])
        if price <= 0 or size <= 0:
            return None  # an insurance fund entry, no trade of the book
        trade = self.series.record(int(data["t"]), int(data["T"]), price, size, bool(data["m"]))
        return Traded(self.series, trade)

    def _quote(self, data: Message) -> Event:
        # Spot quotes carry no time; the newest exchange time seen is the best that was recorded.
        bid = self._price(data["b"]), self._size(data["B"])
        ask = self._price(data["a"]), self._size(data["A"])
        time = _time(data) or self._time
        quote = Quote(int(data["u"]), time, bid if bid[1] else None, ask if ask[1] else None)
        self.series.quote = quote
        return Quoted(self.series, quote)

    def _snapshot(self, message: Message) -> None:
        book = self.series.book
        book.bids.clear()
        book.asks.clear()
        for side, levels in ((book.bids, message["bids"]), (book.asks, message["asks"])):
            for price, size in levels:
                side.set(self._price(price), self._size(size))
        self._time = max(self._time, _time(message))
        book.version, book.time = int(message["lastUpdateId"]), _time(message) or self._time
        self._fresh = True
        early, self._early = self._early, []
        for data in early:
            self._update(data)

    def _update(self, data: Message) -> None:
        book = self.series.book
        first, last = int(data["U"]), int(data["u"])
        if not book.version:
            self._early.append(data)
            return
        if last <= book.version:
            return  # the snapshot already holds it
        if self._fresh:
            follows = first <= book.version + 1
        else:
            follows = data["pu"] == book.version if "pu" in data else first == book.version + 1
        if not follows:
            self._withdraw(last)
            return
        self._fresh = False
        for side, levels in ((book.bids, data["b"]), (book.asks, data["a"])):
            for price, size in levels:
                side.set(self._price(price), self._size(size))
        book.version, book.time = last, _time(data)

    def _withdraw(self, update: int) -> None:
        book = self.series.book
        sys.stderr.write(
            f"capture: {self.series.symbol} update {update} does not follow {book.version}; "
            "no book until the next snapshot\n"
        )
        book.bids.clear()
        book.asks.clear()
        book.version = 0

    def _price(self, text: str) -> int:
        return parse(text, self.series.instrument.price_scale)

    def _size(self, text: str) -> int:
        return parse(text, self.series.instrument.size_scale)


class CaptureSource:
    """A `Source` that plays recordings once, from the moment the clients are ready."""

    waits = True

    def __init__(self, paths: Sequence[Path]) -> None:
        recordings = [open_recording(path) for path in paths]
        self.start_ns = min(recording.first_time for recording in recordings)
        self._rebuilds = {name: Rebuild(one) for name, one in _instruments(recordings).items()}
        self.series: dict[str, Series] = {symbol: rebuild.series for symbol, rebuild in self._rebuilds.items()}
        self._lines = play(recordings)
        self._next: Line | None = next(self._lines, None)

    def next_time(self) -> int | None:
        return None if self._next is None else self._next.time

    def advance(self, until_ns: int) -> Iterator[Event]:
        while self._next is not None and self._next.time <= until_ns:
            line, self._next = self._next, next(self._lines, None)
            event = self._rebuilds[line.symbol].apply(line.message)
            if event is not None:
                yield event

    def marks(self, now_ms: int) -> list[Mark]:
        return []  # not in the recordings

    def indices(self, now_ms: int) -> list[Index]:
        return []


def _instruments(recordings: Sequence[Recording]) -> dict[str, Instrument]:
    return {recording.instrument.symbol: recording.instrument for recording in recordings}


def _time(data: Message) -> int:
    """Exchange time in ms: of the matching engine where it is told, else of the message; 0 if neither."""
    return int(data.get("T") or data.get("E") or 0)
