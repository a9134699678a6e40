"""Nanoseconds and naive UTC datetimes, back and forth. Text is for people, and keeps every digit that matters."""

from datetime import datetime, timedelta

EPOCH = datetime(1970, 1, 1)
SECOND_NS = 1_000_000_000


def to_ns(moment: datetime) -> int:
    """Unix ns of a naive UTC datetime."""
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


def to_datetime(ns: int) -> datetime:
    """Naive UTC, cut to the microsecond."""
    return EPOCH + timedelta(microseconds=ns // 1000)


def text(ns: int) -> str:
    """ISO 8601, UTC, as a command line takes it."""
    return to_datetime(ns).isoformat() + "Z"


def seconds(ns: int) -> str:
    """A length of time for people."""
    return f"{ns / 1e6:.3f} ms" if abs(ns) < SECOND_NS else f"{ns / 1e9:.3f} s"
