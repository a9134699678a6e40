"""What Prometheus reads, read by its own parser."""

from prometheus_client.parser import text_string_to_metric_families

from recorder.monitor.metrics import exposition
from recorder.monitor.numbers import Numbers
from tests.monitor.examples import WELL, but, line


def samples(numbers: Numbers) -> dict[tuple[str, ...], float]:
    """(name, label values in this order) -> value"""
    order = ("line", "state", "topic", "symbol")
    return {
        (sample.name, *(sample.labels[label] for label in order if label in sample.labels)): sample.value
        for family in text_string_to_metric_families(exposition(numbers).decode())
        for sample in family.samples
    }


def test_numbers_become_samples_in_seconds_and_bytes() -> None:
    found = samples(WELL)
    expected = {
        ("recorder_healthy",): 1,
        ("recorder_gaps_total",): 2,
        ("recorder_open_gaps",): 0,
        ("recorder_writer_lag_seconds",): 0,
        ("recorder_journal_bytes",): 70_000,
        ("recorder_disk_free_bytes",): 5e9,
        ("recorder_frames_total", "ws_v2"): 1_000,
        ("recorder_bytes_total", "ws_v2"): 250_000,
        ("recorder_connected", "ws_v2"): 1,
        ("recorder_last_frame_age_seconds", "ws_v2"): 0.4,
        ("recorder_clock_offset_seconds", "ws_v2"): -0.001,
        ("recorder_stream_last_frame_age_seconds", "ws_v2", "depth", "BTCUSD"): 0.7,
        ("recorder_stream_frames_total", "ws_v2", "depth", "BTCUSD"): 600,
    }
    assert {key: found[key] for key in expected} == expected


def test_the_disk_is_in_one_state_of_three() -> None:
    found = samples(but(disk="low"))
    assert [found["recorder_disk_state", state] for state in ("ok", "low", "failing")] == [0, 1, 0]
    assert found["recorder_healthy",] == 0


def test_what_is_not_known_is_not_told() -> None:
    found = samples(line(last_frame_seconds=None, round_trip_seconds=None))
    assert ("recorder_last_frame_age_seconds", "ws_v2") not in found
    assert ("recorder_round_trip_seconds", "ws_v2") not in found
    assert ("recorder_frames_total", "ws_v2") in found
