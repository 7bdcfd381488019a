"""
Accepts connections up to a bound.

asyncio's own accept loop takes every connection that comes; without file descriptors it logs an
error for each attempt, many thousands a second. Here one connection is accepted at a time. Beyond
the bound it is answered with 503 and closed, and without a file descriptor the loop rests.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from openpipe_report.server.connection import raw_answer
from openpipe_report.server.errors import unavailable
from openpipe_report.server.seldom_log import SeldomLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report.server.traffic import Traffic

RESERVED_FILES = 64
"""File descriptors that are not used for connections: database, log, large bodies, start-up."""
REST = 0.5
"""Seconds between two attempts to accept a connection while there are no file descriptors."""

_FULL = unavailable("The receiver has too many connections: try again later")


def bound_by_files(max_connections: int) -> int:
    """Return the bound, or less if the process may not open as many files; at least 1."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return max_connections
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return max_connections
    return max(1, min(max_connections, soft - RESERVED_FILES))


class Acceptor:
    """
    Accepts the connections of one listening socket, as a task of the running loop.

    Args:
        listener: The socket; it is not closed.
        make_protocol: Makes the protocol of a connection.
        max_connections: The bound; `bound_by_files` lowers it.
        traffic: Its `connections` are compared with the bound.

    """

    def __init__(
        self,
        listener: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        max_connections: int,
        traffic: Traffic,
    ) -> None:
        self._listener = listener
        self._make_protocol = make_protocol
        self._bound = bound_by_files(max_connections)
        self._traffic = traffic
        self._log = SeldomLog()
        listener.setblocking(False)  # noqa: FBT003
        self._task = asyncio.get_running_loop().create_task(self._accept())

    def close(self) -> None:
        """Accept no more connections; open ones are left."""
        self._task.cancel()

    async def wait_closed(self) -> None:
        """Wait until the task has ended."""
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._listener)
            except ConnectionError:
                continue  # the client has gone meanwhile
            except OSError as error:
                self._log.write("cannot accept connections", error.strerror)
                await asyncio.sleep(REST)
                continue
            if self._traffic.connections >= self._bound:
                self._refuse(accepted)
            else:
                try:
                    await loop.connect_accepted_socket(self._make_protocol, accepted)
                except OSError:
                    accepted.close()
            # `sock_accept` does not wait while connections are queued: let the open ones run.
            await asyncio.sleep(0)

    def _refuse(self, accepted: socket.socket) -> None:
        self._traffic.count_refused_connection(503)
        with accepted, contextlib.suppress(OSError):
            accepted.setblocking(False)  # noqa: FBT003
            accepted.send(raw_answer(_FULL))
            accepted.shutdown(socket.SHUT_WR)
            # What is left unread makes the system reset the connection, and the answer is lost.
            accepted.recv(2**16)
