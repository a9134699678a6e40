"""Ask the venue for what is missing, and say which gaps are healed: one run, in a process of its own.

Backfill is a recorder like capture, with a name, a journal and seqs of its own (`<recorder>-backfill`), so that what it
learns enters by the front door: answers are frames in a journal, rows come from decoding them, a healed gap is an own
event. It may die anywhere: the next run begins with what the journal holds. What to ask and what an answer proves is
decided in `plan` and `reconcile`; here is what acts. `python -m recorder.quality.backfill` does one run.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

import orjson
import structlog

from recorder import __version__
from recorder.capture.rest import Pace, Rest
from recorder.config import Settings, load
from recorder.errors import JournalError, RecorderError, VenueError
from recorder.journal.format import BACKFILL, FORMAT, Kind, Line
from recorder.journal.lock import Lock
from recorder.journal.reader import closed_segments
from recorder.journal.recover import recover
from recorder.journal.writer import Journal
from recorder.lake import backfill_sql as ask
from recorder.lake.backfill_sql import Gap
from recorder.lake.layout import check_format
from recorder.lake.parts import PartMaker
from recorder.lake.prepare import next_seq
from recorder.lake.reader import Lake
from recorder.lake.times import Moment, moment
from recorder.quality import plan
from recorder.quality.backfill_ask import INTERVAL_SECONDS, Asker, Unanswered
from recorder.quality.plan import Left
from recorder.quality.reconcile import match, read_trades
from recorder.venues.hashkey.endpoints import endpoints

log = structlog.get_logger()

MAX_SECONDS = 540.0  # of asking in one run: it ends before the next is due
SYNC_SECONDS = 60.0  # for the disk
MAX_TRADES = 100  # of one answer
KLINES, TRADES = "/quote/v1/klines", "/quote/v1/trades"
EXIT_UNFINISHED = 1


@dataclass(slots=True)
class Report:
    """What one run did. `unfinished` says why it asked for less than it wanted, '' if it asked for all."""

    requests: int = 0
    rows: int = 0
    healed: list[Gap] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)  # gaps that were looked at and stay open
    unfinished: str = ""

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "requests": self.requests,
            "rows": self.rows,
            "healed": [gap._asdict() for gap in self.healed],
            "left": [{**one.gap._asdict(), "detail": one.detail, "final": one.is_final} for one in self.left],
            "unfinished": self.unfinished,
        }


def backfill(
    settings: Settings, start: Moment = None, end: Moment = None, *, max_seconds: float | None = None
) -> Report:
    """One run over [start, end); by default the last day, and every open gap that is not given up.

    With a start or an end, gaps that touch the range are tried again even if they were given up. Safe beside the
    recorder. Raises BusyError while another backfill runs, LakeError if there is no lake.
    """
    return asyncio.run(run(settings, start, end, max_seconds=max_seconds))


async def run(
    settings: Settings,
    start: Moment = None,
    end: Moment = None,
    *,
    max_seconds: float | None = None,
    now: Callable[[], int] = time.time_ns,
) -> Report:
    """The same, inside an event loop. What was learnt before it is cancelled is kept."""
    root, rec = settings.data.dir, settings.data.recorder + BACKFILL
    check_format(root)
    folder = root / "journal" / rec
    folder.mkdir(parents=True, exist_ok=True)
    if max_seconds is None:
        max_seconds = MAX_SECONDS if start is None and end is None else float("inf")
    with ExitStack() as locks:
        locks.enter_context(Lock(folder / "LOCK", "backfill"))
        locks.enter_context(Lock(folder / "WRITER.LOCK", "backfill"))
        found = recover(folder, next_seq(root, rec))
        session = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-backfill"
        head = {"event": "segment", "format": FORMAT, "venue": settings.venue.name, "session": session}
        head_payload = orjson.dumps({**head, "started_ns": time.time_ns(), "open": [], "live": []})
        journal = Journal(
            folder,
            found.next_seq,
            lambda: head_payload,
            sync_ms=settings.journal.sync_ms,
            segment_seconds=3600,
            hour=found.last_hour,
        )
        keep_raw, reserve = settings.journal.keep_raw_days > 0, settings.journal.reserve_mb << 20
        parts = PartMaker(root, rec, keep_raw=keep_raw, reserve=reserve)
        try:
            parts.make(closed_segments(folder))  # what an earlier run left when it died
            work = Backfill(settings, journal, parts, session, now, max_seconds)
            return await work.run(*(_to_ns(when) for when in (start, end)))
        finally:
            await asyncio.shield(journal.close())
            parts.make(closed_segments(folder))


class Backfill:
    """One run, with its journal open."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        parts: PartMaker,
        session: str,
        now: Callable[[], int],
        max_seconds: float,
    ) -> None:
        self._settings = settings
        self._venue = settings.venue.name
        self._at = endpoints(settings.venue.name, settings.venue.rest_url)
        self._journal = journal
        self._parts = parts
        self._session = session
        self._now = now
        self._max_seconds = max_seconds
        self._report = Report()

    async def run(self, start_ns: int | None, end_ns: int | None) -> Report:
        lake = ask.open_for_backfill(self._parts.root)
        again = start_ns is not None or end_ns is not None
        told = ask.verdicts(lake, self._venue)
        wait_ns = ask.not_before_ns(lake, self._venue) - self._now()
        if wait_ns > 0:
            self._report.unfinished = f"the venue asked for silence, {wait_ns / 1e9:.0f} s of it are left"
            return self._report

        def gaps(channel: str) -> list[Gap]:
            found = ask.open_gaps(lake, self._venue, channel)
            return plan.touching(plan.to_try(found, told, again), start_ns, end_ns)

        pace = Pace(INTERVAL_SECONDS)
        async with Rest(self._at.rest, self._journal, pace) as session:
            rest = Asker(session, pace, time.monotonic() + self._max_seconds, self._now, self._silenced)
            try:
                await self._trades(lake, rest, gaps("trade"))
                await self._candles(lake, rest, gaps("kline"), start_ns, end_ns)
            except Unanswered as reason:
                self._report.unfinished = str(reason)
            self._report.requests = rest.requests
        await self._publish()  # what was learnt is visible before any gap is called healed
        self._judge_candles(lake, gaps("kline"))
        self._emit(_healed(gap) for gap in self._report.healed)
        self._emit(_left(one) for one in self._report.left if plan.is_news(one, told))
        await self._publish()
        return self._report

    # Trades

    async def _trades(self, lake: Lake, rest: Asker, gaps: Sequence[Gap]) -> None:
        """One answer a symbol, compared with what the lake holds, for all its gaps at once."""
        due = plan.ripe(gaps, ask.history_arrivals(lake, self._venue), self._now()) if gaps else []
        for symbol in dict.fromkeys(gap.symbol for gap in due):
            params: dict[str, str | int] = {"symbol": symbol, "limit": MAX_TRADES, **self._site()}
            reply = await rest.get(TRADES, params)
            if reply is None:
                continue
            try:
                answer = read_trades(reply.json())
            except VenueError as error:
                log.warning("answer left out", symbol=symbol, error=str(error))
                continue
            if not answer:
                continue
            known = ask.known_trades(lake, self._venue, symbol, answer[0].time_ms)  # read after the answer came
            oldest_ms = (self._now() - plan.OLDEST_NS) // 1_000_000
            found = match(answer, known, [gap for gap in due if gap.symbol == symbol], oldest_ms)
            if found.keep:
                about = {"path": TRADES, "params": params, "status": 200, "reason": "backfill", "use": "store"}
                first = orjson.dumps({**about, "of": reply.seq, "keep": found.keep})
                self._journal.append(Kind.REST, Line.REST, 0, first + b"\n" + reply.body)
            self._report.healed += found.healed
            self._report.left += found.left

    # Candles

    async def _candles(
        self, lake: Lake, rest: Asker, gaps: Sequence[Gap], start_ns: int | None, end_ns: int | None
    ) -> None:
        if "kline" not in self._settings.record.streams and not gaps:
            return
        now = self._now()
        low = start_ns if start_ns is not None else (end_ns or now) - plan.WINDOW_NS
        recorded = ask.recorded(lake, self._venue, "kline", low, end_ns or now)
        for one in plan.asks(self._found(lake, plan.candle_ranges(recorded, gaps))):
            await rest.get(KLINES, one.params(self._at.site), use="store")

    def _judge_candles(self, lake: Lake, gaps: Sequence[Gap]) -> None:
        if gaps:
            found = self._found(lake, plan.candle_ranges([], gaps))
            healed, left = plan.judge_candles(gaps, found, self._now())
            self._report.healed += healed
            if not self._report.unfinished:  # else it is us who did not ask
                self._report.left += left

    def _found(self, lake: Lake, ranges: Sequence[ask.Range]) -> list[ask.Candles]:
        intervals = self._settings.record.kline_intervals if "kline" in self._settings.record.streams else ()
        closed_ns = plan.closed_ns(self._now(), ask.clock_offset_ns(lake, self._venue))
        return ask.candles(lake, self._venue, ranges, intervals, closed_ns)

    def _silenced(self, until_ns: int) -> None:
        self._emit([{"event": "backfill", "detail": "the venue asks for silence", "not_before_ns": until_ns}])

    def _site(self) -> dict[str, str | int]:
        return {"site": self._at.site} if self._at.site else {}

    # Our journal

    def _emit(self, events: Iterable[dict[str, Any]]) -> None:
        for event in events:
            payload = orjson.dumps({**event, "session": self._session, "version": __version__})
            self._journal.append(Kind.EVENT, Line.OWN, 0, payload)

    async def _publish(self) -> None:
        """Make parts of all that was appended so far."""
        self._journal.rotate()
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                await self._journal.sync()
        except TimeoutError as error:
            reason = self._journal.error or "the disk does not answer"
            raise JournalError(f"{self._journal.folder}: cannot be written: {reason}; free some space") from error
        self._report.rows += self._parts.make(closed_segments(self._parts.journal))


