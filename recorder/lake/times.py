"""Times as people give them: ISO text, date or datetime; naive means UTC, and inside the lake all are naive UTC."""

from datetime import UTC, date, datetime, time, timedelta

from recorder.errors import LakeError

Moment = str | date | datetime | None
SLACK = timedelta(days=1)  # a row's arrival (its file's date) may lie this far from its exchange time


def moment(value: Moment) -> datetime | None:
    """`value` as naive UTC; None stays None. Raises LakeError for text that is no time."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise LakeError(f"{value!r} is not a time; write it as 2026-03-01 or 2026-03-01T12:00:00Z") from error
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, date):
        return datetime.combine(value, time())
    return value


def literal(value: datetime) -> str:
    """As SQL: a literal, not a parameter, so that the planner can choose files by it."""
    return f"TIMESTAMP '{value:%Y-%m-%d %H:%M:%S.%f}'"


def within(column: str, start: datetime | None, end: datetime | None) -> list[str]:
    """Conditions for start <= column < end."""
    low = [f"{column} >= {literal(start)}"] if start else []
    return low + ([f"{column} < {literal(end)}"] if end else [])


def dates(start: datetime | None, end: datetime | None) -> list[str]:
    """The same in dates of arrival, with SLACK: what lets a query read only the files that it needs."""
    low = [f"date >= DATE '{start - SLACK:%Y-%m-%d}'"] if start else []
    return low + ([f"date <= DATE '{end + SLACK:%Y-%m-%d}'"] if end else [])
