"""The reserve: told once when it is reached, once when it is there again."""

from pathlib import Path

from recorder.capture.space import MIB, Space, free_bytes


def test_it_is_told_once_when_space_runs_short_and_once_when_there_is_enough_again() -> None:
    left = iter([900 * MIB, 511 * MIB, 300 * MIB, 530 * MIB, 600 * MIB, 600 * MIB])
    space = Space(Path(), 512, free=lambda _: next(left))
    told = [space.look() for _ in range(6)]
    assert [event and event["event"] for event in told] == [None, "disk_low", None, None, "disk_well", None]
    assert told[1] is not None
    assert "511 MiB free, less than the 512 MiB of [journal] reserve_mb" in told[1]["detail"]
    assert (space.is_low, space.free) == (False, 600 * MIB)


def test_a_reserve_of_nothing_never_warns_and_a_disk_that_does_not_say_is_no_news() -> None:
    assert Space(Path(), 0, free=lambda _: 0).look() is None
    assert Space(Path(), 512, free=lambda _: None).look() is None


def test_the_free_space_is_what_the_system_says(tmp_path: Path) -> None:
    assert (free_bytes(tmp_path) or 0) > 0
    assert free_bytes(tmp_path / "absent") is None