def _healed(gap: Gap) -> dict[str, Any]:
    return {"event": "gap", **gap._asdict(), "healed": True}


def _left(left: Left) -> dict[str, Any]:
    gap = left.gap
    told = {"from_ns": gap.from_ns, "to_ns": gap.to_ns, "final": left.is_final, "detail": left.detail}
    return {"event": "backfill", "channel": gap.channel, "symbol": gap.symbol, **told}


def _to_ns(when: Moment) -> int | None:
    value = moment(when)
    return None if value is None else round(value.replace(tzinfo=UTC).timestamp() * 1e6) * 1000


async def _until_told(settings: Settings, start: Moment, end: Moment) -> Report:
    """A run that SIGTERM and SIGINT end early, with everything written."""
    work = asyncio.current_task()
    assert work is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    return await run(settings, start, end)


def settings_of(text: str) -> Settings:
    """What `Settings.model_dump_json` wrote, and nothing of our environment."""
    document = orjson.loads(text)
    values = {}
    for name, about in Settings.model_fields.items():
        assert about.annotation is not None
        values[name] = about.annotation.model_validate(document[name])
    return Settings.model_construct(**values)


def main(argv: Sequence[str] | None = None) -> int:
    """One run; the report goes to stdout as JSON. Status 0: all was asked for; 1: not all; 2: wrong use."""
    from recorder.logs import set_up_logs

    parser = argparse.ArgumentParser(prog="python -m recorder.quality.backfill")
    parser.add_argument("--settings", help="all settings as JSON; else as `recorder` finds them")
    parser.add_argument("-c", "--config", type=Path, metavar="FILE")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the lake")
    parser.add_argument("--rec", metavar="REC", help="whose gaps")
    parser.add_argument("--from", dest="start", metavar="T", help="ISO 8601, UTC")
    parser.add_argument("--to", dest="end", metavar="T", help="ISO 8601, UTC")
    asked = parser.parse_args(argv)
    set_up_logs()
    try:
        settings = settings_of(asked.settings) if asked.settings else load(asked.config, asked.data)
        if asked.rec:
            settings = settings.model_copy(update={"data": settings.data.model_copy(update={"recorder": asked.rec})})
        report = asyncio.run(_until_told(settings, asked.start, asked.end))
    except RecorderError as error:
        log.error("backfill ends", error=str(error))
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        return EXIT_UNFINISHED
    log.info(
        "backfill done",
        requests=report.requests,
        rows=report.rows,
        healed=len(report.healed),
        left=len(report.left),
        unfinished=report.unfinished,
    )
    sys.stdout.write(orjson.dumps(report.document()).decode() + "\n")
    return EXIT_UNFINISHED if report.unfinished else 0


if __name__ == "__main__":
    sys.exit(main())
