"""Rhythm, doubt and decision; hours pass in a moment because time is a number."""

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest

from recorder.capture.liveness import Pulse, Step

HOUR = 3600.0


def times(kind: str, interval: float, until: float, rng: random.Random) -> Iterator[float]:
    """When a stream speaks: at random, in clusters with long pauses, or each minute sharp."""
    now = 0.0
    while now < until:
        if kind == "random":
            now += rng.expovariate(1 / interval)
        elif kind == "clusters":
            now += rng.expovariate(5 / interval) if rng.random() < 0.8 else interval * (1 + 5 * rng.random())
        else:
            now += interval
        yield now


class Venue:
    """A stream as `watch` sees it, second by second, and the questions that it costs."""

    def __init__(self, spoken: Iterator[float]) -> None:
        self.pulse = Pulse(0.0)
        self.questions = 0
        self.steps: list[tuple[float, Step]] = []
        self._spoken = spoken
        self._next = next(spoken)
        self._last = 0.0

    def run(self, seconds: float, muted_from: float = float("inf"), start: float = 0.0) -> None:
        """REST always answers, 2 s later, and knows what the venue sent, muted or not."""
        now, answer_at, venue_last = start, float("inf"), self._last
        while now < start + seconds and not (self.steps and muted_from < float("inf")):
            longest, heard = 0.0, False
            while self._next <= now:
                venue_last = self._next
                if self._next < muted_from:
                    longest, self._last, heard = max(longest, self._next - self._last), self._next, True
                self._next = next(self._spoken)
            if heard:
                self.pulse.dropped()
                answer_at = float("inf")
                self.pulse.spoke(self._last, longest)
            if now >= answer_at:
                answer_at = float("inf")
                step = self.pulse.answered(now, venue_last > self._last)
                if step is not None:
                    self.steps.append((now, step))
            if self.pulse.doubts(now):
                self.pulse.asked()
                self.questions += 1
                answer_at = now + 2.0
            now += 1.0


@pytest.mark.parametrize("kind", ["random", "clusters", "even"])
@pytest.mark.parametrize("interval", [0.5, 7.0, 60.0, 400.0, 4000.0])
def test_six_hours_of_a_quiet_venue_make_nothing_stale_and_few_questions(kind: str, interval: float) -> None:
    for seed in range(4):
        venue = Venue(times(kind, interval, 10 * HOUR, random.Random(seed)))
        venue.run(6 * HOUR)
        assert venue.steps == []
        assert venue.questions <= 60


@pytest.mark.parametrize("interval", [0.5, 7.0, 18.0, 60.0])
def test_a_muted_stream_is_found_within_three_of_its_intervals_or_a_minute(interval: float) -> None:
    for seed in range(6):
        venue = Venue(times("random", interval, 10 * HOUR, random.Random(seed)))
        muted = 2 * HOUR + 0.5
        venue.run(2 * HOUR)
        assert venue.steps == []
        usual = max(60.0, 3 * venue.pulse.usual)
        venue.run(2 * HOUR, muted_from=muted, start=2 * HOUR)
        ((found, step),) = venue.steps
        assert step is Step.RESUBSCRIBE
        # Of a stream that spoke again just before it was muted and is silent since, nothing can be known sooner
        # than the venue has something newer.
        assert found - venue._last <= usual + 3.0 or found - venue._last <= 3 * venue.pulse.believed + 3.0


def test_a_fast_stream_that_falls_silent_is_found_within_a_minute_exactly() -> None:
    pulse = Pulse(0.0)
    for second in range(1, 1000):
        pulse.spoke(float(second), 1.0)
    doubted = next(now for now in range(1000, 1100) if pulse.doubts(float(now)))
    assert doubted - 999 == 48
    pulse.asked()
    assert pulse.answered(doubted + 5.0, moved=True) is Step.RESUBSCRIBE


def test_a_silence_that_rest_calls_the_venues_own_is_believed_three_times_as_long() -> None:
    pulse = Pulse(0.0)
    pulse.spoke(10.0, 1.0)
    assert pulse.doubts(58.0)
    pulse.asked()
    assert not pulse.doubts(59.0), "one question at a time"
    assert pulse.answered(60.0, moved=False) is None
    assert not pulse.doubts(129.0)
    assert pulse.doubts(131.0)


