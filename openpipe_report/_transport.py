"""
One attempt to deliver a report, and when the next is due.

An attempt's outcome is a value. httpx makes the attempt through its transports, not through its
Client, which would log every request and costs half as much again; tenacity's wait and stop say
when the next one is due; nobody sleeps here.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from pydantic import ValidationError

from openpipe_report._proxy import proxy_for
from openpipe_report._wire import ReportError, ReportResponse

if TYPE_CHECKING:
    from collections.abc import Generator

    from openpipe_report._settings import Settings

RETRYABLE = frozenset({408, 409, 425, 429})
"""Beside every 5xx; any other status but 200 says that the report itself is refused."""

_MAX_ANSWER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Delivered:
    """The server has it."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The server does not want it; trying again would not help."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """It may work later."""

    reason: str
    answered: bool
    """Whether any HTTP answer came."""
    retry_after: float | None = None
    """Seconds that the server asked us to wait."""


Outcome = Delivered | Rejected | Failed


class Transport:
    """Posts reports to one URL. Safe for threads, not for use in a forked child."""

    def __init__(self, settings: Settings) -> None:
        self._url = httpx.URL(settings.report_url)
        self._client: httpx.Client | None = settings.http_client
        self._pool: httpx.HTTPTransport | None = None
        if self._client is None:
            self._pool = httpx.HTTPTransport(
                proxy=proxy_for(settings.report_url),
                limits=httpx.Limits(
                    max_connections=settings.senders + 1,
                    max_keepalive_connections=settings.senders + 1,
                ),
            )
        self._timeouts = (settings.connect_timeout, settings.read_timeout)
        self._headers = {
            "Host": self._url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "openpipe-report",
        }
        if settings.api_key is not None:
            self._headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"

    def send(self, body: bytes, key: str, within: float | None = None) -> Outcome:
        """
        Make one attempt.

        Args:
            body: The report's JSON.
            key: The Idempotency-Key; the same for every attempt of one report.
            within: Seconds that are left, where fewer than the timeouts allow.
        """
        connect, read = self._timeouts
        if within is not None:
            connect, read = min(connect, within / 2), min(read, within / 2)
        timeout = httpx.Timeout(read, connect=connect)
        request = httpx.Request(
            "POST",
            self._url,
            headers={**self._headers, "Idempotency-Key": key},
            content=body,
            extensions={"timeout": timeout.as_dict()},
        )
        with _uninstrumented():
            try:
                return self._attempt(request)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                # Most often a pooled connection that the server has closed meanwhile.
                try:
                    return self._attempt(request)
                except httpx.TransportError as error:
                    return Failed(_describe(error), answered=False)
            except httpx.TransportError as error:
                return Failed(_describe(error), answered=False)

    def _attempt(self, request: httpx.Request) -> Outcome:
        if self._pool is not None:
            response = self._pool.handle_request(request)
        else:
            assert self._client is not None  # noqa: S101 - one of the two is there
            response = self._client.send(request, stream=True, follow_redirects=False)
        try:
            return judge(response.status_code, response.headers, _read(response))
        finally:
            response.close()

    def close(self) -> None:
        """Close our own connections; a given client stays open."""
        if self._pool is not None:
            self._pool.close()


def _read(response: httpx.Response) -> bytes:
    body = b""
    stream = response.stream
    assert isinstance(stream, httpx.SyncByteStream)  # noqa: S101 - for the type checker
    for chunk in stream:
        body += chunk
        if len(body) > _MAX_ANSWER:
            break
    return body


def _describe(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def judge(status: int, headers: httpx.Headers, body: bytes) -> Outcome:
    """Read an answer as the API defines it."""
    if status == 200:  # noqa: PLR2004 - the API's only good one
        try:
            answer = ReportResponse.model_validate_json(body)
        except ValidationError:
            return Rejected("HTTP 200 with an answer that is not the API's; is base_url right?")
        if answer.status == "ok":
            return Delivered()
        return Rejected(f'200 {{"status": "error"}}{_explain(body)}')
    reason = f"HTTP {status}{_explain(body)}"
    if status in RETRYABLE or status >= 500:  # noqa: PLR2004 - every server error
        return Failed(reason, answered=True, retry_after=retry_after(headers))
    return Rejected(reason)


def _explain(body: bytes) -> str:
    try:
        error = ReportError.model_validate(json.loads(body))
    except ValueError:
        return ""
    issues = "; ".join(issue.message for issue in error.issues or [])
    text = f"{error.code}: {error.message}" + (f" ({issues})" if issues else "")
    return f" {text}"[:500]


def retry_after(headers: httpx.Headers) -> float | None:
    """Read `Retry-After` as seconds from now, in both of its forms (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError, TypeError):
        return None


class Backoff:
    """When a report is tried again: full jitter, 0.5 s doubling to 5 s, for `retry_for` seconds."""

    def __init__(self, retry_for: float) -> None:
        from tenacity import stop_before_delay, wait_random_exponential  # noqa: PLC0415 - slow

        self._wait = wait_random_exponential(multiplier=0.5, max=5)
        self._stop = stop_before_delay(retry_for)

    def next_wait(self, attempts: int, since_first: float, at_least: float) -> float | None:
        """
        Seconds to wait, or None when `retry_for` would be over by then.

        Args:
            attempts: How many have failed.
            since_first: Seconds since the first of them began.
            at_least: Seconds that the server asked for.
        """
        from tenacity import RetryCallState  # noqa: PLC0415 - slow

        state: Any = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
        state.attempt_number = attempts
        state.outcome_timestamp = state.start_time + since_first
        state.upcoming_sleep = max(self._wait(state), at_least)
        return None if self._stop(state) else state.upcoming_sleep


@contextmanager
def _uninstrumented() -> Generator[None]:
    """Keep our own POSTs out of the user's OpenTelemetry, where that is loaded."""
    context = sys.modules.get("opentelemetry.context")
    if context is None:
        yield
        return
    names = ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")
    current = context.set_value("suppress_instrumentation", True)  # noqa: FBT003 - its API
    for key in filter(None, (getattr(context, name, None) for name in names)):
        current = context.set_value(key, True, current)  # noqa: FBT003 - its API
    token = context.attach(current)
    try:
        yield
    finally:
        context.detach(token)


def host_of(url: str) -> str:
    """The host and port that a `Retry-After` speaks for."""
    return urlsplit(url).netloc
