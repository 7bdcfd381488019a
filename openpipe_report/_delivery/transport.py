"""
One attempt to deliver a report.

It goes over connections of our own, or through a client that the user gives. httpx's own Client
would log every request, and costs half as much again.

httpx is imported with this package, not at the first report: openai 3 looks into
`sys.modules["httpx"]`, and a half-imported one makes the user's own calls fail (tried).
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - resolving a name would import it, see lazy_transport
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from openpipe_report._delivery.connection import AT_ONCE, Connections
from openpipe_report._delivery.observers import hide_log_lines, unobserved
from openpipe_report._delivery.outcome import Retryable
from openpipe_report._delivery.response import classify_response
from openpipe_report._report.content_encoding import UndecodableError, decode_content

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openpipe_report._delivery.outcome import Outcome
    from openpipe_report._settings import Settings

_MAX_ANSWER = 64 * 1024
_SENT_AT_ONCE = 16 * 1024
"""Bytes that a socket takes without waiting for the other end."""

_RETRIED = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class _Post(NamedTuple):
    """One request, as `Transport.send()` is asked for it, with the timeouts that hold for it."""

    body: bytes
    idempotency_key: str
    connect: float
    read: float
    on_wait: Callable[[], object]


class Transport:
    """
    Posts reports to one URL. Safe for threads, not for use in a forked child.

    Raises:
        CannotConnectError: The environment names a proxy or certificates that cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = httpx.URL(settings.report_url)
        self._client: httpx.Client | None = settings.http_client
        hide_log_lines()
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
            with unobserved():  # httpx before 0.28 logs what certificates it loads
                self._connections = Connections(self._url)
        else:
            self._retried, self._failures = _RETRIED, (httpx.TransportError,)

    def send(
        self,
        body: bytes,
        idempotency_key: str,
        within: float | None = None,
        on_wait: Callable[[], object] = lambda: None,
    ) -> Outcome:
        """
        Make one attempt.

        Args:
            body: The report's JSON.
            idempotency_key: The same for every attempt of one report.
            within: Seconds that are left, where fewer than the timeouts allow.
            on_wait: Called, once or more, when the network keeps it waiting.
        """
        connect, read = self._timeouts
        if within is not None:
            connect, read = min(connect, within / 2), min(read, within / 2)
        post = _Post(body, idempotency_key, connect, read, on_wait)
        attempt = self._attempt if self._client is None else self._attempt_with_client
        with unobserved():
            try:
                try:
                    return attempt(post)
                except self._retried:
                    # Most often a kept connection that the server has closed meanwhile.
                    return attempt(post)
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

    def _attempt(self, post: _Post) -> Outcome:
        body, idempotency_key, connect, read, on_wait = post
        pool, state = self._connections.mine()
        began = time.monotonic()
        state.ends_at = began + connect + read
        state.on_wait = on_wait
        if len(body) > _SENT_AT_ONCE or not state.is_answered_at_once:
            on_wait()
        response = pool.handle_request(
            self._request(
                b"POST",
                self._core_url,
                headers=[
                    *self._raw_headers,
                    (b"Idempotency-Key", idempotency_key.encode()),
                    (b"Content-Length", b"%d" % len(body)),
                ],
                content=body,
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
            answer = _read(response.iter_stream(), headers, state.ends_at)
        finally:
            response.close()
        state.is_answered_at_once = time.monotonic() - began < AT_ONCE
        return classify_response(response.status, headers, answer, self._secret)

    def _attempt_with_client(self, post: _Post) -> Outcome:
        body, idempotency_key, connect, read, on_wait = post
        assert self._client is not None  # noqa: S101 - chosen by it
        on_wait()
        request = self._client.build_request(  # its own headers and cookies go along
            "POST",
            self._url,
            headers={**self._headers, "Idempotency-Key": idempotency_key},
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
            with unobserved():
                self._connections.close_mine()

    def close(self) -> None:
        """Close our own connections, which does not end their use; a given client stays open."""
        if self._client is None:
            with unobserved():
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
