"""Logs: one event with fields per thing that happened, on stderr; coloured for people, JSON otherwise."""

import logging
import sys

import structlog


def set_up_logs(level: int = logging.INFO) -> None:
    """JSON lines when stderr is not a terminal, so that a log collector can read them."""
    people = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks if not people else structlog.processors.StackInfoRenderer(),
            structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
