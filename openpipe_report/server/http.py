"""
Runs the receiver: binds a socket, serves on it, and finishes open requests at the end.

The socket is bound first, so that a wrong address or a port in use is a plain `OSError`, and the
number of a free port is known before the server starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

import uvicorn

from openpipe_report.server.accepting import Acceptor
from openpipe_report.server.connection import Connection
from openpipe_report.server.refusal_log import RefusalLog
from openpipe_report.server.routes import BASE_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    from openpipe_report.server.app import Receiver

GRACE = 5
"""Seconds that requests in progress have to finish after a signal to stop."""

_SWEEP = 1.0
"""Most seconds between two searches for connections whose deadline has passed."""

_BACKLOG = 1_024


def is_loopback(host: str) -> bool:
    """Whether every address of the host is a loopback one, out of reach for other machines."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return all(ipaddress.ip_address(_bare(address[4][0])).is_loopback for address in found)


def listen(host: str, port: int) -> socket.socket:
    """
    Bind a socket and listen on it; port 0 takes a free port.

    Raises:
        OSError: The address is not one of this machine's, or the port is in use or not permitted.

    """
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # Not socket.create_server(): its sockets have protocol 0, and asyncio then leaves Nagle's
    # algorithm on, which delays each answer by 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def base_url(listener: socket.socket, host: str | None = None) -> str:
    """Return the base URL for clients, with `host` or else the socket's address in it."""
    address, port = listener.getsockname()[:2]
    name = host or str(address)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}{BASE_PATH}"


def serve(
    app: Receiver,
    listener: socket.socket,
    on_ready: Callable[[], None],
    on_second: Callable[[], None] | None = None,
) -> None:
    """
    Serve until SIGINT or SIGTERM, then finish open requests within `GRACE` seconds.

    Args:
        app: An app of `create_app`; it is closed at the end.
        listener: A socket of `listen`; it is closed at the end.
        on_ready: Called once, when the server answers requests.
        on_second: Called about once a second, on the thread that serves.

    """
    server = _Server(app, on_ready, on_second)

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn raises the signal again after its shutdown; this handler makes that harmless.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with contextlib.closing(app):
        server.run([listener])


@contextlib.contextmanager
def serving(app: Receiver, host: str = "127.0.0.1", port: int = 0) -> Generator[str, None, None]:
    """
    Serve on a thread while the block runs; yields the base URL once requests are answered.

    For tests and notebooks. Use `serve` in a process of its own.

    Raises:
        OSError: As in `listen`.

    """
    ready = threading.Event()
    listener = listen(host, port)
    server = _Server(app, ready.set)

    def run() -> None:
        try:
            server.run([listener])
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="openpipe-report-serve")
    thread.start()
    try:
        ready.wait()
        yield base_url(listener)
    finally:
        server.should_exit = True
        thread.join()
        app.close()


class _Server(uvicorn.Server):
    """uvicorn's server with an accept loop and connections of our own."""

    def __init__(
        self,
        app: Receiver,
        on_ready: Callable[[], None],
        on_second: Callable[[], None] | None = None,
    ) -> None:
        self._app = app
        self._on_ready = on_ready
        self._on_second = on_second
        self._refusals = RefusalLog(app.traffic)
        self._acceptors: list[Acceptor] = []
        self._sweep: asyncio.Task[None] | None = None
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                lifespan="off",
                ws="none",
                log_config=None,
                log_level=logging.ERROR,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                # The sweep closes idle connections.
                timeout_keep_alive=int(app.limits.timeout) + 1,
                timeout_graceful_shutdown=GRACE,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections on the given sockets; replaces uvicorn's own accept loop."""
        await self.lifespan.startup()
        self._app.site.start()

        def make_protocol() -> asyncio.Protocol:
            return Connection(
                limits=self._app.limits,
                traffic=self._app.traffic,
                config=self.config,
                server_state=self.server_state,
                app_state={},
            )

        limit = self._app.limits.max_connections
        for listener in sockets or []:
            acceptor = Acceptor(listener, make_protocol, limit, self._app.traffic)
            self._acceptors.append(acceptor)
        self.servers = self._acceptors  # type: ignore[assignment]
        self._sweep = asyncio.get_running_loop().create_task(self._close_late_connections())
        self.started = True
        self._on_ready()

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            self._refusals.log_if_due()
            if self._on_second is not None:
                self._on_second()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.site.stop()
        await super().shutdown(sockets)
        if self._sweep is not None:
            self._sweep.cancel()
        self._refusals.log()

    async def _close_late_connections(self) -> None:
        pause = min(_SWEEP, self._app.limits.timeout / 4)
        while True:
            await asyncio.sleep(pause)
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.close_if_late(now)


def _bare(address: str | int) -> str:
    return str(address).partition("%")[0]
