"""
One attempt to deliver a report.

It goes over connections of our own, or through a client that the user gives. httpx's own Client
would log every request, and costs half as much again.

httpx is imported with this package, not at the first report: openai 3 looks into
`sys.modules["httpx"]`, and a half-imported one makes the user's own calls fail (tried).
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - resolving a name would import it, see lazy_transport
from functools import partial
from typing import TYPE_CHECKING, cast

import httpx

from openpipe_report._delivery.attempt import MAX_BODY, Attempt
from openpipe_report._delivery.connections import Connections
from openpipe_report._delivery.http_answer import Answer
from openpipe_report._delivery.observers import hide_log_lines, unobserved
from openpipe_report._delivery.outcome import Retryable
from openpipe_report._delivery.response import classify_response
from openpipe_report._report.content_encoding import UndecodableError, decode_content
from openpipe_report._report.model import PATHS, REPORT_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from openpipe_report._delivery.outcome import Outcome
    from openpipe_report._settings import Settings

SLOWEST = 256 * 1024
"""
Bytes a second of the slowest network that large reports are sent over. A server answers when it has
read the report, and the operating system takes megabytes before they are on their way.
"""

_RETRIED = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class Transport:
    """
    Posts to the paths below one base URL. Safe for threads, not for use in a forked child.

    Raises:
        CannotConnectError: The environment names a proxy or certificates that cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._urls = {path: httpx.URL(f"{settings.api_url}/{path}") for path in PATHS}
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
            host = self._urls[REPORT_PATH].netloc
            headers = [(b"Host", host), *httpx.Headers(self._headers).raw]
            with unobserved():  # httpx before 0.28 logs what certificates it loads
                self._connections = Connections(self._urls, headers)

    def send(
        self,
        body: bytes,
        idempotency_key: str,
        within: float | None = None,
        on_wait: Callable[[], object] = lambda: None,
        path: str = REPORT_PATH,
    ) -> Outcome:
        """
        Make one attempt.

        Args:
            body: The report's JSON.
            idempotency_key: The same for every attempt of one report.
            within: Seconds that are left, where fewer than the timeouts allow.
            on_wait: Called, once or more, when the network keeps it waiting.
            path: Where to post, below the base URL.
        """
        connect, read = self._timeouts
        read += len(body) / SLOWEST
        if within is not None:
            connect, read = min(connect, within / 2), min(read, within / 2)
        make_attempt = partial(Attempt, path, body, idempotency_key, connect, read, on_wait)
        post = self._post if self._client is None else self._post_with_client
        try:
            try:
                answer = post(make_attempt())
            except _RETRIED:
                # Most often a kept connection that the server has closed meanwhile.
                answer = post(make_attempt())
        except httpx.TransportError as error:
            return Retryable(_describe(error), got_response=False)
        except httpx.HTTPStatusError as error:  # by a hook of a given client
            response = error.response
            status, headers = response.status_code, response.headers
            return classify_response(status, headers, b"", self._secret, path)
        except UnicodeError:
            return Retryable("base_url has an invalid host name", got_response=False)
        except RuntimeError:
            if self._client is None or not self._client.is_closed:
                raise
            return Retryable("the given http_client is closed", got_response=False)
        body = _decode(answer)
        return classify_response(answer.status, answer.headers, body, self._secret, path)

    def _post(self, attempt: Attempt) -> Answer:
        return self._connections.mine().post(attempt)

    def _post_with_client(self, attempt: Attempt) -> Answer:
        assert self._client is not None  # noqa: S101 - chosen by it
        attempt.on_wait()
        request = self._client.build_request(  # its own headers and cookies go along
            "POST",
            self._urls[attempt.path],
            headers={**self._headers, "Idempotency-Key": attempt.idempotency_key},
            content=attempt.body,
            timeout=httpx.Timeout(attempt.read_timeout, connect=attempt.connect_timeout),
        )
        with unobserved():
            response = self._client.send(request, stream=True, follow_redirects=False)
            try:
                # The stream itself: it can be read again where a hook or a mock has read it before.
                body = attempt.read_body(cast("Iterable[bytes]", response.stream))
            finally:
                response.close()
        return Answer(response.status_code, response.headers, body)

    def close_mine(self) -> None:
        """Close this thread's own connection; a given client stays open."""
        if self._client is None:
            self._connections.close_mine()

    def close(self) -> None:
        """Close our own connections, which does not end their use; a given client stays open."""
        if self._client is None:
            self._connections.close()


def _decode(answer: Answer) -> bytes:
    """Return the body of an answer that is compressed though nobody asked for that."""
    encoding = answer.headers.get("content-encoding", "")
    if not encoding:
        return answer.body
    try:
        return decode_content(answer.body, encoding, MAX_BODY)
    except UndecodableError:
        return b""


def _describe(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
