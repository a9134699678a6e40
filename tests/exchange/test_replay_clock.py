"""Time passes as wished, and never past what was not played."""

import math

from recorder.exchange.replay_clock import PushTime, ReplayClock

SECOND = 1_000_000_000
START = 1_790_128_268 * SECOND


class Watch:
    now = 0

    def __call__(self) -> int:
        return self.now


def test_it_runs_at_its_speed_up_to_the_limit() -> None:
    watch = Watch()
    clock = ReplayClock(START, 10.0, watch)
    clock.begin()
    clock.limit = START + 60 * SECOND
    watch.now = 2 * SECOND
    assert clock.now() == START + 20 * SECOND
    assert clock.seconds_until(START + 50 * SECOND) == 3.0
    watch.now = 20 * SECOND
    assert clock.now() == clock.limit
    assert clock.seconds_until(START + 100 * SECOND) == 0.0  # it is late and catches up


def test_what_held_it_does_not_count() -> None:
    watch = Watch()
    clock = ReplayClock(START, 1.0, watch)
    clock.begin()
    watch.now = 30 * SECOND
    clock.go_on(START + SECOND)
    clock.limit = START + 99 * SECOND
    watch.now = 31 * SECOND
    assert clock.now() == START + 2 * SECOND


def test_at_full_speed_it_goes_from_entry_to_entry() -> None:
    clock = ReplayClock(START, math.inf)
    assert clock.now() == START
    clock.begin()
    clock.limit = START + 5
    assert clock.now() == START + 5
    assert clock.seconds_until(START + 5) == 0.0
    assert clock.seconds_until(START + 6) > 0.0  # nobody knows; look again


def test_a_push_says_its_own_time_and_the_servers_fault() -> None:
    clock = ReplayClock(START, math.inf)
    time = PushTime(clock)
    assert time.said_ms() == START // 1_000_000
    time.send_ms = 5
    clock.wrong_ms = 2
    assert time.said_ms() == 7
