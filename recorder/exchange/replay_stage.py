"""What an entry does: to the symbol it tells of, and to whom it is told on V1 and V2.

It knows no time and waits for nobody; the hub says when.
"""

from collections.abc import Callable, Iterable, Iterator

from recorder.exchange.registry import Registry
from recorder.exchange.replay_clock import PushTime
from recorder.exchange.replay_pushes import ReplayV1, ReplayV2
from recorder.exchange.replay_rows import REST, V1, V2, Entry, Kind
from recorder.exchange.replay_series import Played
from recorder.exchange.replay_tape import BOTH_APIS, LineEvent, Tape
from recorder.exchange.series import Series
from recorder.exchange.source import Event, Index, Mark, Traded

COPIES = 256  # pushes of a stream among which the copy of one is looked for
FRESH_MS = 2_000  # a trade that V1 sent later than this after it happened is history: V2 never told it


class Lake:
    """A `Source` that only says what is listed: the hub itself plays the tape, since it must wait for clients."""

    waits = True

    def __init__(self, start_ns: int, played: dict[str, Played]) -> None:
        self.start_ns = start_ns
        self.played = played
        self.series: dict[str, Series] = dict(played)

    def next_time(self) -> int | None:
        return None

    def advance(self, until_ns: int) -> Iterator[Event]:
        return iter(())

    def marks(self, now_ms: int) -> list[Mark]:
        return []

    def indices(self, now_ms: int) -> list[Index]:
        return []


class Lines:
    """Which connections the recorder had on each API, as its events tell."""

    def __init__(self) -> None:
        self._open: dict[str, set[tuple[str, int]]] = {api: set() for api in BOTH_APIS}

    def take(self, event: LineEvent) -> list[str]:
        """The APIs whose last connection has ended with this event."""
        if event.what == "start":  # whatever the run before had is gone
            ended = [api for api, conns in self._open.items() if conns]
            for conns in self._open.values():
                conns.clear()
            return ended
        conns = self._open.get(event.api, set())
        had = bool(conns)
        if event.what == "connect":
            conns.add((event.session, event.conn))
            return []
        conns.discard((event.session, event.conn))
        return [event.api] if had and not conns else []

    def are_shared(self) -> bool:
        """Whether two connections bring the same."""
        return any(len(conns) > 1 for conns in self._open.values())


class Stage:
    """All symbols as they were shown, and the pushes that show them."""

    def __init__(self, tape: Tape, source: Lake, v1_clients: Registry, v2_clients: Registry, time: PushTime) -> None:
        self.played = source.played
        self.lines = Lines()
        self.v1 = ReplayV1(source, v1_clients, time, self.played)
        self.v2 = ReplayV2(source, v2_clients, time, self.played)
        self.v1.indices.update((name, Index(name, "", "", "", 0)) for name in tape.indices)  # known, nothing said
        self._trade_gaps = tape.trade_gaps
        self._said: dict[tuple[Kind, str], dict[bytes, int]] = {}  # while two connections bring the same
        by_kind: dict[Kind, Callable[[Entry], None]] = {
            Kind.DEPTH: self._depth,
            Kind.TRADE: self._trades,
            Kind.BBO: self._bbo,
            Kind.KLINE: self._bars,
            Kind.TICKER: self._ticker,
            Kind.DELTA: self._delta,
            Kind.MARK: self._mark,
            Kind.INDEX: self._index,
        }
        self._handlers = [by_kind[kind] for kind in sorted(by_kind)]
        for entry in tape.lines:
            if entry.moment < tape.start_ns:
                self.lines.take(entry.data)
        for entry in tape.before():
            self.show(entry)
        self.v1.forget_news()

    def show(self, entry: Entry) -> None:
        """Let one thing happen that is not a line's own event."""
        self._handlers[entry.kind](entry)

    def forget(self, apis: Iterable[str], from_ns: int, to_ns: int) -> None:
        """These lines are down: what they had brought may have changed, and V1's history may have a hole."""
        lost = {
            gap.symbol for gap in self._trade_gaps if not gap.healed and gap.from_ns <= to_ns and gap.to_ns >= from_ns
        }
        for api in apis:
            for symbol, series in self.played.items():
                series.forget(api, lost_trades=symbol in lost)
            if api == "v1":
                self.v1.forget_prices()

    def _is_copy(self, entry: Entry, frame: bytes) -> bool:
        """Whether the recorder got this push by a second connection, and the replay has said it already."""
        if not self.lines.are_shared():
            return False
        said = self._said.setdefault((entry.kind, entry.symbol), {})
        if said.get(frame, entry.conn) != entry.conn:
            del said[frame]
            return True
        said[frame] = entry.conn
        if len(said) > COPIES:
            del said[next(iter(said))]
        return False

    def _depth(self, entry: Entry) -> None:
        if self._is_copy(entry, entry.data.frame):
            return
        series = self.played[entry.symbol]
        series.shown = entry.data
        if entry.source == REST:
            return
        series.fresh["depth"] = api_of(entry)
        self.v1.book(entry)
        self.v2.told("depth", entry.symbol, entry.data.frame)

    def _bbo(self, entry: Entry) -> None:
        if self._is_copy(entry, entry.data):
            return
        self.played[entry.symbol].best = entry.data
        self.v2.told("bbo", entry.symbol, entry.data)

    def _trades(self, entry: Entry) -> None:
        series = self.played[entry.symbol]
        made = [series.trade(fill) for fill in entry.data]
        told = [trade for trade in made if trade.row]
        if not told:
            return
        self.v1.trades(entry, told)
        if entry.source == V1 and entry.send_ms is not None:
            told = [trade for trade in told if entry.send_ms - trade.time <= FRESH_MS]
        self.v2.trades(series, told)
        for trade in told:
            self.v2.made_of(Traded(series, trade))

    def _bars(self, entry: Entry) -> None:
        series = self.played[entry.symbol]
        for bar in entry.data.bars:
            series.bar(entry.data.interval, bar)
        if entry.source == REST:
            return
        series.fresh[f"kline_{entry.data.interval}"] = api_of(entry)
        self.v1.bars(entry)
        self.v2.bars(entry.symbol, entry.data)

    def _ticker(self, entry: Entry) -> None:
        series = self.played[entry.symbol]
        series.last_ticker, v2 = entry.data
        series.fresh["realtimes"] = api_of(entry)
        self.v1.told(entry, "realtimes", b"[%b]" % entry.data[0])
        self.v2.ticker(entry.symbol, v2)

    def _delta(self, entry: Entry) -> None:
        series = self.played[entry.symbol]
        series.change(entry.data)
        series.fresh["diffMergedDepth"] = "v1"
        self.v1.changes(entry, series)

    def _mark(self, entry: Entry) -> None:
        mark = Mark(entry.symbol, *entry.data)
        self.v1.mark(entry, mark)
        self.v2.mark(mark)

    def _index(self, entry: Entry) -> None:
        self.v1.index(entry, Index(entry.symbol, *entry.data))


def api_of(entry: Entry) -> str:
    """The API that brought it; '' for REST."""
    return {V1: "v1", V2: "v2"}.get(entry.source, "")


def symbols_of(tape: Tape) -> dict[str, Played]:
    """The symbols of a tape; its makers then know their decimals too."""
    played = {symbol: Played(symbol, tape.listings.get(symbol, []), tape.recorded) for symbol in tape.symbols}
    tape.context.decimals.update((symbol, series.instrument.price_decimals) for symbol, series in played.items())
    return played
