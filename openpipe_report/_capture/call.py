"""
Call: one logical call of a client, seen from outside.

It keeps references to bytes that exist already, the status and two headers, never the response.
Nothing here decodes or waits; whoever calls a method here on a caller's thread guards it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any
from weakref import ref

from openpipe_report._capture.recording_stream import LEFT, is_async_stream, tee
from openpipe_report._context.opentelemetry import parent_of
from openpipe_report._delivery import process
from openpipe_report._report.describe import describe_body, describe_error, describe_leaving
from openpipe_report._report.exchange import Exchange
from openpipe_report._version import VERSION

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from openpipe_report._context.scope import Scope
    from openpipe_report._delivery.reporter import Reporter
    from openpipe_report._report.model import Report

_SECRET = 8
"""Characters from which on something that was sent in place of a key can be one."""
_RESERVE = 64 * 1024
"""An open stream reserves memory in steps of so many bytes."""


class Call(Exchange):
    """An exchange in the making."""

    __slots__ = (
        "_allowance",
        "_ended",
        "_held",
        "_owner",
        "_pid",
        "_reporter",
        "_sent",
        "_started",
        "_teed",
        "_thread",
    )

    def __init__(
        self,
        reporter: Reporter,
        endpoint: str,
        scope: Scope,
        metadata: Mapping[str, Any],
        tags: Mapping[str, Any],
    ) -> None:
        self._started = time.perf_counter()
        self.requested_at = time.time()
        self.endpoint = endpoint
        self.version = VERSION
        self.metadata = {**scope.metadata, **metadata} if metadata else scope.metadata
        self.tags = tags
        self.trace_id, self.parent_span_id, _ = parent_of(scope)
        self.request: bytes | None = None
        self.request_options: Any = None
        self.status: int | None = None
        self.content: bytes | None = None
        self.chunks: list[bytes] | None = None
        self.content_type = self.content_encoding = ""
        self.truncated = False
        self.closed_early: str | None = None
        self.error: str | None = None
        self.retrieves: str | None = None
        self.retries = 0
        self.seconds = 0.0
        self.seconds_to_first_byte: float | None = None
        self.seconds_to_last_byte: float | None = None
        self._reporter = reporter
        self._pid = reporter.pid
        self._sent: Any = None
        self._teed = self._ended = False

    # The course of `request()`.

    def on_request(self, request: Any, options: Any) -> None:
        """Take the body of an attempt; the last attempt's stays."""
        self._sent = request
        try:
            self.request = request.content
        except Exception:  # noqa: BLE001 - a body that streams (RequestNotRead of either httpx)
            self.request = None
            self.request_options = describe_body(options)

    def on_response(self, response: Any, retries: int) -> None:
        """Take the answer that counted: its bytes, or a tee on them as they come."""
        self.retries = retries
        self._take(response)

    def on_error(self, error: BaseException, options: Any) -> None:
        """Take the exception with which `request()` ends."""
        if self.request is None and self.request_options is None:
            self.request_options = describe_body(options)
        response = getattr(error, "response", None)
        if self.status is None and self._is_answer(response):
            self._take(response)
        elif self.status is None or self.status < 400:  # noqa: PLR2004 - its body tells more
            self.error = self._describe(error)
        if not self._teed:
            self._finish()
        elif self.error is not None:
            self.end(self.error)

    def _is_answer(self, response: Any) -> bool:
        """Whether it answers what we sent; a callable of the user's may raise with another's."""
        if response is None or self._sent is None:
            return False
        history = getattr(response, "history", ())
        return any(step.request is self._sent for step in (*history, response))

    def on_return(self) -> None:
        """`request()` returns: all is there, unless a stream is still to be read."""
        if not self._teed:
            self._finish()

    def _take(self, response: Any) -> None:
        status: int = response.status_code
        self.status = status
        try:
            content: bytes = response.content
        except Exception:  # noqa: BLE001 - not read yet (ResponseNotRead of either httpx)
            self._open(response)
            return
        if status >= 400:  # noqa: PLR2004 - some servers quote the key that they refuse
            for secret in self._secrets():
                content = content.replace(secret.encode(), b"[key]")
        self.content = content
        if content[:1] not in (b"{", b"["):
            self.content_type = response.headers.get("content-type", "")

    def _finish(self) -> None:
        self.seconds = time.perf_counter() - self._started
        self._sent = None
        self._ended = True
        taken = False
        if self._pid == self._reporter.pid:  # a forked child leaves the parent's calls to it
            taken = self._reporter.submit(self)
        if not taken:
            self._release()

    def build(self) -> Report | None:
        """Build the report, and let go of the bytes: a stream the user keeps holds this call."""
        report = super().build()
        self._release()
        return report

    def _release(self) -> None:
        self.request = self.request_options = self.content = self.chunks = None

    # The course of a stream.

    def _open(self, response: Any) -> None:
        if response.is_closed:
            return
        headers = response.headers
        self.content_type = headers.get("content-type", "")
        self.content_encoding = headers.get("content-encoding", "")
        self.chunks = []
        self._held = self._allowance = 0
        self._thread = threading.get_ident()
        self._owner: Any = None
        if is_async_stream(response.stream):
            self._owner = _nobody
            try:
                task = asyncio.current_task()
            except RuntimeError:  # another event loop than asyncio's
                task = None
            if task is not None:
                self._owner = ref(task)
        response.stream = tee(response, self)
        process.hook_exit()  # the process may end before this stream does
        self._reporter.open_calls[id(self)] = self
        self._teed = True

    def receive(self, chunk: bytes) -> None:
        """Take a chunk as it came over the network."""
        if self._ended:
            return
        now = time.perf_counter() - self._started
        if self.seconds_to_first_byte is None:
            self.seconds_to_first_byte = now
        self.seconds_to_last_byte = now
        if not self.truncated:
            self._held += len(chunk)
            if self._held > self._allowance and not self._grow():
                return
            self.chunks.append(chunk)  # type: ignore[union-attr]

    def _grow(self) -> bool:
        """Reserve memory for what comes; past the limits the rest of the stream is not kept."""
        limit = self._reporter.settings.max_report_bytes
        step = min(max(_RESERVE, self._held - self._allowance), limit - self._allowance)
        if self._held <= limit and self._reporter.ledger.reserve(step):
            self._allowance += step
            return True
        self.truncated = True
        return False

    def end(self, why: str | None = None) -> None:
        """
        End the stream, once: a second end changes nothing.

        Args:
            why: What stopped the reading; None if the bytes ran out by themselves.
        """
        # Called from a finalizer, too: takes no lock; the pop decides who was first.
        if self._reporter.open_calls.pop(id(self), None) is None:
            return
        self._reporter.ledger.reserve(-self._allowance)
        self.closed_early = why
        self._finish()

    def end_by_close(self) -> None:
        """End the stream because it was closed: by hand, or by a `with` that an error left."""
        if id(self) in self._reporter.open_calls:
            self.end(describe_leaving() or LEFT)

    def end_by_error(self, error: BaseException) -> None:
        """End the stream because reading it failed or was cancelled."""
        self.end(self._describe(error))

    def _describe(self, error: BaseException) -> str:
        """
        Describe an error without the keys that were sent.

        httpx quotes a header that it refuses, and `raise_for_status()` the URL with its query.
        """
        text = describe_error(error)
        query = getattr(getattr(self._sent, "url", None), "query", b"").decode("ascii", "replace")
        if query:
            text = text.replace(query, "[query]")
        for secret in self._secrets():
            text = text.replace(secret, "[key]")
        return text

    def _secrets(self) -> Generator[str]:
        """The keys that were sent."""
        url = getattr(self._sent, "url", None)
        for name, value in url.params.items() if url is not None and url.query else ():
            if len(value) >= _SECRET and name != "api-version":  # Azure's is in its answers, too
                yield value
        headers = getattr(self._sent, "headers", {})
        for name in ("authorization", "api-key", "x-api-key"):
            for secret in headers.get(name, "").split():
                if len(secret) >= _SECRET:
                    yield secret

    def is_left(self) -> bool:
        """Whether this thread or task opened the stream, or the one that did has ended."""
        if self._owner is _nobody:  # a task of another loop's: told by its thread alone
            return not _is_alive(self._thread)
        if self._owner is not None:
            task = self._owner()
            if task is None or task.done():
                return True
            try:
                return task is asyncio.current_task()
            except RuntimeError:
                return not task.get_loop().is_running()
        return self._thread == threading.get_ident() or not _is_alive(self._thread)


def _nobody() -> None:
    """Stand for the task of a stream whose event loop knows no asyncio tasks."""


def _is_alive(ident: int) -> bool:
    return any(thread.ident == ident for thread in threading.enumerate())
