"""
The context variables, and `metadata()`.

A scope is a value: entering makes a new one, leaving puts the old one back by value, never by
`Token.reset`, which raises when a scope is left from another task than it was entered in.
"""

from __future__ import annotations

import asyncio
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from openpipe_report._context.called import CalledReporters
    from openpipe_report._delivery.reporter import Reporter

MetadataValue = str | int | float | bool | None


class ScopeToken:
    """One entering of a block, by one thread or task."""

    __slots__ = ("over", "owner")

    def __init__(self) -> None:
        self.owner = _here()
        self.over = False


def _here() -> tuple[int, int]:
    """Name the thread and task that run."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), 0 if task is None else id(task)


@dataclass(frozen=True, slots=True)
class Scope:
    """What `metadata()` and `span()` have put in force; never changed, only replaced."""

    metadata: Mapping[str, MetadataValue] = field(default_factory=dict[str, MetadataValue])
    trace_id: str | None = None
    span_id: str | None = None
    report: bool = True
    reporter: Reporter | None = None
    called: CalledReporters | None = None
    """The reporters of the calls made inside the innermost span."""
    foreign_span: int = 0
    """OpenTelemetry's span that was active when the innermost span of ours began."""
    token: ScopeToken | None = None
    """The entering of a block that put it in force, and what was in force before."""
    outer: Scope | None = None


scope: ContextVar[Scope] = ContextVar("openpipe_report_scope", default=Scope())  # noqa: B039

current_call: ContextVar[Any] = ContextVar("openpipe_report_call", default=None)
"""The call whose `request()` is running; None inside a request that is not reported."""


def check_values(what: str, values: Mapping[str, Any]) -> dict[str, MetadataValue]:
    """
    Copy metadata or tags, whose values are strings, finite numbers, booleans or None.

    Raises:
        TypeError: A value is of another kind; the message names its key, never the value.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{what} must be a mapping, got {type(values).__name__}")
    for key, value in values.items():
        if not isinstance(key, str):
            raise TypeError(f"{what} must have strings as keys, got {key!r}")
        if not (value is None or isinstance(value, (str, int, float))):
            raise TypeError(
                f"{what}[{key!r}] must be a string, number, boolean or None, "
                f"got {type(value).__name__}"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise TypeError(f"{what}[{key!r}] must be a finite number")
    return dict(values)


def current_scope() -> Scope:
    """
    Return what is in force here.

    A block can exit in another task, or out of order with the blocks of a second generator. Its
    scope then stays current here and is skipped, but not by the tasks that were started inside.
    """
    current = scope.get()
    if current.token is None or not current.token.over:
        return current
    here = _here()
    while current.token is not None and current.token.over and current.token.owner == here:
        current = current.outer or Scope()
    scope.set(current)
    return current


def child_scope(outer: Scope, token: ScopeToken, **changes: Any) -> Scope:
    """Return what is to be in force in a block: what is around it, but for the changes."""
    return replace(outer, token=token, outer=outer, **changes)


def exit_scope(token: ScopeToken) -> None:
    """Bring back what was in force before the block; where it is not the innermost, later."""
    token.over = True
    current = scope.get()
    if current.token is token:
        scope.set(current.outer or Scope())


class AsyncableContextManager(ABC):
    """What `metadata` and `span` share: `async with` is `with`, since neither waits."""

    __slots__ = ()

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


class metadata(AsyncableContextManager):  # noqa: N801 - used as a function: `with metadata(user="u1"):`
    """
    Label every call and span made inside the block.

        with metadata(user="u1", feature="search"):
            client.chat.completions.create(...)

    The values join what outer blocks have set; an inner one wins. They follow the context
    variables: tasks that are started inside have them, threads only where their context is
    carried over. Works as `with`, `async with`, any number of times.

    Args:
        report: False keeps the calls inside from being reported at all.
        values: Strings, finite numbers, booleans or None, by any name.

    Raises:
        TypeError: A value is of another kind, or `report` is neither True nor False.
    """

    __slots__ = ("_report", "_tokens", "_values")

    def __init__(self, /, *, report: bool = True, **values: MetadataValue) -> None:
        if not isinstance(report, bool):
            raise TypeError(
                f"metadata(report=...) takes True or False, got {type(report).__name__}; "
                'a label of that name goes on the call: metadata={"report": ...}'
            )
        self._values = check_values("metadata", values)
        self._report = report
        self._tokens: list[ScopeToken] = []

    def __enter__(self) -> Self:
        outer = current_scope()
        token = ScopeToken()
        self._tokens.append(token)
        joined = {**outer.metadata, **self._values}
        report = outer.report and self._report
        scope.set(child_scope(outer, token, metadata=joined, report=report))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tokens = self._tokens
        current: Scope | None = scope.get()
        while current is not None and current.token not in tokens:
            current = current.outer
        token = tokens[-1] if current is None else current.token
        if token is not None:  # the one of this context, else the last
            tokens.remove(token)
            exit_scope(token)
