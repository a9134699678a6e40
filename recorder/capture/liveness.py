"""Tell a quiet market from a dead stream: when to doubt a silence, and what to do once the doubt is confirmed.

Each stream has a rhythm of its own, which we learn: the longest silence that was usual lately. A silence
of three times that, and of a minute at least, is doubted; sooner, if another stream tells that this one
should have spoken (a trade moves a candle, a new best price is a new book). A doubt alone changes
nothing. It is a question to REST: has the venue anything newer than what came? If not, the silence is
the venue's own, and longer ones are believed from now on. If so, the stream is stale: it is subscribed
anew, and when that does not help, the connection is replaced, each time after a longer wait.

Nothing here touches a socket or a clock; times are seconds. `watch.py` asks and acts.
"""

import math
from dataclasses import dataclass
from enum import Enum

LEAST_SECONDS = 60.0  # no silence is stale before that, unless another stream tells
LEAST_OF_A_LINE = 10.0  # of all streams of a connection together
TIMES = 3.0  # usual silences
EARLY = 0.8  # of the patience: so long before its end we ask, so that the answer is there in time
FADES_SECONDS = 3600.0  # half of what we know of the rhythm is forgotten in that time
BASELINE_SECONDS = 15.0  # a stream that never spoke: ask once, to have something to compare with
TOGETHER_SECONDS = 1.0  # two streams that speak within that time may tell of the same thing
SISTER_SECONDS = 2.0  # how long after its sister it may speak
UNKNOWN_SECONDS = 30.0  # until the next question, when there was no answer
FIRST_WAIT, LAST_WAIT = 15.0, 3600.0  # for a stream to speak after what we did


class Step(Enum):
    RESUBSCRIBE = "resubscribe"
    RECONNECT = "reconnect"


@dataclass(slots=True)
class Pulse:
    """One stream on one connection after another: its rhythm, its silence, and what was done about it."""

    heard: float  # when it last spoke; at first, when we began to listen
    least: float = LEAST_SECONDS
    lags_needed: int = 0  # how often it must have followed its sister before the sister can tell
    usual: float = 0.0  # longest silence lately
    lag: float = 0.0  # longest time lately in which it followed its sister
    lags: int = 0
    awaited: float | None = None  # its sister spoke then, and it has not followed yet
    believed: float = 0.0  # a silence so long was the venue's own
    has_spoken: bool = False  # on this connection
    has_baseline: bool = False
    tries: int = 0  # what was done about the present silence
    acted: float = -math.inf
    not_before: float = -math.inf  # no question until then
    is_asked: bool = False  # a question is on its way

    # What is heard

    def spoke(self, at: float, longest: float, is_news: bool = True) -> bool:
        """It spoke, last at `at`; `longest` is the longest silence since the last call.

        What only repeats the past (`is_news` false) does not prove that what we did has helped. Returns True
        if that silence was a hole: it came back by itself, long after its sister had called.
        """
        fading: float = 0.5 ** (max(0.0, at - self.heard) / FADES_SECONDS)
        is_hole = False
        if self.awaited is not None and at >= self.awaited:
            lag = min(longest, at - self.awaited)
            is_hole = self.tries == 0 and self.can_be_told and lag >= self.sister_patience + 1.0
            if not is_hole:
                self.lag = max(self.lag * fading, lag)
                self.lags += 1
            self.awaited = None
        if self.tries == 0 and not is_hole:
            self.usual = max(self.usual * fading, longest)
        self.heard = at
        self.has_spoken = True
        if is_news or not self.tries:
            self.tries, self.believed, self.not_before = 0, 0.0, -math.inf
        return is_hole

    def sister_spoke(self, at: float) -> None:
        """A stream spoke that cannot speak without this one following."""
        if self.awaited is None and at > self.heard + TOGETHER_SECONDS:
            self.awaited = at

    def listens(self, since: float) -> None:
        """A new connection: the silence of the time without one does not count."""
        self.heard = max(self.heard, since)
        self.has_spoken = self.has_baseline = False
        self.awaited = None

    # What we think of it

    @property
    def patience(self) -> float:
        """From which silence on it counts as stale, if REST agrees."""
        return max(self.least, TIMES * self.usual, TIMES * self.believed)

    @property
    def sister_patience(self) -> float:
        return max(SISTER_SECONDS, TIMES * self.lag, TIMES * self.believed)

    @property
    def can_be_told(self) -> bool:
        return self.lags >= self.lags_needed

    def doubts(self, now: float) -> bool:
        """Whether to ask now."""
        if self.is_asked or now < self.not_before:
            return False
        if self.tries:
            return now - self.acted >= self._wait
        silence = now - self.heard
        if silence >= EARLY * self.patience:
            return True
        if self.awaited is not None and self.can_be_told and now - self.awaited >= self.sister_patience:
            return True
        return not self.has_spoken and not self.has_baseline and silence >= BASELINE_SECONDS

    def asked(self) -> None:
        self.is_asked = True

    def dropped(self) -> None:
        """The question is void: it spoke, or its connection has gone."""
        self.is_asked = False

    def answered(self, now: float, moved: bool | None) -> Step | None:
        """REST says whether it has anything newer (None: no answer); returns what is to be done."""
        self.is_asked = False
        if moved is None:
            self.not_before = now + UNKNOWN_SECONDS
            return None
        self.has_baseline = True
        if moved:
            self.tries += 1
            self.acted = now
            return Step.RESUBSCRIBE if self.tries == 1 else Step.RECONNECT
        self.awaited = None
        if self.tries and self.heard < self.acted:
            self.not_before = now + self._wait
        elif self.tries:
            self.tries = 0  # it has answered, and there is nothing new since
        elif self.has_spoken or now - self.heard >= EARLY * self.least:
            self.believed = now - self.heard
        return None

    @property
    def _wait(self) -> float:
        return min(LAST_WAIT, FIRST_WAIT * 2.0 ** min(self.tries - 1, 16))
