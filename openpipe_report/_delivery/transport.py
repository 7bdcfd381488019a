"""
One attempt to deliver a report.

httpx makes it through its transports, not through its Client, which would log every request and
costs half as much again.

httpx is imported with this package, not at the first report: openai 3 looks into
`sys.modules["httpx"]`, and a half-imported one makes the user's own calls fail (tried).
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - resolving a name would import it, see _delivery.py
import logging
import os
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from openpipe_report._delivery.proxy import proxy_for
from openpipe_report._delivery.response import Retryable, classify_response

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from openpipe_report._delivery.response import Outcome
    from openpipe_report._settings import Settings

_MAX_ANSWER = 64 * 1024
_SENT_AT_ONCE = 16 * 1024
"""Bytes that a socket takes without waiting for the other end."""

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


class CannotConnectError(Exception):
    """The environment's proxy or certificates cannot be used; the text is for users."""


class _Body(httpx.SyncByteStream):
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
    """Posts reports to one URL. Safe for threads, not for use in a forked child."""

    def __init__(self, settings: Settings) -> None:
        self._url = httpx.URL(settings.report_url)
        self._client: httpx.Client | None = settings.http_client
        self._pool: httpx.HTTPTransport | None = None
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_own_requests)
        if self._client is None:
            self._pool = _pool(settings)
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
        # What every request has in common is made once: that is 10 of 180 us.
        self._raw_headers = [(b"Host", self._url.netloc), *httpx.Headers(self._headers).raw]

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
        request = self._request(body, key, connect, read, on_wait)
        deadline = time.monotonic() + connect + read
        with _unobserved():
            try:
                try:
                    return self._attempt(request, deadline)
                except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                    # Most often a pooled connection that the server has closed meanwhile.
                    return self._attempt(request, deadline)
            except httpx.TransportError as error:
                return Retryable(_describe(error), got_response=False)
            except httpx.HTTPStatusError as error:  # by a hook of a given client
                return classify_response(
                    error.response.status_code, error.response.headers, b"", self._secret
                )
            except UnicodeError:
                return Retryable("base_url has an invalid host name", got_response=False)
            except RuntimeError:
                if self._client is None or not self._client.is_closed:
                    raise
                return Retryable("the given http_client is closed", got_response=False)

    def _request(
        self, body: bytes, key: str, connect: float, read: float, on_wait: Callable[[], object]
    ) -> httpx.Request:
        if self._client is not None:  # its own headers and cookies go along
            on_wait()
            return self._client.build_request(
                "POST",
                self._url,
                headers={**self._headers, "Idempotency-Key": key},
                content=body,
                timeout=httpx.Timeout(read, connect=connect),
            )
        timeout = {"connect": connect, "read": read, "write": read, "pool": read}
        return httpx.Request(
            "POST",
            self._url,
            headers=[
                *self._raw_headers,
                (b"Idempotency-Key", key.encode()),
                (b"Content-Length", b"%d" % len(body)),
            ],
            stream=_Body(body, on_wait),
            extensions={"timeout": timeout},
        )

    def _attempt(self, request: httpx.Request, deadline: float) -> Outcome:
        if self._pool is not None:
            response = self._pool.handle_request(request)
        else:
            assert self._client is not None  # noqa: S101 - one of the two is there
            response = self._client.send(request, stream=True, follow_redirects=False)
        try:
            return classify_response(
                response.status_code, response.headers, _read(response, deadline), self._secret
            )
        finally:
            response.close()

    def close(self) -> None:
        """Close our own connections, which does not end their use; a given client stays open."""
        if self._pool is not None:
            with _unobserved():
                self._pool.close()


def _pool(settings: Settings) -> httpx.HTTPTransport:
    """
    Make connections as the environment wants them.

    Raises:
        CannotConnectError: It names a proxy or certificates that cannot be used.
    """
    size = settings.senders + 1
    limits = httpx.Limits(max_connections=size, max_keepalive_connections=size)
    try:
        proxy = proxy_for(settings.report_url)
        with _unobserved():  # httpx before 0.28 logs what certificates it loads
            return httpx.HTTPTransport(proxy=httpx.Proxy(proxy) if proxy else None, limits=limits)
    except OSError as error:
        named = ", ".join(filter(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")))
        raise CannotConnectError(
            f"cannot load certificates ({error.strerror or error}): look at "
            f"{named or 'those of the system'}"
        ) from None
    except ImportError as error:  # httpx says which package a proxy needs
        raise CannotConnectError(str(error)) from None
    except ValueError:  # its text may hold a password
        raise CannotConnectError(
            "the proxy's URL is wrong: look at HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"
        ) from None


def _read(response: httpx.Response, deadline: float) -> bytes:
    """Read an answer, or as much of it as is worth it: a server may send it drop by drop."""
    body = b""
    chunks: Any = response.stream  # its own methods would cost more than all the rest
    if "content-encoding" in response.headers:
        chunks = response.iter_bytes()
    try:
        for chunk in chunks:
            body += chunk
            if len(body) > _MAX_ANSWER:
                break
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer takes too long")
    except httpx.DecodingError:
        return b""
    return body


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
