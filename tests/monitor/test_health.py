"""When it complains, and what it then says."""

import pytest

from recorder.monitor.health import problems
from recorder.monitor.numbers import Numbers, Writer
from tests.monitor.examples import WELL, but, line


def test_a_recorder_that_is_well_has_no_problems() -> None:
    assert problems(WELL) == []


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        (but(disk="low", disk_detail="less space is free"), "disk low: less space is free"),
        (but(disk="failing", disk_detail="No space left on device"), "disk failing: No space left on device"),
        (line(connected=False, last_frame_seconds=61.0), "line ws_v2: not connected, no frame for 61 s"),
        (line(last_frame_seconds=75.0), "line ws_v2: open but silent, no frame for 75 s"),
        (line(connected=False, last_frame_seconds=None), "line ws_v2: not connected, no frame for 3600 s"),
        (but(live_streams=0, rest_error="status 503"), "no stream is live: status 503"),
        (but(writer=Writer(9, 130.0, 1)), "writer: 130 s behind with 9 segments; see the log"),
        (
            but(writer=Writer(9, 130.0, 1), writer_running=False),
            "writer: 130 s behind with 9 segments and does not run; see the log",
        ),
    ],
)
def test_each_thing_that_is_wrong_is_one_sentence(numbers: Numbers, says: str) -> None:
    assert problems(numbers) == [says]


@pytest.mark.parametrize(
    "numbers",
    [
        line(connected=False, last_frame_seconds=59.0),
        but(writer=Writer(3, 45.0, 1)),
        but(writer_running=False),
        but(live_streams=0, running_seconds=20.0),
        but(open_gaps=3, dropped_records=1, rest_ok=False, rest_error="status 503"),
    ],
    ids=["a cut line", "a busy writer", "a writer that starts again", "the first seconds", "what has its own record"],
)
def test_what_mends_itself_or_is_on_record_is_no_alarm(numbers: Numbers) -> None:
    assert problems(numbers) == []
