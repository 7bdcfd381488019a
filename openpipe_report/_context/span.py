"""
span(): reports a piece of work that no client makes, and labels the calls inside it.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from openpipe_report._context.binding import ScopeToken
from openpipe_report._context.called import CalledReporters
from openpipe_report._context.decorators import argument_binder, decorate
from openpipe_report._context.metadata import AsyncableContextManager
from openpipe_report._context.opentelemetry import parent_of
from openpipe_report._context.run import OPEN_AT_EXIT, UnfinishedError, describe_end
from openpipe_report._context.scope import (
    MetadataValue,
    Scope,
    ScopeLookup,
    child_scope,
    enter_scope,
    exit_scope,
    look_up_scopes,
)
from openpipe_report._context.span_policy import choose_reporter, further_hooks
from openpipe_report._context.unfinished import register_unfinished
from openpipe_report._delivery import process
from openpipe_report._log import run_guarded
from openpipe_report._report.describe import describe_error
from openpipe_report._report.exchange import SDK, trace_tags
from openpipe_report._report.json_codec import Snapshot
from openpipe_report._report.label_values import check_values
from openpipe_report._report.model import Report
from openpipe_report._version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from openpipe_report._delivery.reporter import Reporter

_Function = TypeVar("_Function", bound="Callable[..., Any]")

_WITHHELD = "<withheld: a call inside is not reported>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _SpanSource:
    """The data of a finished span, with snapshots of its payloads: their owner may change them."""

    fields: dict[str, Any]
    request: Snapshot
    response: Snapshot
    trace_id: str
    hooks: tuple[Callable[[Any], Any], ...]
    """The `before_report` hooks of clients that were called inside and report elsewhere."""

    @property
    def size(self) -> int:
        return 1024 + self.request.size + self.response.size

    def discard_if_succeeded(self) -> bool:
        return "errorMessage" not in self.fields

    def build(self, _sent: object) -> Report | None:
        fields = {**self.fields, "respPayload": self.response.read()}
        fields["reqPayload"] = {**fields["reqPayload"], "input": self.request.read()}
        report: Report | None = Report(**fields)
        for hook in self.hooks:  # one that raises drops the report
            report = None if report is None else hook(report)
        return report


class span(AsyncableContextManager):  # noqa: N801 - used as a function: `with span("rerank"):`
    """
    Report a block of work, once, when the block exits.

        with span("rerank", request={"q": query}, metadata={"k": 5}) as work:
            work.response = rerank(query)

        @span("rerank")
        def rerank(query): ...

    The report's request payload is `{"name": ..., "input": request, "metadata": {...}}`, its
    response payload what was put into `response`, its status 200; if an exception leaves the
    block it is 500, with the exception's type and text, and the exception goes on unchanged.
    Calls and spans inside inherit the metadata and share the tag `$trace_id`; each has its
    `$parent_span_id`. In a span of OpenTelemetry's, trace and parent are that one's.

    Works as `with` and `async with`, where one object serves one block, and as a decorator of
    functions, coroutine functions, generators and async generators, where each call is a span of
    its own: its request is the arguments by name, unless one was given, its response the result,
    or the list of what was yielded (the first 10,000). A generator is reported when it ends or is
    closed. A coroutine, generator, future or stream of openai's that a function returns stays
    inside the span, which ends with it; work that nobody begins is reported when it is closed or
    collected. Other objects are results: for a response that streams, decorate its generator.
    Payloads are kept as JSON on the caller's thread; what JSON cannot say is named.

    Args:
        name: What the work is called.
        request: Its input: any JSON.
        metadata: Strings, finite numbers, booleans or None by name; joins what outer blocks set.
        tags: The same kinds of values, for this report alone.
        report: False reports neither the span nor what is inside it.
        reporter: Where to report; else the enclosing span's, else that of the first client that
            is called inside, else that of the environment's settings, else the only one there is.
            Without any that is said once; with several the span is counted as dropped ("no
            reporter") by one of them. Wherever it goes, it passes the `before_report` of every
            client that is called inside.

    Raises:
        TypeError: A value of the metadata or tags is of another kind, or `report` is neither True
            nor False.
    """

    __slots__ = (
        "__weakref__",
        "_began",
        "_called",
        "_inner",
        "_is_over",
        "_metadata",
        "_parent_span_id",
        "_report",
        "_reporter",
        "_request_then",
        "_tags",
        "_token",
        "name",
        "request",
        "requested_at",
        "response",
        "span_id",
        "trace_id",
    )

    def __init__(  # noqa: PLR0913 - keywords
        self,
        name: str,
        *,
        request: Any = None,
        metadata: Mapping[str, MetadataValue] | None = None,
        tags: Mapping[str, MetadataValue] | None = None,
        report: bool = True,
        reporter: Reporter | None = None,
    ) -> None:
        if not isinstance(name, str):
            raise TypeError('a span needs a name: span("work"), or @span("work")')
        if not isinstance(report, bool):
            raise TypeError(f"span(report=...) takes True or False, got {type(report).__name__}")
        self.name = name
        self.request = request
        self.response: Any = None
        self._metadata = check_values("metadata", metadata or {})
        self._tags = check_values("tags", tags or {})
        self._report = report
        self._reporter = reporter
        self._inner: Scope | None = None
        self._is_over = False

    def __enter__(self) -> Self:
        frame = sys._getframe(1)  # noqa: SLF001 - the public ways are slow
        around = look_up_scopes(frame)
        enter_scope(self._start(around), self._token, around, frame)
        register_unfinished(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        exit_scope(self._token)
        self.finish(error, self.response)

    def __call__(self, function: _Function) -> _Function:
        """
        Make each call of a function a span like this one.

        Raises:
            TypeError: The object is no function. Put `@span(...)` below `@staticmethod`,
                `@classmethod` and `@property`, and on methods, not on classes.
        """
        name_arguments = argument_binder(function)

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> span:
            request = self.request
            if request is None and self._report:
                request = name_arguments(args, kwargs)
            return span(
                self.name,
                request=request,
                metadata=self._metadata,
                tags=self._tags,
                report=self._report,
                reporter=self._reporter,
            )

        return decorate(function, begin)

    def start(self) -> Scope:
        """Begin the span without setting its scope; `with` does both."""
        return self._start(look_up_scopes(sys._getframe(1)))  # noqa: SLF001 - as above

    def _start(self, around: ScopeLookup) -> Scope:
        if self._inner is not None:
            raise RuntimeError("a span serves one block; make another one")
        outer = around.in_force
        parent = parent_of(outer)
        self.trace_id = parent.trace_id or os.urandom(16).hex()
        self.span_id = os.urandom(8).hex()
        self._parent_span_id = parent.span_id
        self._token: ScopeToken[Scope] = ScopeToken()
        self._called = CalledReporters(outer.called)
        self._inner = child_scope(
            around,
            self._token,
            metadata={**outer.metadata, **self._metadata},
            trace_id=self.trace_id,
            span_id=self.span_id,
            report=self._report and outer.report,
            reporter=self._reporter or outer.reporter,
            called=self._called,
            foreign_span=parent.foreign,
        )
        if self._inner.report:
            self._request_then = Snapshot(self.request)
            process.hook_exit()  # the process may end before this block does
        self.requested_at = time.time()
        self._began = time.perf_counter()
        return self._inner

    def finish(self, error: BaseException | None, result: Any) -> None:
        """End the span and report it, once; `with` does this on exit."""
        if self._is_over:
            return
        self._is_over = True
        if self._inner is not None and self._inner.report:
            run_guarded("reporting a span", self._submit, self._inner, error, result)

    def end_at_exit(self) -> None:
        """End the span because the process ends inside the block."""
        self.finish(UnfinishedError(OPEN_AT_EXIT), self.response)

    def _submit(self, inner: Scope, error: BaseException | None, result: Any) -> None:
        reporter = choose_reporter(inner.reporter, self._called)
        if reporter is None or not reporter.settings.enabled:
            return
        seconds = time.perf_counter() - self._began
        left_early = isinstance(error, GeneratorExit)
        fields: dict[str, Any] = {
            "requestedAt": round(self.requested_at * 1000),
            "receivedAt": round((self.requested_at + seconds) * 1000),
            "reqPayload": {
                "name": self.name,
                "input": None,
                "metadata": {**inner.metadata},
            },
            "statusCode": 200 if error is None or left_early else 500,
            "tags": {
                **self._tags,
                **trace_tags(self.trace_id, self.span_id, self._parent_span_id),
                "$sdk": SDK,
                "$sdk.version": VERSION,
                "$endpoint": "span",
            },
        }
        request, response = self._request_then, Snapshot(result)
        if error is not None:
            fields["errorMessage"] = describe_end(error) if left_early else describe_error(error)
        if self._called.is_withheld:  # the data of that call may be in all of these
            request = response = Snapshot(_WITHHELD)
            if error is not None:
                fields["errorMessage"] = type(error).__name__
        hooks = further_hooks(reporter, self._called)
        reporter.submit(_SpanSource(fields, request, response, self.trace_id, hooks))
