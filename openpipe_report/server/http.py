"""
A socket, a server on it, and a clean end.

The socket is bound before anything else, so that a wrong address or a taken port is a plain
`OSError`, and port 0 has its number before the server starts.
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
"""Seconds that requests under way have to finish once a stop is asked for."""

_KEEP_ALIVE = 75
"""Seconds that an idle connection is kept, longer than clients keep theirs."""

_BACKLOG = 1_024


def is_loopback(host: str) -> bool:
    """Whether every address of the host is reached from this machine only."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return all(ipaddress.ip_address(_bare(address[4][0])).is_loopback for address in found)


def listen(host: str, port: int) -> socket.socket:
    """
    Bind and listen; port 0 takes a free one.

    Raises:
        OSError: The address is not this machine's, the port is taken or not allowed.

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
    """Return the URL that clients use as their base URL, named by `host` or the address."""
    address, port = listener.getsockname()[:2]
    name = host or str(address)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}{BASE_PATH}"


def serve(app: FastAPI, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """
    Serve until SIGINT or SIGTERM, then finish the requests under way (at most `GRACE` seconds).

    Args:
        app: What `create_app` returned.
        listener: What `listen` returned; closed at the end.
        on_ready: Called once requests are answered.

    """
    server = _Server(app, on_ready)

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn raises the signal again after its own clean end; this handler makes that harmless.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    server.run([listener])


@contextlib.contextmanager
def serving(app: FastAPI, host: str = "127.0.0.1", port: int = 0) -> Generator[str, None, None]:
    """
    Serve on a thread while the block runs; yields the base URL, once requests are answered.

    For tests and notebooks; `serve` is for a process of its own.

    Raises:
        OSError: As `listen` does.

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
