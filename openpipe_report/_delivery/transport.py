"""
One attempt to deliver a report.

It goes over connections of our own, or through a client that the user gives. httpx's own Client
would log every request, and costs half as much again.

httpx is imported with this package, not at the first report: openai 3 looks into
`sys.modules["httpx"]`, and a half-imported one makes the user's own calls fail (tried).
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - resolving a name would import it, see _delivery.py
import logging
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from openpipe_report._delivery.connection import Connections
from openpipe_report._delivery.response import Retryable, classify_response
from openpipe_report._report.content_encoding import UndecodableError, decode_content

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from openpipe_report._delivery.response import Outcome
    from openpipe_report._settings import Settings

_MAX_ANSWER = 64 * 1024
_SENT_AT_ONCE = 16 * 1024
"""Bytes that a socket takes without waiting for the other end."""

_RETRIED = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)

_LOGGERS = (
    "httpx",
    *(f"httpcore.{p}" for p in ("connection", "http11", "http2", "proxy", "socks")),
)


class _OwnRequests(logging.Filter):
    """Keeps the lines of httpx and httpcore about our own requests out of the user's log."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - logging's signature
        return not _mine.sending


class _Mine(threading.local):
    sending = False


_mine = _Mine()
_own_requests = _OwnRequests()


class _Body:
    """A request's body that knows when it has been sent, as often as it is."""

    def __init__(self, body: bytes, on_sent: Callable[[], object]) -> None:
        self._body = body
        self._on_sent = on_sent

    def __iter__(self) -> Iterator[bytes]:
        if len(self._body) > _SENT_AT_ONCE:
            self._on_sent()
        yield self._body
        self._on_sent()


