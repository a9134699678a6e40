"""The network side: one port for REST and both sockets, and the rule when a silent line is cut.

The venue never sends a close frame: an idle line, a reader that is too slow and the end of the
exchange all look the same to a client, a plain 1006.
"""

import asyncio
import itertools
import secrets
import socket as sockets
import time
from collections.abc import Callable

from aiohttp import WSMsgType, web

from recorder.exchange.connection import Connection
from recorder.exchange.errors import ExchangeError
from recorder.exchange.hub import Hub
from recorder.exchange.injector import Injector
from recorder.exchange.ledger import Ledger
from recorder.exchange.rest import Rest, answer, routes, unknown
from recorder.exchange.v1_requests import V1Requests
from recorder.exchange.v2_requests import V2Requests

LARGEST_REQUEST = 64 * 1024
KERNEL_BUFFER = 256 * 1024
Handle = Callable[[Connection, str | bytes], None]


class Server:
    """Serves one hub; idle limits are wall-clock seconds."""

    def __init__(
        self,
        hub: Hub,
        ledger: Ledger,
        idle_v1_seconds: float,
        idle_v2_seconds: float,
        buffer_limit: int,
        faults: Injector | None = None,
    ) -> None:
        self._hub = hub
        self._ledger = ledger
        self._idle_v1_seconds = idle_v1_seconds
        self._idle_v2_seconds = idle_v2_seconds
        self._buffer_limit = buffer_limit
        self._faults = faults
        self._numbers = itertools.count(1)
        self._connections: set[Connection] = set()
        self._routes = routes(Rest(hub))
        self._handles: dict[str, Handle] = {"v1": V1Requests(hub).handle, "v2": V2Requests(hub).handle}
        self._runner: web.AppRunner | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises ExchangeError if it cannot be had."""
        app = web.Application()
        app.router.add_get("/quote/ws/v1", self._socket_v1)
        app.router.add_get("/quote/ws/v2", self._socket_v2)
        app.router.add_route("*", "/{path:.*}", self._rest)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ExchangeError(
                f"cannot listen on {host}:{port}: {error.strerror}; choose another --port, or 0 for any free one"
            ) from error
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        for connection in list(self._connections):
            connection.cut("exchange closed")
        if self._runner is not None:
            await self._runner.cleanup()

    async def watch_idle(self) -> None:
        """Cut the lines that have been silent too long; runs until cancelled."""
        pause = min(self._idle_v1_seconds, self._idle_v2_seconds, 10.0) / 20
        while True:
            await asyncio.sleep(pause)
            now = time.monotonic()
            for connection in list(self._connections):
                if not connection.is_deaf and self._is_idle(connection, now):
                    connection.cut("idle")

    def _is_idle(self, connection: Connection, now: float) -> bool:
        """V1 counts both directions; V2 only what the client sends."""
        if connection.api == "v1":
            return now - max(connection.last_heard, connection.last_said) >= self._idle_v1_seconds
        return now - connection.last_heard >= self._idle_v2_seconds

    async def _rest(self, request: web.Request) -> web.Response:
        if self._faults is not None and (instead := await self._faults.answer(request)) is not None:
            return instead
        route = self._routes.get(request.path)
        response = unknown(request.path) if route is None else answer(route, request.query)
        response.headers["traceid"] = secrets.token_hex(16)
        return response

    async def _socket_v1(self, request: web.Request) -> web.StreamResponse:
        return await self._socket(request, "v1")

    async def _socket_v2(self, request: web.Request) -> web.StreamResponse:
        return await self._socket(request, "v2")

    async def _socket(self, request: web.Request, api: str) -> web.StreamResponse:
        faults = self._faults
        if faults is not None and (instead := await faults.turn_away(request, api)) is not None:
            return instead
        # Protocol pings are answered by hand, because they must not count as the client speaking. So is a
        # close frame: when it answers our own, the line just ends.
        socket = web.WebSocketResponse(compress=False, autoping=False, autoclose=False, max_msg_size=LARGEST_REQUEST)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        # A small buffer in the kernel, so that what a client leaves unread is ours to count.
        transport.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, KERNEL_BUFFER)
        epoch = 0 if faults is None else faults.epoch
        number = next(self._numbers)
        connection = Connection(number, api, transport, self._ledger, self._buffer_limit, faults, epoch)
        self._connections.add(connection)
        handle = self._handles[api]
        try:
            while True:
                message = await socket.receive()
                if connection.is_deaf and message.type in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING):
                    continue  # it had been read before the line became half-open
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    connection.last_heard = time.monotonic()
                    handle(connection, message.data)
                elif message.type is WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type is not WSMsgType.PONG:
                    break
        except ConnectionError:
            pass  # the line broke while we answered a ping
        finally:
            self._connections.discard(connection)
            (self._hub.v1_clients if api == "v1" else self._hub.v2_clients).remove_all(connection)
            if connection.is_deaf or not connection.is_open:
                transport.close()  # nothing more is said on a line that we have ended
            connection.closed()
        return socket
