"""Two clocks: the venue's by its pongs, ours by its steps."""

from recorder.capture.clock import PingClock, StepDetector

MS = 1_000_000


def test_a_pong_tells_the_venues_clock_against_ours_at_the_middle_of_the_round_trip() -> None:
    clock = PingClock()
    clock.sent(5_000 * MS)
    event = clock.pong(3, server_ms=1_000_070, receive_ns=1_000_100 * MS, monotonic_ns=5_080 * MS)
    assert event == {
        "event": "clock",
        "conn": 3,
        "server_ms": 1_000_070,
        "round_trip_ns": 80 * MS,
        "offset_ns": 10 * MS,  # ours is behind
    }


def test_pongs_answer_pings_in_their_order_and_one_that_was_not_asked_for_tells_nothing() -> None:
    clock = PingClock()
    clock.sent(0)
    clock.sent(10 * MS)
    trips = [(clock.pong(1, 5, 0, at * MS) or {}).get("round_trip_ns") for at in (30, 45)]
    assert trips == [30 * MS, 35 * MS]
    assert clock.pong(1, 5, 0, 60 * MS) is None


def test_a_pong_without_a_number_still_measures_the_way() -> None:
    clock = PingClock()
    clock.sent(0)
    assert clock.pong(1, None, 0, 150 * MS) is None
    assert clock.margin_ns == 150 * MS


def test_the_margin_is_the_round_trip_but_at_least_100_ms_and_at_most_a_second() -> None:
    clock = PingClock()
    margins = [clock.margin_ns]
    for trip in (20, 300, 9_000):
        clock.sent(0)
        clock.pong(1, 1, 0, trip * MS)
        margins.append(clock.margin_ns)
    assert margins == [100 * MS, 100 * MS, 300 * MS, 1_000 * MS]


def test_a_wall_clock_that_was_set_is_told_once() -> None:
    steps = StepDetector(0, 0)
    assert steps.look(1_000 * MS, 1_000 * MS) is None
    forward = steps.look(5_000 * MS, 2_000 * MS)
    assert forward is not None and forward["step_ns"] == 3_000 * MS
    back = steps.look(5_800 * MS, 3_000 * MS)
    assert back is not None and "back by 0.200 s" in back["detail"]
    assert steps.look(6_800 * MS, 4_000 * MS) is None


def test_slow_drift_is_no_step() -> None:
    steps = StepDetector(0, 0)
    assert all(steps.look(n * 1_050 * MS, n * 1_000 * MS) is None for n in range(1, 100))
