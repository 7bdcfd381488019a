"""
Runs the receiver: binds a socket, serves on it, and finishes open requests at the end.

The socket is bound first, so that a wrong address or a port in use is a plain `OSError`, and the
number of a free port is known before the server starts.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING

import uvicorn

from openpipe_report.server.app import BASE_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    from fastapi import FastAPI

GRACE = 5
"""Seconds that requests in progress have to finish after a signal to stop."""

_KEEP_ALIVE = 75
"""Seconds before an idle connection is closed; clients close theirs earlier."""

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


def serve(app: FastAPI, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """
    Serve until SIGINT or SIGTERM, then finish open requests within `GRACE` seconds.

    Args:
        app: An app of `create_app`.
        listener: A socket of `listen`; it is closed at the end.
        on_ready: Called once, when the server answers requests.

    """
    server = _Server(app, on_ready)

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn raises the signal again after its shutdown; this handler makes that harmless.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    server.run([listener])


@contextlib.contextmanager
def serving(app: FastAPI, host: str = "127.0.0.1", port: int = 0) -> Generator[str, None, None]:
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


class _Server(uvicorn.Server):
    def __init__(self, app: FastAPI, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=GRACE,
            )
        )
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


def _bare(address: str | int) -> str:
    return str(address).partition("%")[0]