class Transport:
    """
    Posts reports to one URL. Safe for threads, not for use in a forked child.

    Raises:
        CannotConnectError: The environment names a proxy or certificates that cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = httpx.URL(settings.report_url)
        self._client: httpx.Client | None = settings.http_client
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_own_requests)
        self._timeouts = (settings.connect_timeout, settings.read_timeout)
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "openpipe-report",
        }
        self._secret = ""
        if settings.api_key is not None:
            self._secret = settings.api_key.get_secret_value()
            self._headers["Authorization"] = f"Bearer {self._secret}"
        if self._client is None:
            import httpcore  # noqa: PLC0415 - httpx imports it late, too

            self._request = httpcore.Request
            self._retried: tuple[type[Exception], ...] = (
                httpcore.RemoteProtocolError,
                httpcore.ReadError,
                httpcore.WriteError,
                *_RETRIED,
            )
            self._failures: tuple[type[Exception], ...] = (
                httpcore.TimeoutException,
                httpcore.NetworkError,
                httpcore.ProtocolError,
                httpcore.ProxyError,
                httpcore.UnsupportedProtocol,
                httpx.TransportError,
            )
            self._core_url = httpcore.URL(
                scheme=self._url.raw_scheme,
                host=self._url.raw_host,
                port=self._url.port,
                target=self._url.raw_path,
            )
            # What every request has in common is made once.
            self._raw_headers = [(b"Host", self._url.netloc), *httpx.Headers(self._headers).raw]
            with _unobserved():  # httpx before 0.28 logs what certificates it loads
                self._connections = Connections(self._url)
        else:
            self._retried, self._failures = _RETRIED, (httpx.TransportError,)

    def send(
        self,
        body: bytes,
        key: str,
        within: float | None = None,
        on_wait: Callable[[], object] = lambda: None,
    ) -> Outcome:
        """
        Make one attempt.

        Args:
            body: The report's JSON.
            key: The Idempotency-Key; the same for every attempt of one report.
            within: Seconds that are left, where fewer than the timeouts allow.
            on_wait: Called, once or more, when there is nothing left but to wait for the answer.
        """
        connect, read = self._timeouts
        if within is not None:
            connect, read = min(connect, within / 2), min(read, within / 2)
        attempt = self._attempt if self._client is None else self._attempt_with_client
        with _unobserved():
            try:
                try:
                    return attempt(body, key, connect, read, on_wait)
                except self._retried:
                    # Most often a kept connection that the server has closed meanwhile.
                    return attempt(body, key, connect, read, on_wait)
            except self._failures as error:
                return Retryable(_describe(error), got_response=False)
            except httpx.HTTPStatusError as error:  # by a hook of a given client
                response = error.response
                return classify_response(response.status_code, response.headers, b"", self._secret)
            except UnicodeError:
                return Retryable("base_url has an invalid host name", got_response=False)
            except RuntimeError:
                if self._client is None or not self._client.is_closed:
                    raise
                return Retryable("the given http_client is closed", got_response=False)

    def _attempt(
        self, body: bytes, key: str, connect: float, read: float, on_wait: Callable[[], object]
    ) -> Outcome:
        pool, deadline = self._connections.mine()
        deadline.at = time.monotonic() + connect + read
        response = pool.handle_request(
            self._request(
                b"POST",
                self._core_url,
                headers=[
                    *self._raw_headers,
                    (b"Idempotency-Key", key.encode()),
                    (b"Content-Length", b"%d" % len(body)),
                ],
                content=_Body(body, on_wait),
                extensions={
                    "timeout": {"connect": connect, "read": read, "write": read, "pool": read}
                },
            )
        )
        try:
            headers = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in response.headers
            }
            answer = _read(response.iter_stream(), headers, deadline.at)
        finally:
            response.close()
        return classify_response(response.status, headers, answer, self._secret)

    def _attempt_with_client(
        self, body: bytes, key: str, connect: float, read: float, on_wait: Callable[[], object]
    ) -> Outcome:
        assert self._client is not None  # noqa: S101 - chosen by it
        on_wait()
        request = self._client.build_request(  # its own headers and cookies go along
            "POST",
            self._url,
            headers={**self._headers, "Idempotency-Key": key},
            content=body,
            timeout=httpx.Timeout(read, connect=connect),
        )
        deadline = time.monotonic() + connect + read
        response = self._client.send(request, stream=True, follow_redirects=False)
        try:
            # The stream itself: it can be read again where a hook or a mock has read it before.
            answer = _read(response.stream, response.headers, deadline)
        finally:
            response.close()
        return classify_response(response.status_code, response.headers, answer, self._secret)

    def close_mine(self) -> None:
        """Close this thread's own connection; a given client stays open."""
        if self._client is None:
            with _unobserved():
                self._connections.close_mine()

    def close(self) -> None:
        """Close our own connections, which does not end their use; a given client stays open."""
        if self._client is None:
            with _unobserved():
                self._connections.close()


def _read(chunks: Any, headers: Mapping[str, str], deadline: float) -> bytes:
    """Read an answer, or as much of it as is worth it: a server may send it drop by drop."""
    body = b""
    for chunk in chunks:
        body += chunk
        if len(body) > _MAX_ANSWER:
            break
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("the answer takes too long")
    encoding = headers.get("content-encoding", "")
    if not encoding:
        return body
    try:  # compressed though nobody asked
        return decode_content(body, encoding, _MAX_ANSWER)
    except UndecodableError:
        return b""


def _describe(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def _unobserved() -> Generator[None]:
    """Keep our own POSTs out of the user's log and, where that is loaded, OpenTelemetry."""
    _mine.sending = True
    context = sys.modules.get("opentelemetry.context")
    token = None if context is None else context.attach(_suppressed(context))
    try:
        yield
    finally:
        _mine.sending = False
        if context is not None:
            context.detach(token)


def _suppressed(context: Any) -> Any:
    current = context.set_value("suppress_instrumentation", True)  # noqa: FBT003 - its API
    for name in ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY"):
        if key := getattr(context, name, None):
            current = context.set_value(key, True, current)  # noqa: FBT003 - its API
    return current
