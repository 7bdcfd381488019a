"""
One HTTP connection: uvicorn's protocol over httptools, with deadlines and the API's errors.

A connection always has a deadline, except while an answer is being made: for the head of a request,
for its body, for the next request, and for a client that does not read its answer. One sweep a
second closes the connections whose deadline has passed, so a request costs no timer.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openpipe_report.server.errors import ApiError, unavailable

if TYPE_CHECKING:
    import asyncio

    from openpipe_report.server.limits import Limits
    from openpipe_report.server.traffic import Traffic

_REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
_VERSION = b"HTTP/1.1 "
_CONTINUE = b"HTTP/1.1 100 "
_STOPPING = "The receiver is stopping: try again later"


def raw_answer(error: ApiError) -> bytes:
    """Return an error as the bytes of an HTTP answer after which the connection is closed."""
    body = error.to_json().encode()
    head = [
        f"HTTP/1.1 {error.status} {_REASONS[error.status]}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *(f"{name.lower()}: {value}" for name, value in (error.headers or {}).items()),
        "connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


class _JoinedWrites:
    """
    The transport that an answer is written to: its head goes out with the first piece of its body.

    uvicorn writes them apart, which costs a system call and a packet more for each request.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head or data.startswith(_CONTINUE):
            self._transport.write(self._head + data)
            self._head = b""
        elif data.startswith(_VERSION):
            self._head = data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class Connection(HttpToolsProtocol):
    """
    A connection of one server.

    Args:
        limits: The times, and the size of a head.
        traffic: Counts the connection, and requests that are refused here.
        arguments: uvicorn's own.

    """

    def __init__(self, *, limits: Limits, traffic: Traffic, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._limits = limits
        self._traffic = traffic
        self._deadline: float | None = None
        self._body_from = 0.0
        self._body_bytes = 0
        self._head_bytes = 0
        self._in_head = False

    def close_if_late(self, now: float) -> None:
        """Close the connection if its deadline is before `now`, by `time.monotonic()`."""
        if self._deadline is None or now < self._deadline:
            return
        self._deadline = None
        if self._in_head:
            self._refuse(ApiError(408, f"The head took longer than {self._limits.timeout:g} s"))
        elif self._awaits_body():
            self._refuse(ApiError(408, "The body came too slowly"))
        else:
            self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._answers = _JoinedWrites(transport)
        self._traffic.connections += 1
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._traffic.connections -= 1
        self._deadline = None

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self._limits.max_head_bytes:
            limit = self._limits.max_head_bytes
            self._refuse(ApiError(431, f"The head is larger than {limit} bytes"))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._wait()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()
        self.cycle.transport = self._answers  # type: ignore[assignment]
        self._body_bytes = 0
        self._body_from = self._wait()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        # After an early answer the rest of the body is read without an extension.
        if not self.cycle.response_complete:
            self._body_bytes += len(body)
            more = self._body_bytes / self._limits.min_body_rate
            self._deadline = self._body_from + self._limits.timeout + more

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._head_bytes = 0
        if not self.cycle.response_complete:
            self._deadline = None

    def on_response_complete(self) -> None:
        self._answers.flush()
        super().on_response_complete()
        if self.cycle.response_complete or self.cycle.more_body:
            self._wait()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._deadline = None

    def send_400_response(self, msg: str) -> None:
        del msg  # uvicorn's, which is not for users
        self._refuse(ApiError(400, "The request is not valid HTTP/1.1"))

    def shutdown(self) -> None:
        if self._awaits_body():
            self._refuse(unavailable(_STOPPING))
        else:
            super().shutdown()

    def _wait(self) -> float:
        now = time.monotonic()
        self._deadline = now + self._limits.timeout
        return now

    def _awaits_body(self) -> bool:
        cycle = self.cycle
        return cycle is not None and cycle.more_body and not cycle.response_started

    def _refuse(self, error: ApiError) -> None:
        if self.transport.is_closing():
            return
        self._traffic.count_refused_connection(error.status)
        self.transport.write(raw_answer(error))
        self.transport.close()
