"""
span(): reports a piece of work that no client makes, and labels the calls inside it.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openpipe_report import _lifecycle
from openpipe_report._capture import describe_error
from openpipe_report._context import (
    Block,
    MetadataValue,
    check_metadata,
    enter_scope,
    leave_scope,
    scope,
)
from openpipe_report._guard import guarded, logger
from openpipe_report._link import capturing, make_link
from openpipe_report._payload import SDK
from openpipe_report._version import VERSION
from openpipe_report._wire import Report, encode_json, parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

    from openpipe_report._reporter import Reporter

_lost_said = False


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _SpanSource:
    """What a span left behind; its payloads as JSON, since their owner may change them."""

    fields: dict[str, Any]
    request: bytes
    response: bytes

    @property
    def size(self) -> int:
        return 1024 + len(self.request) + len(self.response)

    def build(self) -> Report:
        fields = {**self.fields, "respPayload": parse_json(self.response)}
        fields["reqPayload"] = {**fields["reqPayload"], "input": parse_json(self.request)}
        return Report(**fields)


class span(Block):  # noqa: N801 - used as a function: `with span("rerank"):`
    """
    Report a block of work, once, when it is left.

        with span("rerank", request={"query": q}, metadata={"k": 5}) as s:
            s.response = rerank(q)

    The report's request payload is `{"name": ..., "input": request, "metadata": {...}}`, its
    response payload what was put into `response`, its status 200; if an exception leaves the
    block it is 500, with the exception's type and text, and the exception goes on unchanged.
    Calls and spans inside inherit the metadata and share the `trace_id`; each knows its
    `parent_span_id`. Works as `with` and `async with`; one object serves one block.

    Args:
        name: What the work is called.
        request: Its input: any JSON.
        metadata: Strings, finite numbers, booleans or None by name; joins what outer blocks set.
        reporter: Where to report; else the enclosing span's, else that of the environment's
            settings, else the only one there is. Without any that is said once; with several the
            span is counted as dropped ("no reporter") by one of them.

    Raises:
        TypeError: A metadata value is of another kind.
    """

    __slots__ = (
        "_began",
        "_entered",
        "_outer",
        "_reporter",
        "_request_json",
        "_values",
        "name",
        "request",
        "requested_at",
        "response",
        "span_id",
        "trace_id",
    )

    def __init__(
        self,
        name: str,
        *,
        request: Any = None,
        metadata: Mapping[str, MetadataValue] | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self.name = name
        self.request = request
        self.response: Any = None
        self._values = check_metadata(metadata or {})
        self._reporter = reporter
        self._entered = False

    def __enter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a span serves one block; make another one")
        self._entered = True
        self._request_json = encode_json(self.request)
        outer = scope.get()
        self.trace_id = outer.trace_id or os.urandom(16).hex()
        self.span_id = os.urandom(8).hex()
        self._reporter = self._reporter or outer.reporter
        self._outer = enter_scope(
            self,
            metadata={**outer.metadata, **self._values},
            trace_id=self.trace_id,
            span_id=self.span_id,
            reporter=self._reporter,
        )
        _lifecycle.hook_exit()  # the process may end before this block does
        self.requested_at = time.time()
        self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        leave_scope(self)
        guarded("reporting a span", self._report, error)

    def _report(self, error: BaseException | None) -> None:
        outer = self._outer
        if not outer.report:
            return
        reporter = capturing[-1] if capturing else self._reporter or _default_reporter()
        if reporter is None or not reporter.settings.enabled:
            return
        seconds = time.perf_counter() - self._began
        trace = {"trace_id": self.trace_id, "span_id": self.span_id}
        if outer.span_id is not None:
            trace["parent_span_id"] = outer.span_id
        fields: dict[str, Any] = {
            "requestedAt": round(self.requested_at * 1000),
            "receivedAt": round((self.requested_at + seconds) * 1000),
            "reqPayload": {
                "name": self.name,
                "input": None,
                "metadata": {**outer.metadata, **self._values, **trace},
            },
            "statusCode": 200 if error is None else 500,
            "tags": {"$sdk": SDK, "$sdk.version": VERSION, "$endpoint": "span"},
        }
        if error is not None:
            fields["errorMessage"] = describe_error(error)
        reporter.submit(_SpanSource(fields, self._request_json, encode_json(self.response)))


def _default_reporter() -> Reporter | None:
    """Choose the environment's reporter, else the only live one, else say once there is none."""
    global _lost_said  # noqa: PLW0603 - said once per process
    link = make_link(None, None)
    if link.reporter is not None or not link.settings.enabled:
        return link.reporter
    reporters = _lifecycle.live()
    if len(reporters) == 1:
        return reporters[0]
    if reporters:
        reporters[0].ledger.refuse("no reporter")
    if not _lost_said:
        _lost_said = True
        logger.warning(
            "openpipe_report: a span has no reporter to go to (%d are live); "
            "give it one with reporter=",
            len(reporters),
        )
    return None
