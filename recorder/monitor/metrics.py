"""The numbers in Prometheus' text format. What only grows is a counter and ends in `_total`; times are seconds."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from recorder.monitor.health import problems
from recorder.monitor.numbers import Numbers

DISK_STATES = ("ok", "low", "failing")
Value = float | None
Labelled = tuple[tuple[str, ...], Value]


class _Now(Collector):
    """Numbers that were read a moment ago, told once."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers

    def collect(self) -> Iterator[Metric]:
        now = self.numbers
        yield _gauge("healthy", "1 if nothing is wrong; /health says what is", not problems(now))
        yield _gauge("running_seconds", "Since capture started", now.running_seconds)
        yield _counter("gaps", "Gaps of streams since the start", now.gaps)
        yield _gauge("open_gaps", "Streams that are missing now", now.open_gaps)
        yield _gauge("live_streams", "Streams that are proved to arrive", now.live_streams)
        yield _counter("errors", "Refusals, and answers that never came", now.errors)
        yield _counter("unknown_frames", "Frames that we do not understand", now.unknown_frames)
        yield _counter("dropped_records", "Lost because the disk refused", now.dropped_records)
        yield _gauge("queued_bytes", "In memory, not yet on disk", now.queued_bytes)
        yield _gauge("writer_running", "1 if the writer process runs", now.writer_running)
        yield _gauge("writer_lag_seconds", "Age of the oldest segment that is no part yet", now.writer.lag_seconds)
        yield _gauge("segments_waiting", "Segments that are no parts yet", now.writer.segments_waiting)
        yield _gauge("journal_bytes", "Size of the journal", now.writer.journal_bytes)
        yield _gauge("disk_free_bytes", "Free space where the journal is", now.disk_free_bytes)
        states = [((state,), float(state == now.disk)) for state in DISK_STATES]
        yield _gauges("disk_state", "1 for the state that the disk is in", ("state",), states)
        yield from self._lines()
        by = ("line", "topic", "symbol")
        ages = [((s.line, s.topic, s.symbol), s.last_frame_seconds) for s in now.streams]
        frames = [((s.line, s.topic, s.symbol), float(s.frames)) for s in now.streams]
        yield _gauges("stream_last_frame_age_seconds", "Since a stream's last frame", by, ages)
        yield _counters("stream_frames", "Frames of a stream", by, frames)

    def _lines(self) -> Iterator[Metric]:
        lines, by = self.numbers.lines, ("line",)
        yield _counters("frames", "Frames received", by, [((x.name,), x.frames) for x in lines])
        yield _counters("bytes", "Bytes received", by, [((x.name,), x.bytes) for x in lines])
        yield _counters("connects", "Connections made", by, [((x.name,), x.connects) for x in lines])
        yield _gauges("connected", "1 while the line is open", by, [((x.name,), x.connected) for x in lines])
        ages = [((x.name,), x.last_frame_seconds) for x in lines]
        yield _gauges("last_frame_age_seconds", "Since the line's last frame", by, ages)
        trips = [((x.name,), x.round_trip_seconds) for x in lines]
        yield _gauges("round_trip_seconds", "Of the last ping", by, trips)
        offsets = [((x.name,), x.clock_offset_seconds) for x in lines]
        yield _gauges("clock_offset_seconds", "The venue's clock minus ours", by, offsets)


def exposition(numbers: Numbers) -> bytes:
    """Everything under the prefix `recorder_`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Now(numbers))
    return generate_latest(registry)


def _gauge(name: str, words: str, value: Value) -> Metric:
    return _gauges(name, words, (), [((), value)])


def _counter(name: str, words: str, value: float) -> Metric:
    return _counters(name, words, (), [((), value)])


def _gauges(name: str, words: str, labels: tuple[str, ...], values: Iterable[Labelled]) -> Metric:
    family = GaugeMetricFamily(f"recorder_{name}", words, labels=labels)
    for label, value in values:
        if value is not None:  # what is not known is not told
            family.add_metric(label, float(value))
    return family


def _counters(name: str, words: str, labels: tuple[str, ...], values: Iterable[Labelled]) -> Metric:
    family = CounterMetricFamily(f"recorder_{name}", words, labels=labels)
    for label, value in values:
        if value is not None:
            family.add_metric(label, float(value))
    return family
