"""Watch every stream of every line: feed `liveness` with what came, ask REST when it doubts, do what it decides.

Each decision is an own event: `suspect` (REST, or a sister stream, shows that something did not come),
`resubscribe`, and `reconnect`, which the line tells. Questions wait for their turn in `rest`, which never
asks too fast.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

import structlog

from recorder.capture.evidence import Mark, best_quotes, is_news, mark_of_answer, mark_of_frame, question
from recorder.capture.leg import Leg
from recorder.capture.line import Line
from recorder.capture.liveness import LEAST_OF_A_LINE, TOGETHER_SECONDS, Pulse, Step
from recorder.capture.rest import Refused, Rest
from recorder.capture.session import Ask
from recorder.capture.state import CaptureState, TopicState
from recorder.capture.streams import Event
from recorder.capture.tempo import Tempo
from recorder.errors import VenueError
from recorder.venues.hashkey.subscribe import TRADES

log = structlog.get_logger()
LOOK_SECONDS = 1.0
GRACE_SECONDS = 1.0  # what an answer knows may be on its way to us
TICKER_LAGS = (
    5  # how often a ticker must have followed a trade before a trade can tell: its cadence is not documented well
)
MOST_ASKED = 6  # questions under way; the others wait for the next look
MANY_STALE = 3  # streams of a connection
REGULAR_SECONDS = 5.0  # a stream that REST knows nothing of is stale only if it used to speak at least so often

Name = tuple[int, Ask]  # key of the line, topic and symbol


class Watch:
    """Looks at all lines once a second."""

    def __init__(
        self,
        lines: Mapping[int, Line],
        rest: Rest,
        state: CaptureState,
        tempo: Tempo,
        site: str,
        emit: Callable[[Iterable[Event]], None],
    ) -> None:
        self._lines = lines
        self._rest = rest
        self._state = state
        self._tempo = tempo
        self._site = {"site": site} if site else {}
        self._emit = emit
        self._scale = tempo.pace / 1e9
        self._under_way = 0  # questions
        self._pulses: dict[Name, Pulse] = {}
        self._of_line: dict[int, Pulse] = {}
        self._frames: dict[Name, int] = {}  # of each topic when we last looked
        self._conns: dict[int, int] = {}  # the connection of each line when we last looked
        self._marks: dict[Name, Mark] = {}  # what REST said last

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as questions:
            while True:
                await self._tempo.sleep(LOOK_SECONDS)
                for coroutine in self.look(time.monotonic_ns()):
                    questions.create_task(coroutine)

    def look(self, monotonic_ns: int) -> list[Coroutine[Any, Any, None]]:
        """Take in what came since the last look; returns the questions that are to be asked."""
        now = monotonic_ns * self._scale
        doubted: list[tuple[tuple[bool, bool, float], Name, Line, Leg, TopicState, Pulse]] = []
        asking = []
        for key, line in self._lines.items():
            leg = line.leg
            if leg is None or not leg.is_open or line.is_being_replaced:
                continue
            if self._conns.get(key) != leg.conn:
                self._conns[key] = leg.conn
                self._listen_anew(key, leg)
            for ask, topic in leg.topics.items():
                if not (topic.is_proved or topic.needs_push):
                    continue  # not subscribed: nothing can be expected
                pulse = self._take_in((key, ask), leg, topic, now)
                if pulse.doubts(now):
                    rank = pulse.awaited is None, not (pulse.has_spoken or pulse.tries), pulse.heard - now
                    doubted.append((rank, (key, ask), line, leg, topic, pulse))
            asking += self._look_at_line(key, line, leg, now)
        doubted.sort(key=lambda each: each[0])  # REST is slow: what is most likely to be dead goes first
        for _, name, line, leg, topic, pulse in doubted[: max(0, MOST_ASKED - self._under_way)]:
            pulse.asked()
            asking.append(self._ask(name, line, leg, topic, pulse))
        return asking

    def _listen_anew(self, key: int, leg: Leg) -> None:
        since = leg.opened_monotonic_ns * self._scale
        for ask in leg.topics:
            (self._pulses.get((key, ask)) or self._new_pulse((key, ask), since)).listens(since)
            self._marks.pop((key, ask), None)
        self._of_line.setdefault(key, Pulse(since, LEAST_OF_A_LINE)).listens(since)

    def _new_pulse(self, name: Name, since: float) -> Pulse:
        needed = TICKER_LAGS if name[1][0] == "realtimes" else 0
        self._pulses[name] = Pulse(since, lags_needed=needed)
        return self._pulses[name]

    def _take_in(self, name: Name, leg: Leg, topic: TopicState, now: float) -> Pulse:
        heard = topic.heard_ns * self._scale
        pulse = self._pulses.get(name) or self._new_pulse(name, heard)
        if topic.frames != self._frames.get(name, 0):
            self._frames[name] = topic.frames
            is_news = topic.news_ns * self._scale > pulse.acted
            if pulse.spoke(heard, topic.longest_ns * self._scale, is_news):
                self._tell_hole(leg, topic)
            topic.longest_ns = 0
        elif not pulse.has_spoken:
            pulse.heard = max(pulse.heard, heard)  # when it was proved
            pulse.has_baseline |= topic.topic == TRADES and self._is_brought_by_another(leg, topic)
        if pulse.awaited is None and now - heard > TOGETHER_SECONDS:
            pulse.sister_spoke(self._sister_ns(leg, topic) * self._scale)
        return pulse

    def _is_brought_by_another(self, leg: Leg, topic: TopicState) -> bool:
        ask = (topic.topic, topic.symbol)
        others = (line.leg.topics.get(ask) for line in self._lines.values() if line.leg not in (None, leg))
        return any(other is not None and other.is_proved for other in others)

    def _tell_hole(self, leg: Leg, topic: TopicState) -> None:
        gap = leg.hole(topic)
        if gap:  # no other line brought it
            self._state.stale += 1
            detail = f"silent for {topic.longest_ns * self._scale:.1f} s while another stream spoke"
            self._emit([self._event("suspect", leg, topic, detail), *gap])

    def _sister_ns(self, leg: Leg, topic: TopicState) -> int:
        """When a stream last spoke that cannot speak without this one; 0 if none can tell."""
        symbol, number = topic.symbol, leg.line.number
        match topic.topic:
            case "depth":
                return _news(leg, "bbo", symbol)
            case "bbo":
                book = leg.topics.get(("depth", symbol))
                if book is None or book.news_ns < topic.heard_ns:
                    return 0
                quotes = best_quotes("depth", book.last_frame), best_quotes("bbo", topic.last_frame)
                return book.news_ns if None not in quotes and quotes[0] != quotes[1] else 0
            case "trade":
                others = [line.leg for line in self._lines.values() if line.number != number]
                return max((_news(other, "trade", symbol) for other in others), default=0)
            case "diffMergedDepth":
                return max(_news(line.leg, "depth", symbol) for line in self._lines.values())
            case _ if topic.channel in ("kline", "ticker"):
                return max(_news(line.leg, "trade", symbol) for line in self._lines.values())
        return 0

    # Questions

    async def _ask(self, name: Name, line: Line, leg: Leg, topic: TopicState, pulse: Pulse) -> None:
        frames = topic.frames
        self._under_way += 1
        try:
            moved = await self._has_moved(name, topic, pulse)
        finally:
            self._under_way -= 1
        if topic.frames != frames or line.leg is not leg or not leg.is_open:
            pulse.dropped()
            return
        step = pulse.answered(self._tempo.now(), moved)
        if step is None:
            return
        silent = (time.monotonic_ns() - topic.heard_ns) * self._scale
        log.warning(
            "stream is stale", line=line.state.name, topic=topic.topic, symbol=topic.symbol, silent=round(silent, 1)
        )
        if step is Step.RESUBSCRIBE:
            self._state.stale += 1
            detail = f"silent for {silent:.1f} s, and the venue has newer"
            self._emit([self._event("suspect", leg, topic, detail), *leg.stale(topic)])
        if question(*name[1]) is not None and (step is Step.RECONNECT or _is_mostly_stale(leg)):
            line.replace("stale")
        else:
            self._emit([self._event("resubscribe", leg, topic, "stale")])
            leg.resubscribe(topic)

    async def _has_moved(self, name: Name, topic: TopicState, pulse: Pulse) -> bool | None:
        """Whether the venue has anything newer than what came; None if it does not say."""
        asked = question(topic.topic, topic.symbol)
        if asked is None:
            return 0 < pulse.usual < REGULAR_SECONDS
        self._state.looks += 1
        try:
            reply = await self._rest.get(asked.path, {**asked.params, **self._site}, "liveness", attempts=1)
            theirs = mark_of_answer(topic.topic, reply.json())
        except Refused:
            return False  # delisted, perhaps: no stream can be expected
        except VenueError:
            return None
        await self._tempo.sleep(GRACE_SECONDS)
        before = self._marks.get(name)
        ours = before if pulse.tries else mark_of_frame(topic.topic, topic.symbol, topic.last_frame) or before
        if theirs is not None:
            self._marks[name] = theirs
        return is_news(topic.topic, ours, theirs)

    # A line as a whole

    def _look_at_line(self, key: int, line: Line, leg: Leg, now: float) -> list[Coroutine[Any, Any, None]]:
        """A connection on which nothing but pongs comes."""
        pulse = self._of_line[key]
        proved = [(ask, topic) for ask, topic in leg.topics.items() if topic.is_proved]
        heard = max((topic.heard_ns for _, topic in proved), default=0) * self._scale
        if heard > pulse.heard:
            pulse.spoke(heard, heard - pulse.heard)
        if not proved or not pulse.doubts(now):
            return []
        spoken = [(self._pulses[key, ask].usual, ask, topic) for ask, topic in proved if topic.last_frame]
        asked = min((one for one in spoken if question(*one[1])), key=lambda one: one[0], default=None)
        if asked is None:
            return []
        pulse.asked()
        return [self._ask_of_line(key, asked[1], line, leg, asked[2], pulse)]

    async def _ask_of_line(self, key: int, ask: Ask, line: Line, leg: Leg, topic: TopicState, pulse: Pulse) -> None:
        before = pulse.heard
        moved = await self._has_moved((key, ask), topic, Pulse(before))
        if max(each.heard_ns for each in leg.topics.values()) * self._scale > before or line.leg is not leg:
            pulse.dropped()
            return
        if not moved:
            pulse.answered(self._tempo.now(), moved)
            return
        pulse.answered(self._tempo.now(), True)
        silent = self._tempo.now() - before
        log.warning("line is stale", line=line.state.name, conn=leg.conn, silent=round(silent, 1))
        self._state.stale += 1
        detail = f"nothing but pongs for {silent:.1f} s, and the venue has newer {topic.topic} of {topic.symbol}"
        self._emit([{"event": "suspect", "conn": leg.conn, "line": line.number, "detail": detail}, *leg.all_stale()])
        line.replace("stale")

    def _event(self, name: str, leg: Leg, topic: TopicState, detail: str) -> Event:
        about = {"conn": leg.conn, "channel": topic.channel, "symbol": topic.symbol, "topic": topic.topic}
        return {"event": name, **about, "detail": detail}


def _is_mostly_stale(leg: Leg) -> bool:
    """Not one stream is at fault, but the connection."""
    stale = sum(topic.needs_push for topic in leg.topics.values())
    return stale >= MANY_STALE and 2 * stale >= len(leg.topics)


def _news(leg: Leg | None, topic: str, symbol: str) -> int:
    found = leg.topics.get((topic, symbol)) if leg is not None else None
    return found.news_ns if found is not None else 0