def test_without_an_answer_nothing_is_done_and_it_is_asked_again() -> None:
    pulse = Pulse(0.0)
    pulse.spoke(10.0, 1.0)
    pulse.asked()
    assert pulse.answered(60.0, moved=None) is None
    assert not pulse.doubts(89.0)
    assert pulse.doubts(90.0)


def test_a_stale_stream_is_subscribed_anew_then_the_line_is_replaced_ever_more_seldom() -> None:
    pulse = Pulse(0.0)
    pulse.spoke(10.0, 1.0)
    done, now = [], 60.0
    while now < 1000.0:
        if pulse.doubts(now):
            pulse.asked()
            step = pulse.answered(now, moved=True)
            assert step is not None
            done.append((now, step))
        now += 1.0
    assert done[0] == (60.0, Step.RESUBSCRIBE)
    assert {step for _, step in done[1:]} == {Step.RECONNECT}
    waits = [later - earlier for (earlier, _), (later, _) in pairwise(done)]
    assert waits == [15, 30, 60, 120, 240]


def test_after_a_resubscribe_only_news_shows_that_it_helped() -> None:
    pulse = Pulse(0.0)
    pulse.spoke(10.0, 1.0)
    pulse.asked()
    pulse.answered(60.0, moved=True)
    pulse.spoke(61.0, 51.0, is_news=False)  # V1's first push repeats the past
    assert pulse.tries == 1
    assert pulse.usual == 1.0, "a silence that was stale teaches nothing"
    assert pulse.doubts(76.0)
    pulse.asked()
    assert pulse.answered(76.0, moved=False) is None
    assert pulse.tries == 0, "it has answered, and the venue has nothing newer"


def test_a_dead_symbol_that_was_acknowledged_is_seen_through() -> None:
    pulse = Pulse(0.0)
    questions = 0
    for now in range(int(6 * HOUR)):
        if pulse.doubts(float(now)):
            pulse.asked()
            questions += 1
            assert pulse.answered(float(now), moved=False) is None
    assert questions < 10


def test_a_stream_that_never_spoke_is_compared_with_what_rest_said_first() -> None:
    pulse = Pulse(0.0)
    assert not pulse.doubts(14.0)
    assert pulse.doubts(15.0)
    pulse.asked()
    pulse.answered(16.0, moved=False)
    assert not pulse.doubts(47.0)
    assert pulse.doubts(48.0)


def test_a_sister_that_spoke_alone_tells_within_seconds() -> None:
    pulse = Pulse(0.0)
    pulse.spoke(100.0, 5.0)
    pulse.sister_spoke(100.9)
    assert not pulse.doubts(103.0), "both may have told of the same"
    pulse.sister_spoke(104.0)
    pulse.sister_spoke(105.0)
    assert not pulse.doubts(105.9)
    assert pulse.doubts(106.0)


def test_how_long_a_stream_takes_to_follow_its_sister_is_learned() -> None:
    pulse = Pulse(0.0, lags_needed=2)
    pulse.spoke(100.0, 5.0)
    pulse.sister_spoke(101.1)
    assert not pulse.doubts(110.0), "not known yet"
    pulse.spoke(105.1, 5.0)
    pulse.sister_spoke(106.2)
    pulse.spoke(108.0, 3.0)
    pulse.sister_spoke(110.0)
    assert not pulse.doubts(121.9)
    assert pulse.doubts(122.0)


def test_a_stream_that_comes_back_by_itself_long_after_its_sister_called_had_a_hole() -> None:
    pulse = Pulse(0.0)
    pulse.spoke(100.0, 1.0)
    pulse.sister_spoke(101.1)
    assert pulse.spoke(101.5, 1.5) is False
    pulse.sister_spoke(103.0)
    assert pulse.spoke(107.0, 5.5) is True
    assert pulse.usual < 2.0, "a hole is no rhythm"


def test_the_time_without_a_connection_is_no_silence() -> None:
    pulse = Pulse(0.0)
    pulse.spoke(10.0, 1.0)
    pulse.listens(500.0)
    assert not pulse.doubts(510.0)
    assert pulse.doubts(548.0)
