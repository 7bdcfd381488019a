"""
The context variables, and `metadata()`.

A scope is a value: entering makes a new one, leaving puts the old one back by value, never by
`Token.reset`, which raises when a scope is left from another task than it was entered in.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

    from openpipe_report._reporter import Reporter

MetadataValue = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Scope:
    """What `metadata()` and `span()` have put in force; never changed, only replaced."""

    metadata: Mapping[str, MetadataValue] = field(default_factory=dict[str, MetadataValue])
    trace_id: str | None = None
    span_id: str | None = None
    report: bool = True
    reporter: Reporter | None = None
    foreign_span: int = 0
    """OpenTelemetry's span that was active when the innermost span of ours began."""
    block: object = None
    """The block that put it in force, and what was in force before."""
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
    for key, value in values.items():
        if not (value is None or isinstance(value, (str, int, float))):
            raise TypeError(
                f"{what}[{key!r}] must be a string, number, boolean or None, "
                f"got {type(value).__name__}"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise TypeError(f"{what}[{key!r}] must be a finite number")
    return dict(values)


def inner_scope(block: object, **changes: Any) -> Scope:
    """Return what is to be in force in a block: what is now, but for the changes."""
    outer = scope.get()
    return replace(outer, block=block, outer=outer, **changes)


def leave_scope(block: object) -> None:
    """Bring back what was in force before the block, if this context is inside it at all."""
    current: Scope | None = scope.get()
    while current is not None:
        if current.block is block:
            scope.set(current.outer or Scope())
            return
        current = current.outer


class Block(ABC):
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


class metadata(Block):  # noqa: N801 - used as a function: `with metadata(user="u1"):`
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
        TypeError: A value is of another kind.
    """

    __slots__ = ("_report", "_values")

    def __init__(self, *, report: bool = True, **values: MetadataValue) -> None:
        self._values = check_values("metadata", values)
        self._report = report

    def __enter__(self) -> Self:
        outer = scope.get()
        joined = {**outer.metadata, **self._values}
        report = outer.report and self._report
        scope.set(inner_scope(self, metadata=joined, report=report))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        leave_scope(self)
