"""SIGTERM and SIGINT before anything runs that could answer them: remembered from the first line of our code on.

Loading takes a large part of a second. A service manager that changes its mind in that time must see a clean end,
not a traceback or a status of -15; so nothing here may import what takes time.
"""

import signal

ASKED_TO_END = (signal.SIGTERM, signal.SIGINT)
_heard: list[int] = []


def listen() -> None:
    """From now on a signal ends nothing by itself: who called asks `was_heard`, until asyncio's handlers take over."""
    for number in ASKED_TO_END:
        signal.signal(number, lambda number, _: _heard.append(number))


def was_heard() -> bool:
    return bool(_heard)
