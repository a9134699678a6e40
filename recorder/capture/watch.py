"""Watch every stream of every line: feed `liveness` with what came, ask REST when it doubts, do what it decides.

Each decision is an own event: `suspect` (REST, or a sister stream, shows that something did not come),
`resubscribe`, and `reconnect`, which the line tells. Questions wait for their turn in `rest`, which never
asks too fast.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
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
from recorder.venues.hashkey.subscribe import DELTA_BOOK, TRADES

log = structlog.get_logger()
LOOK_SECONDS = 1.0
GRACE_SECONDS = 1.0  # what an answer knows may be on its way to us
TICKER_LAGS = 5  # how often a ticker must have followed a trade before a trade can tell; how fast it is, is not known
MOST_ASKED = 6  # questions under way; the others wait for the next look
MANY_STALE = 3  # streams of a connection
REGULAR_SECONDS = 5.0  # a stream that REST knows nothing of is stale only if it used to speak at least so often

Name = tuple[int, Ask]  # key of the line, topic and symbol


@dataclass(slots=True)
class Watched:
    name: Name
    topic: TopicState
    pulse: Pulse
    frames: int  # of the topic when we last looked
    sisters: list[TopicState] | None = None  # None: to be found


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
        self._watched: dict[int, tuple[int, dict[Ask, TopicState], list[Watched]]] = {}  # by line, with its connection
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
        now, scale = monotonic_ns * self._scale, self._scale
        doubted: list[tuple[tuple[bool, bool, float], Watched, Line, Leg]] = []
        asking = []
        for key, line in self._lines.items():
            leg = line.leg
            if leg is None or not leg.is_open or line.is_being_replaced:
                continue
            for watched in self._watched_on(key, leg):
                topic, pulse = watched.topic, watched.pulse
                if not (topic.is_proved or topic.needs_push):
                    continue  # not subscribed: nothing can be expected
                heard = topic.heard_ns * scale
                if topic.frames != watched.frames:
                    watched.frames = topic.frames
                    if pulse.spoke(heard, topic.longest_ns * scale, topic.news_ns * scale > pulse.acted):
                        self._tell_hole(leg, topic)
                    topic.longest_ns = 0
                elif not pulse.has_spoken:
                    pulse.heard = max(pulse.heard, heard)  # when it was proved
                    pulse.has_baseline |= topic.topic == TRADES and self._is_brought_by_another(leg, topic)
                if now - heard <= TOGETHER_SECONDS:
                    continue
                if pulse.awaited is None:
                    sisters = watched.sisters
                    if sisters is None:
                        sisters = watched.sisters = self._sisters_of(leg, topic)
                    for sister in sisters:
                        # A trade that comes late by this line was told of by the other, and not by silence.
                        at = (sister.told_ns if sister.topic == TRADES else sister.news_ns) * scale
                        if at > heard + TOGETHER_SECONDS and not _agree(topic, sister):
                            pulse.sister_spoke(at)
                if pulse.doubts(now):
                    rank = pulse.awaited is None, not (pulse.has_spoken or pulse.tries), heard - now
                    doubted.append((rank, watched, line, leg))
            asking += self._look_at_line(key, line, leg, now)
        doubted.sort(key=lambda each: each[0])  # REST is slow: what is most likely to be dead goes first
        for _, watched, line, leg in doubted[: max(0, MOST_ASKED - self._under_way)]:
            watched.pulse.asked()
            asking.append(self._ask(watched.name, line, leg, watched.topic, watched.pulse))
        return asking

    def _watched_on(self, key: int, leg: Leg) -> list["Watched"]:
        """What is watched on the present connection of a line; made anew when that or its topics change."""
        known = self._watched.get(key)
        if known is not None and known[1] is leg.topics:
            return known[2]
        since = leg.opened_monotonic_ns * self._scale
        is_new = known is None or known[0] != leg.conn
        made = []
        for ask, topic in leg.topics.items():
            pulse = self._pulses.get((key, ask))
            if pulse is None:
                needed = TICKER_LAGS if topic.topic == "realtimes" else 0
                pulse = self._pulses[key, ask] = Pulse(topic.heard_ns * self._scale, lags_needed=needed)
            if is_new:
                pulse.listens(since)
                self._marks.pop((key, ask), None)
            made.append(Watched((key, ask), topic, pulse, -1 if topic.last_frame else topic.frames))
        if is_new:
            self._of_line.setdefault(key, Pulse(since, LEAST_OF_A_LINE)).listens(since)
        self._watched[key] = leg.conn, leg.topics, made
        for _, _, others in self._watched.values():
            for watched in others:
                watched.sisters = None  # they may be on what has just changed
        return made

    def _is_brought_by_another(self, leg: Leg, topic: TopicState) -> bool:
        ask = (topic.topic, topic.symbol)
        others = (line.leg.topics.get(ask) for line in self._lines.values() if line.leg not in (None, leg))
        return any(other is not None and other.is_proved for other in others)

    def _tell_hole(self, leg: Leg, topic: TopicState) -> None:
        if topic.topic == DELTA_BOOK:
            return  # its counter tells
        gap = leg.hole(topic)
        if gap:  # no other line brought it
            self._state.stale += 1
            detail = f"silent for {topic.longest_ns * self._scale:.1f} s while another stream spoke"
            self._emit([self._event("suspect", leg, topic, detail), *gap])

    def _sisters_of(self, leg: Leg, topic: TopicState) -> list[TopicState]:
        """The streams that cannot speak without this one: they tell when it is silent and should not be."""
        legs = [line.leg for line in self._lines.values() if line.leg is not None]
        match topic.topic:
            case "depth":
                name, legs = "bbo", [leg]
            case "bbo":
                name, legs = "depth", [leg]
            case "trade":
                name, legs = "trade", [other for other in legs if other.line.number != leg.line.number]
            case "diffMergedDepth":
                name = "depth"
            case _ if topic.channel in ("kline", "ticker"):
                name = "trade"
            case _:
                return []
        found = (other.topics.get((name, topic.symbol)) for other in legs)
        return [sister for sister in found if sister is not None]

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


def _agree(topic: TopicState, sister: TopicState) -> bool:
    """Whether a stream need not follow its sister: a new book may have the best prices of the last quote."""
    if topic.topic != "bbo":
        return False
    book, quote = best_quotes("depth", sister.last_frame), best_quotes("bbo", topic.last_frame)
    return book is None or quote is None or book == quote
