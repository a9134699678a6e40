from recorder.exchange.clock import Clock


def test_the_clock_stands_until_it_begins_and_then_runs_at_its_speed() -> None:
    ours = [0]
    clock = Clock(1_000, speed=20.0, monotonic=lambda: ours[0])
    ours[0] = 50
    assert clock.now() == 1_000
    clock.begin()
    ours[0] = 60
    assert clock.now() == 1_000 + 20 * 10
    clock.begin()  # a second time changes nothing
    assert clock.now() == 1_200


def test_it_can_be_begun_late_as_if_it_had_been_begun_in_time() -> None:
    clock = Clock(1_000, speed=2.0, monotonic=lambda: 70)
    clock.begin(at=50)
    assert clock.now() == 1_000 + 2 * 20


def test_waiting_is_in_our_seconds() -> None:
    clock = Clock(0, speed=4.0, monotonic=lambda: 0)
    clock.begin()
    assert clock.seconds_until(2_000_000_000) == 0.5
    assert clock.seconds_until(-5) == 0.0
