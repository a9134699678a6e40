"""Capture, from settings to a journal that grows: opens things in order, and closes them in reverse.

LOCK, then recovery, then the journal, then the lines and REST. Ending is the other way round: lines and
REST first, then the own event `stop`, then the journal, so that everything that arrived is in it.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import orjson
import structlog

from recorder import __version__
from recorder.capture.clock import StepDetector
from recorder.capture.instruments import Listing, choose, read_listing, subscriptions, unknown
from recorder.capture.line import LAST_CONN, Line
from recorder.capture.rest import FIRST_DELAY, LAST_DELAY, Rest
from recorder.capture.resume import boot_id, learn_trades, resume, why_down
from recorder.capture.space import Space
from recorder.capture.state import CaptureState
from recorder.capture.streams import Event, Key, Streams
from recorder.capture.tempo import Options
from recorder.capture.trades import Trades
from recorder.capture.watch import Watch
from recorder.config import Settings
from recorder.errors import LakeError, RecorderError, VenueError
from recorder.journal.format import FORMAT, Kind
from recorder.journal.format import Line as Source
from recorder.journal.lock import Lock
from recorder.journal.recover import Recovery, recover
from recorder.journal.writer import Journal
from recorder.venues.hashkey.endpoints import endpoints
from recorder.venues.hashkey.subscribe import TRADES, V1, V2, Route, channel_of, topics

log = structlog.get_logger()
EXCHANGE_INFO = "/api/v1/exchangeInfo"
REFRESH_SECONDS = 3600.0
DEMAND_SECONDS = 60.0  # between refreshes that a refusal asks for
LOOK_SECONDS = 1.0  # at clocks and disk
SECOND = 3  # key of the second V2 line
DOUBLED = ("depth", "bbo")
INDEX = "index_price"  # the channel whose symbols are names of indices
T = TypeVar("T")


async def capture(
    settings: Settings,
    stop: asyncio.Event | None = None,
    *,
    at_least: int = 1,
    on_started: Callable[[CaptureState], None] | None = None,
    reason: str = "",
    options: Options | None = None,
) -> None:
    """Record until `stop` is set or the task is cancelled; either way all is written when it ends.

    `at_least` is one more than the greatest seq that the lake holds. `on_started` gets the state once the
    journal is open. `options` are for tests. Raises BusyError (another recorder has this folder), LakeError
    (it cannot be written), VenueError (the venue lists none of the configured symbols), JournalError (what
    came last could not be written).
    """
    folder = settings.data.dir / "journal" / settings.data.recorder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LakeError(
            f"{folder}: cannot be created: {error.strerror}; make {settings.data.dir} writable, "
            "or choose another with --data"
        ) from error
    with Lock(folder / "LOCK"):
        trades = Trades()
        work = asyncio.to_thread(recover, folder, at_least, lambda record: learn_trades(trades, record))
        found = await _to_its_end(work)
        run = Capture(settings, folder, found, trades, options or Options())
        await run.record(stop or asyncio.Event(), on_started, reason)


class Capture:
    """One run: what it shares between lines, REST and journal."""

    def __init__(self, settings: Settings, folder: Path, found: Recovery, trades: Trades, options: Options) -> None:
        self._settings = settings
        self._tempo = options.tempo
        self._boot = boot_id()
        venue = settings.venue
        self._at = endpoints(venue.name, venue.rest_url, venue.ws_v1_url, venue.ws_v2_url)
        self._started_ns = time.time_ns()
        started = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._started_ns / 1e9))
        self._session = f"{started}-{secrets.token_hex(2)}"
        self._topics = topics(settings.record.streams, settings.record.kline_intervals)
        self._streams = Streams()
        self._trades = trades
        down = why_down(found, self._boot, time.monotonic_ns())
        self._recovered = resume(self._streams, found, self._named_streams(), down)
        self._last_conn = 0
        self._listing: Listing | None = None
        self._symbols = self._recovered_symbols()
        self._wanted: dict[Key, None] = {}
        self._complained: set[str] = set()
        self._demand = asyncio.Event()
        self._refreshed_at = 0.0
        self._lines: dict[int, Line] = {}
        self._state: CaptureState | None = None
        self._journal = Journal(
            folder,
            found.next_seq,
            self._head,
            sync_ms=settings.journal.sync_ms,
            segment_seconds=settings.journal.segment_seconds,
            hour=found.last_hour,
            max_queued=options.max_queued,
            on_loss=self._frames_lost,
            on_state=self._journal_state,
        )
        self._state = CaptureState(self._session, self._started_ns, self._journal, refresh=self._demand.set)
        self._space = Space(folder, settings.journal.reserve_mb)
        self._disk_failed_ns = 0
        kinds = [(V2, V2, self._at.ws_v2), (V1, V1, self._at.ws_v1)]
        if settings.record.redundancy > 1:
            kinds.append((SECOND, V2, self._at.ws_v2))
        for key, number, url in kinds:
            if any(_is_for(key, route) for route, _ in self._topics):
                self._lines[key] = Line(
                    number,
                    url,
                    self._at.site,
                    self._journal,
                    self._streams,
                    self._state,
                    emit=self._emit,
                    next_conn=self._next_conn,
                    scale_of=self._scale_of,
                    on_refusal=self._ask_again,
                    trades=self._trades,
                    options=options,
                    key=key,
                )

    async def record(self, stop: asyncio.Event, on_started: Callable[[CaptureState], None] | None, reason: str) -> None:
        """Live until told to stop; the journal is closed when this returns or raises."""
        assert self._state is not None
        why = "stopped"
        try:
            self._emit([*self._recovered, {"event": "start", "reason": reason, "version": __version__}])
            log.info("capture started", session=self._session, journal=str(self._journal.folder))
            if on_started is not None:
                on_started(self._state)
            self._apply(None)
            await self._live(stop)
        except Exception as error:
            why = f"error: {error}"[:300]
            raise
        finally:
            self._emit([*self._streams.stop(time.time_ns()), {"event": "stop", "reason": why, "version": __version__}])
            await asyncio.shield(self._journal.close())
            log.info("capture stopped", session=self._session, reason=why, records=self._journal.appended)

    async def _live(self, stop: asyncio.Event) -> None:
        assert self._state is not None
        try:
            async with (
                Rest(self._at.rest, self._journal, tempo=self._tempo) as rest,
                asyncio.TaskGroup() as group,
            ):
                watch = Watch(self._lines, rest, self._state, self._tempo, self._at.site, self._emit)
                tasks = [group.create_task(line.run(), name=line.state.name) for line in self._lines.values()]
                tasks.append(group.create_task(self._follow_listing(rest), name="listing"))
                tasks.append(group.create_task(self._look_at_house(), name="house"))
                tasks.append(group.create_task(watch.run(), name="watch"))
                await stop.wait()
                for task in tasks:
                    task.cancel()
        except ExceptionGroup as failures:
            told, _ = failures.split(RecorderError)
            if told is not None:  # an error for people, alone and not in a group
                raise _first(told) from failures
            raise

    # What to record

    async def _follow_listing(self, rest: Rest) -> None:
        """exchangeInfo at start, each hour and on demand; until it comes, again and again."""
        assert self._state is not None
        reason, delay = "start", FIRST_DELAY
        params = {"site": self._at.site} if self._at.site else {}
        while True:
            self._demand.clear()
            self._refreshed_at = self._tempo.now()
            try:
                listing = read_listing((await rest.get(EXCHANGE_INFO, params, reason, attempts=2)).json())
            except VenueError as error:
                if self._state.rest_error != str(error):
                    self._emit([{"event": "error", "detail": f"exchangeInfo: {error}"}])
                self._state.rest_ok, self._state.rest_error = False, str(error)
                log.error("the venue's list of symbols did not come", error=str(error), again_in=delay)
                await self._tempo.sleep(delay)
                delay = min(2 * delay, LAST_DELAY)
                continue
            self._state.rest_ok, self._state.rest_error = True, ""
            self._apply(listing)
            delay = FIRST_DELAY
            reason = "hourly"
            with suppress(TimeoutError):
                async with asyncio.timeout(self._tempo.own(REFRESH_SECONDS)):
                    await self._demand.wait()
                    reason = "demand"

    def _apply(self, listing: Listing | None) -> None:
        """Subscribe to what the settings ask for and the venue lists, and leave the rest."""
        configured = self._settings.record.symbols
        if listing is not None:
            self._complain(listing)
            self._listing = listing
        self._symbols = choose(configured, listing, self._symbols)
        asks = subscriptions(self._topics, self._symbols, listing)
        wanted = dict.fromkeys((channel_of(topic), symbol) for _, topic, symbol in asks)
        if listing is not None:
            left = [key for key in (*self._wanted, *self._streams.open_gaps()) if key not in wanted]
            for channel, symbol in dict.fromkeys(left):
                about = {"channel": channel, "symbol": symbol, "reason": "unsubscribed"}
                self._emit([*self._streams.unwant(channel, symbol, time.time_ns()), {"event": "unsubscribe", **about}])
                if channel == TRADES:
                    self._trades.forget(symbol)
        for route, topic, symbol in asks:
            self._streams.want(route.line, channel_of(topic), topic, symbol)
        if self._wanted != wanted:
            log.info("streams chosen", symbols=len(self._symbols), streams=len(wanted))
        self._wanted = wanted
        for key, line in self._lines.items():
            line.want((topic, symbol) for route, topic, symbol in asks if _is_for(key, route))
            line.retry()
        if self._state is not None:
            self._state.symbols = self._symbols

    def _complain(self, listing: Listing) -> None:
        configured = self._settings.record.symbols
        missing = unknown(configured, listing)
        if self._listing is None and missing and len(missing) == len(configured):
            raise VenueError(f"{self._settings.venue.name} lists none of: {_with_hints(missing)}")
        for symbol, close in missing.items():
            self._once(symbol, f"the venue does not list it: {_with_hints({symbol: close})}", symbol)
        for name in listing.invalid:
            self._once(name, f"the venue lists {name}, which is no symbol that we could store; left out")

    def _once(self, about: str, detail: str, symbol: str = "") -> None:
        if about not in self._complained:
            self._complained.add(about)
            self._emit([{"event": "error", "symbol": symbol, "detail": detail}])
            log.warning("symbol left out", symbol=about, detail=detail)

    def _ask_again(self) -> None:
        """A refusal may mean that our list of symbols is old."""
        if self._tempo.now() - self._refreshed_at >= DEMAND_SECONDS:
            self._demand.set()

    def _scale_of(self, symbol: str) -> int | None:
        instrument = self._listing.instruments.get(symbol) if self._listing else None
        return instrument.scale if instrument else None

    def _recovered_symbols(self) -> tuple[str, ...]:
        """Those of the last run, all of whose streams are open gaps now: enough to begin with until REST answers."""
        return tuple(dict.fromkeys(symbol for channel, symbol in self._streams.open_gaps() if channel != INDEX))

    def _named_streams(self) -> list[Key]:
        named = choose(self._settings.record.symbols, None)
        return [(channel_of(topic), symbol) for _, topic, symbol in subscriptions(self._topics, named, None)]

    # What we tell

    def _emit(self, events: Iterable[Event]) -> None:
        for event in events:
            if event["event"] == "gap" and self._state is not None:
                self._state.gaps += 1
                self._state.healed += bool(event["healed"])
            self._journal.append(Kind.EVENT, Source.OWN, 0, orjson.dumps({**event, "session": self._session}))

    def _head(self) -> bytes:
        lines = self._state.lines if self._state is not None else {}
        head = {
            "event": "segment",
            "format": FORMAT,
            "venue": self._settings.venue.name,
            "session": self._session,
            "started_ns": self._started_ns,
            "boot": self._boot,
            **self._streams.head(),
            "seen": [[key, line.last_ns] for key, line in lines.items() if line.last_ns],
            "trades": self._trades.head(),
        }
        return orjson.dumps(head)

    def _frames_lost(self, first_ns: int, last_ns: int, count: int) -> None:
        """The disk refused, or, if it never said so, it was only slower than the venue."""
        reason = "disk" if self._journal.error or self._disk_failed_ns >= first_ns else "overload"
        detail = f"{count} frames dropped: the disk refused for too long"
        if reason == "overload":
            detail = f"{count} frames dropped: they came faster than the disk takes them"
        gaps = self._trades.judge(self._streams.frames_lost(first_ns, last_ns, reason))
        about = {"from_ns": first_ns, "to_ns": last_ns, "count": count, "reason": reason}
        self._emit([{"event": "drop", "detail": detail, **about}, *gaps])
        log.error("frames lost", count=count, first_ns=first_ns, last_ns=last_ns, reason=reason)
        if V1 in self._lines:  # its history may have the trades that were dropped
            self._lines[V1].repeat([(TRADES, gap["symbol"]) for gap in gaps if gap["channel"] == TRADES])

    def _journal_state(self, error: str) -> None:
        self._disk_failed_ns = time.time_ns()
        if error:
            log.error("the journal cannot be written", error=error, folder=str(self._journal.folder))
            self._emit([{"event": "error", "detail": f"journal: {error}"}])
        else:
            log.warning("the journal is written again", folder=str(self._journal.folder))
            self._emit([{"event": "journal_writes_again", "detail": "what was queued is written"}])

    def _next_conn(self) -> int:
        self._last_conn = self._last_conn % LAST_CONN + 1
        return self._last_conn

    async def _look_at_house(self) -> None:
        """Our clocks, and the space on our disk."""
        assert self._state is not None
        steps = StepDetector(time.time_ns(), time.monotonic_ns())
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            event = steps.look(time.time_ns(), time.monotonic_ns())
            if event is not None:
                self._emit([event])
                log.warning("clock step", detail=event["detail"])
            event = self._space.look()
            if event is not None:
                self._emit([event])
                log.warning("disk space", detail=event["detail"], folder=str(self._journal.folder))
            self._state.disk_low, self._state.disk_free = self._space.is_low, self._space.free
            self._state.live = len(self._streams.live())
            self._state.open_gaps = len(self._streams.open_gaps())


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """A thread goes on when its task is cancelled: wait for it, so that what it works on stays locked until then."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _is_for(key: int, route: Route) -> bool:
    """Whether a line brings what a route names. The second V2 line has only what no other line brings."""
    return route.line == V2 and route.stream in DOUBLED if key == SECOND else route.line == key


def _with_hints(missing: dict[str, list[str]]) -> str:
    hints = (f"{symbol} (close: {', '.join(close)})" if close else symbol for symbol, close in missing.items())
    return f"{', '.join(hints)}; see [record] symbols in config.toml"


def _first(group: BaseExceptionGroup[RecorderError]) -> RecorderError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, RecorderError)
    return error
