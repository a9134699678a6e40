"""The ledger: every frame put on a socket, written down as it is sent. The lake is compared with it.

One JSON line a frame or event, each with one write and no buffer, so a killed exchange has written
all it said. The frame's own bytes are spliced in; nothing is encoded twice. A frame that a fault kept
back is an event `withheld`, never a frame.
"""

import os
import time
from pathlib import Path
from typing import Any

import orjson

from recorder.exchange.errors import ExchangeError


class Ledger:
    """Appends to `path`; without a path it writes nothing and costs nothing."""

    def __init__(self, path: Path | None) -> None:
        self._file: int | None = None
        if path is None:
            return
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise ExchangeError(
                f"--ledger {path}: {error.strerror}; give a file in a folder that can be written"
            ) from error

    def frame(self, connection: int, api: str, payload: bytes) -> None:
        """Write down one frame (a JSON document) that is about to be sent."""
        if self._file is not None:
            head = f'{{"conn": {connection}, "api": "{api}", "sent_ns": {time.time_ns()}, "frame": '
            os.write(self._file, b"%b%b}\n" % (head.encode(), payload))

    def withheld(self, connection: int, api: str, fault: int, payload: bytes) -> None:
        """Write down a frame that was due and that `fault` kept from the socket."""
        if self._file is not None:
            head = (
                f'{{"conn": {connection}, "event": "withheld", "at_ns": {time.time_ns()}, "api": "{api}", '
                f'"fault": {fault}, "withheld": '
            )
            os.write(self._file, b"%b%b}\n" % (head.encode(), payload))

    def event(self, connection: int, event: str, **more: Any) -> None:
        """Write down what happened to a connection; connection 0 is the exchange itself, or all."""
        if self._file is not None:
            extra = "".join(f', "{key}": {orjson.dumps(value).decode()}' for key, value in more.items())
            line = f'{{"conn": {connection}, "event": "{event}", "at_ns": {time.time_ns()}{extra}}}\n'
            os.write(self._file, line.encode())

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
