"""
A connection of our own to the server: a socket, kept between requests.

httpcore's takes twenty times the CPU of the socket for a request and its answer: it is made for any
request and any number of threads. This one sends one kind of request, from one thread. Tools that
replace httpx's transports or httpcore's pools (pytest-httpx, respx, VCR.py) neither see it nor give
it the answers meant for the user's calls.
"""

from __future__ import annotations

import math
import select
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx

from openpipe_report._delivery.attempt import Pace
from openpipe_report._delivery.http_answer import read_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openpipe_report._delivery.attempt import Attempt
    from openpipe_report._delivery.http_answer import Answer

KEEP_ALIVE = 5.0
"""Seconds that an idle connection is kept."""

TRUSTED = 0.05
"""Seconds after an answer in which the connection is assumed to be open: a check is a step more."""

_RECEIVED = 64 * 1024
_COPIED = 64 * 1024
"""Bytes of a body that are joined with the head, to be sent in one step."""

_WANTS_READ = (BlockingIOError, ssl.SSLWantReadError)
_WANTS_WRITE = (BlockingIOError, ssl.SSLWantWriteError)


class DirectConnection:
    """
    Sends requests to one server, one after the other; of one thread.

    Its socket does not block. Each call of a socket's method releases the interpreter's lock, and
    where other threads compute it takes 5 ms to get it back. So a step is tried first, and waited
    for only if it could not be made. A blocking socket with a timeout releases the lock three times
    as often.

    Args:
        urls: What is posted to, by the path below the base URL; of one server.
        headers: Of every request, as they are sent; `Host` among them.
        ssl_context: For https; None for http.
    """

    def __init__(
        self,
        urls: Mapping[str, httpx.URL],
        headers: list[tuple[bytes, bytes]],
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        url = next(iter(urls.values()))
        port = url.port
        if port is None:
            port = 80 if ssl_context is None else 443
        self._address = (url.raw_host.decode("ascii"), port)
        self._ssl_context = ssl_context
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self._heads = {
            path: b"POST %b HTTP/1.1\r\n%b" % (each.raw_path, lines) for path, each in urls.items()
        }
        self._socket: socket.socket | None = None
        self._idle_since = 0.0
        self._pace = Pace()

    def post(self, attempt: Attempt) -> Answer:
        """
        Send a report and read the answer.

        Raises:
            httpx.TransportError: No answer came; the kind and its text say why.
        """
        self._pace.begin(attempt)
        idle = attempt.began - self._idle_since
        if idle > KEEP_ALIVE or (idle > TRUSTED and self._was_closed()):
            self.close()
        try:
            if self._socket is None:
                self._socket = self._connect(attempt)
            answer = self._exchange(self._socket, attempt)
        except BaseException:
            self.close()
            raise
        if not answer.is_reusable:
            self.close()
        self._idle_since = time.monotonic()
        self._pace.end(attempt)
        return answer

    def _was_closed(self) -> bool:
        """
        Return whether the server has closed the idle connection, or has sent more over it.

        What it has sent is not the answer to the next request: most often a 408 before it closed.
        """
        if self._socket is None:
            return False
        try:
            self._socket.recv(1)
        except _WANTS_READ:
            return False
        except OSError:
            return True
        return True

    def _connect(self, attempt: Attempt) -> socket.socket:
        attempt.on_wait()
        timeout = attempt.limit(attempt.connect_timeout, httpx.ConnectTimeout)
        connected: socket.socket | None = None
        try:
            connected = socket.create_connection(self._address, timeout)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._ssl_context is not None:
                connected.settimeout(attempt.limit(attempt.connect_timeout, httpx.ConnectTimeout))
                host = self._address[0]
                connected = self._ssl_context.wrap_socket(connected, server_hostname=host)
            connected.setblocking(False)  # noqa: FBT003 - its API
        except BaseException as error:
            if connected is not None:
                connected.close()
            if isinstance(error, TimeoutError):
                raise httpx.ConnectTimeout(str(error)) from error
            if isinstance(error, OSError):
                raise httpx.ConnectError(str(error)) from error
            raise
        return connected

    def _exchange(self, connected: socket.socket, attempt: Attempt) -> Answer:
        try:
            self._send(connected, attempt)
        except httpx.WriteError as error:
            # A server that refuses a report may answer and close before it has read all of it.
            with suppress(httpx.TransportError):
                answer = self._read(connected, attempt)
                if answer.status >= 400:  # noqa: PLR2004 - the refusals
                    return replace(answer, is_reusable=False)
            raise error from error.__cause__
        return self._read(connected, attempt)

    def _send(self, connected: socket.socket, attempt: Attempt) -> None:
        key = attempt.idempotency_key
        if not (key.isascii() and key.isprintable()):
            raise httpx.LocalProtocolError("the idempotency key cannot be a header")
        length = len(attempt.body)
        head = self._heads[attempt.path] + b"Idempotency-Key: %b\r\nContent-Length: %d\r\n\r\n" % (
            key.encode(),
            length,
        )
        pieces = [head + attempt.body] if length <= _COPIED else [head, attempt.body]
        try:
            for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    rest = rest[_send_some(connected, rest, attempt) :]
        except OSError as error:
            raise httpx.WriteError(str(error)) from error

    def _read(self, connected: socket.socket, attempt: Attempt) -> Answer:
        def receive(timeout: float) -> bytes:
            while True:
                try:
                    return connected.recv(_RECEIVED)
                except _WANTS_READ:
                    if not _wait(connected, timeout, to_send=False):
                        raise httpx.ReadTimeout("timed out") from None

        try:
            return read_answer(lambda: self._pace.receive(attempt, receive, httpx.ReadTimeout))
        except OSError as error:
            raise httpx.ReadError(str(error)) from error

    def close(self) -> None:
        """Close the connection; a later request opens another."""
        closed, self._socket = self._socket, None
        if closed is not None:
            with suppress(OSError):
                closed.close()


def _send_some(connected: socket.socket, rest: memoryview, attempt: Attempt) -> int:
    """Send as much as the socket takes, once it takes any; return how many bytes."""
    while True:
        try:
            return connected.send(rest)
        except _WANTS_WRITE:
            left = attempt.limit(attempt.read_timeout, httpx.WriteTimeout)
            if not _wait(connected, left, to_send=True):
                raise httpx.WriteTimeout("timed out") from None


def _wait(connected: socket.socket, timeout: float, *, to_send: bool) -> bool:
    """Wait so many seconds until the next step can be made; False if it cannot."""
    if not hasattr(select, "poll"):  # Windows
        sides = ([], [connected]) if to_send else ([connected], [])
        return any(select.select(*sides, [], timeout))
    poller = select.poll()
    poller.register(connected, select.POLLOUT if to_send else select.POLLIN)
    return bool(poller.poll(math.ceil(timeout * 1_000)))
