"""A replay on the bench: a small lake, the real hub at full speed, and clients without a network."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from recorder.exchange.ledger import Ledger
from recorder.exchange.replay_clock import ReplayClock
from recorder.exchange.replay_hub import ReplayHub
from recorder.exchange.replay_options import ReplayOptions
from recorder.exchange.replay_tape import Tape
from tests.exchange.bench import Client
from tests.lake.helpers import OWN, Row, empty_lake, ns, write

PATIENCE_SECONDS = 20.0


def lake(root: Path, **tables: Iterable[Row]) -> Path:
    """A lake of these rows."""
    empty_lake(root)
    for name, rows in tables.items():
        written = list(rows)
        if written:
            write(root, name, written)
    return root


def line(seq: int, seconds: float, event: str, number: int = 0, conn: int = 1, session: str = "s1") -> Row:
    """A session row of a recorder's line."""
    detail = f'{{"conn":{conn},"line":{number}}}' if number else "{}"
    own = OWN | {"symbol": "", "event": event, "detail": detail, "session": session}
    return {"seq": seq, "receive_ns": ns(seconds)} | own


class Stage:
    """A hub that plays a lake to clients that the test holds."""

    def __init__(self, root: Path, **options: Any) -> None:
        asked = ReplayOptions(root, **({"speed": math.inf, "settle_seconds": 0.0} | options))
        self.tape = Tape(asked)
        self.clock = ReplayClock(self.tape.start_ns, asked.speed)
        self.ledger = Ledger(asked.ledger)
        self.hub = ReplayHub(self.tape, self.clock, self.ledger, asked)
        self.clients: list[Client] = []
        self.hub.connections = lambda: [client.connection for client in self.clients]

    def client(self, api: str, buffer_limit: int = 1 << 20) -> Client:
        made = Client(self.hub, api, len(self.clients) + 1, self.ledger, buffer_limit)
        self.clients.append(made)
        return made

    async def play(self, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        """To the end, while something else happens."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            playing = asyncio.create_task(self.hub.run())
            if meanwhile is not None:
                await meanwhile()
            await playing

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the replay go on until the condition holds; `play` limits the time."""
        while not condition():  # noqa: ASYNC110 there is no event for every condition
            await asyncio.sleep(0.001)
