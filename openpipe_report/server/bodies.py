"""Reads the bodies of requests, within the limits of one body and of all bodies together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from openpipe_report.server.errors import ApiError, unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from starlette.types import Receive
    from typing_extensions import Self

    from openpipe_report.server.limits import Limits
    from openpipe_report.server.traffic import Traffic


class Reservation:
    """
    A share of the bytes in flight, as a context manager that gives it back.

    It begins with the announced length of a body, before any of it is read, and grows with a body
    that has none. Used on the event loop's thread alone.
    """

    def __init__(self, limits: Limits, traffic: Traffic) -> None:
        self._limits = limits
        self._traffic = traffic
        self._held = 0

    def grow_to(self, size: int) -> None:
        """
        Hold so many bytes.

        Raises:
            ApiError: 413, it is more than one body may have; 503, all bodies together have more
                than `Limits.max_bytes_in_flight`.

        """
        if size <= self._held:
            return
        if size > self._limits.max_body_bytes:
            raise ApiError(413, f"The body is larger than {self._limits.max_body_bytes} bytes")
        grown = self._traffic.bytes_in_flight + size - self._held
        if grown > self._limits.max_bytes_in_flight:
            raise unavailable("The receiver has too many large bodies at once: try again later")
        self._traffic.bytes_in_flight = grown
        self._held = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._traffic.bytes_in_flight -= self._held
        self._held = 0


async def read_body(
    headers: Mapping[bytes, bytes],
    receive: Receive,
    reservation: Reservation,
    media_type: bytes = b"application/json",
) -> bytes | bytearray:
    """
    Read the body of a request.

    Args:
        headers: The request's headers by their names in lower case.
        receive: ASGI's.
        reservation: Grows to the body's size.
        media_type: What the body must be.

    Raises:
        ApiError: 415, the body is not said to be of the media type, or is compressed; 413 and 503
            as in `Reservation.grow_to`. Nothing has been read then, if the length was announced.
        ClientDisconnect: The connection ended before the body was complete.

    """
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise ApiError(415, "Send the body without a Content-Encoding")
    content_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if content_type != media_type:
        raise ApiError(415, f"Send the body with `Content-Type: {media_type.decode()}`")
    announced = headers.get(b"content-length", b"")
    if announced.isdigit():
        # Python refuses to read numbers of thousands of digits.
        reservation.grow_to(int(announced[:20]))
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        if not message.get("more_body"):
            if not body:
                reservation.grow_to(len(chunk))
                return bytes(chunk)
            body += chunk
            reservation.grow_to(len(body))
            return body  # no copy: it may have 60 MB
        body += chunk
        reservation.grow_to(len(body))
