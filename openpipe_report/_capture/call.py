"""
Call: the record of one logical call of a client.

It keeps references to bytes that exist already, the status and two headers, never the response.
Nothing here decodes or waits. The interception calls these methods guarded.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from openpipe_report._capture.recording_stream import (
    CLOSED_EARLY,
    is_async_stream,
    record_stream,
)
from openpipe_report._capture.request_secrets import describe_without_secrets, mask_secrets_of
from openpipe_report._capture.stream_buffer import StreamBuffer
from openpipe_report._capture.stream_reader import StreamReader
from openpipe_report._context.opentelemetry import parent_of
from openpipe_report._delivery import process
from openpipe_report._log import log_internal_error
from openpipe_report._report.describe import describe_body, describe_leaving
from openpipe_report._report.exchange import Exchange
from openpipe_report._version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openpipe_report._context.scope import Scope
    from openpipe_report._delivery.budget import Reservation
    from openpipe_report._delivery.reporter import Reporter
    from openpipe_report._report.model import Report
    from openpipe_report._report.sent_json import SentJson

_RAW_BYTES = 64 * 1024 * 1024
"""Raw bytes of a stream that are kept even if the queue is smaller, since they are folded."""


class Call:
    """
    One logical call: an exchange that is filled while the call goes on.

    The methods run on the caller's threads, one at a time. The exceptions are `end()`, which a
    finalizer or `flush()` may call from any thread, and `build()`, which a thread of the reporter
    calls last.
    """

    __slots__ = (
        "_buffer",
        "_ended",
        "_exchange",
        "_pid",
        "_reader",
        "_recorded",
        "_reporter",
        "_reservation",
        "_sent",
        "_started",
        "on_read",
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
        exchange = self._exchange = Exchange(endpoint, VERSION, time.time())
        exchange.metadata = {**scope.metadata, **metadata} if metadata else scope.metadata
        exchange.tags = tags
        exchange.trace_id, exchange.parent_span_id, _ = parent_of(scope)
        self._reporter = reporter
        self._pid = reporter.pid
        self._sent: Any = None
        self._reservation: Reservation | None = None
        self._recorded = self._ended = False

    def on_poll(self, response_id: str) -> None:
        """Record that the call asks for the state of a background response."""
        self._exchange.polled_response_id = response_id

    @property
    def size(self) -> int:
        """The approximate number of bytes in memory."""
        return self._exchange.size

    # Called during `request()`.

    def on_request(self, request: Any, options: Any) -> None:
        """Record the request body of an attempt, in place of the previous attempt's."""
        self._sent = request
        try:
            self._exchange.request = request.content
        except Exception:  # noqa: BLE001 - a body that streams (RequestNotRead of either httpx)
            self._exchange.request = None
            self._exchange.request_options = describe_body(options)

    def on_response(self, response: Any, retries: int) -> None:
        """Record the final response: its bytes now, or each chunk when it is read."""
        self._exchange.retries = retries
        self._take(response)

    def on_error(self, error: BaseException, options: Any) -> None:
        """Record the exception that `request()` raises."""
        exchange = self._exchange
        if exchange.request is None and exchange.request_options is None:
            exchange.request_options = describe_body(options)
        response = getattr(error, "response", None)
        if exchange.status is None and self._is_answer(response):
            self._take(response)
        elif exchange.status is None or exchange.status < 400:  # noqa: PLR2004 - its body tells more
            exchange.error = describe_without_secrets(error, self._sent)
        if not self._recorded:
            self._finish()
        elif exchange.error is not None:
            self.end(exchange.error)

    def _is_answer(self, response: Any) -> bool:
        """Whether a response answers our request; user code may raise with one of another."""
        if response is None or self._sent is None:
            return False
        history = getattr(response, "history", ())
        return any(_is_same(step.request, self._sent) for step in (*history, response))

    def on_return(self) -> None:
        """End the call when `request()` returns, unless a stream is still to be read."""
        if not self._recorded:
            self._finish()

    def _take(self, response: Any) -> None:
        status: int = response.status_code
        self._exchange.status = status
        try:
            content: bytes = response.content
        except Exception:  # noqa: BLE001 - not read yet (ResponseNotRead of either httpx)
            self._record_stream(response)
            return
        if status >= 400:  # noqa: PLR2004 - the answer may quote the key
            content = mask_secrets_of(self._sent, content)
        self._exchange.content = content
        if content[:1] not in (b"{", b"["):
            self._exchange.content_type = response.headers.get("content-type", "")
            self._exchange.keeps_binary = self._reporter.settings.binary_answers == "base64"

    def _finish(self) -> None:
        self._exchange.seconds = time.perf_counter() - self._started
        self._sent = None
        self._ended = True
        taken = False
        if self._pid == self._reporter.pid:  # a forked child leaves the parent's calls to it
            taken = self._reporter.submit(self, self._reservation)
        if self._reservation is not None:
            self._reservation.close()
        if not taken:
            self._release()

    @property
    def trace_id(self) -> str | None:
        """The id of the trace."""
        return self._exchange.trace_id

    def discard_if_succeeded(self) -> bool:
        """Release the bytes undecoded and return True, if the call has certainly succeeded."""
        succeeded = self._exchange.is_known_success()
        if succeeded:
            self._release()
        return succeeded

    def build(self, sent: dict[str, SentJson]) -> Report | None:
        """Build the report and release the bytes: a stream that the user keeps holds this call."""
        report = self._exchange.build(sent)
        self._release()
        return report

    def _release(self) -> None:
        exchange = self._exchange
        exchange.request = exchange.request_options = exchange.content = None
        exchange.chunks = exchange.tail = None

    # Called while a stream is read.

    def _record_stream(self, response: Any) -> None:
        if response.is_closed:
            return
        headers, exchange = response.headers, self._exchange
        exchange.content_type = headers.get("content-type", "")
        exchange.content_encoding = headers.get("content-encoding", "")
        exchange.keeps_binary = self._reporter.settings.binary_answers == "base64"
        reporter, settings = self._reporter, self._reporter.settings
        reservation = self._reservation = reporter.accounting.reserve()
        self._buffer = StreamBuffer(
            reservation,
            reporter.run_soon,
            overhead=exchange.size,
            max_bytes=max(settings.max_queue_bytes, _RAW_BYTES),
            max_tail=settings.max_report_bytes,
        )
        exchange.chunks = self._buffer.pieces
        self._reader = StreamReader(is_async=is_async_stream(response.stream))
        self.on_read = self._reader.on_read
        response.stream = record_stream(response, self)
        process.hook_exit()  # the process may end before this stream does
        self._reporter.open_streams[id(self)] = self
        self._recorded = True

    def on_chunk(self, chunk: bytes) -> None:
        """Record a chunk of the stream, as received; never raise."""
        if self._ended:
            return
        try:
            now = time.perf_counter() - self._started
            exchange = self._exchange
            if exchange.seconds_to_first_byte is None:
                exchange.seconds_to_first_byte = now
            exchange.seconds_to_last_byte = now
            self._buffer.append(chunk)
        except Exception:  # noqa: BLE001 - the guard
            log_internal_error("recording a chunk")

    def end(self, reason: str | None = None) -> None:
        """
        End the stream, once: a second end changes nothing.

        Args:
            reason: Why reading stopped; None if the stream was read to its end.
        """
        # A finalizer may call this, so it takes no lock; only the first caller's pop returns it.
        if self._reporter.open_streams.pop(id(self), None) is None:
            return
        if self._buffer.tail is not None:
            self._exchange.tail = list(self._buffer.tail)
        self._exchange.closed_early = reason
        self._finish()

    def on_close(self) -> None:
        """End the stream because it was closed, perhaps by an exception that left its `with`."""
        if id(self) in self._reporter.open_streams:
            self.end(describe_leaving() or CLOSED_EARLY)

    def on_stream_error(self, error: BaseException) -> None:
        """End the stream because reading it failed or was cancelled."""
        # Cancellation, KeyboardInterrupt and the like come from the caller, not from the stream.
        self._exchange.is_broken_off = isinstance(error, Exception)
        self.end(describe_without_secrets(error, self._sent))

    def is_abandoned(self) -> bool:
        """Whether the reader of the stream has ended."""
        return self._reader.is_gone()


def _is_same(request: Any, sent: Any) -> bool:
    """Whether a request is the one that was sent, or its client has made it anew, to sign it."""
    if request is sent:
        return True
    try:
        return bool(
            (request.method, request.url.host, request.url.path, request.content)
            == (sent.method, sent.url.host, sent.url.path, sent.content)
        )
    except Exception:  # noqa: BLE001 - a body that streams (RequestNotRead of either httpx)
        return False
