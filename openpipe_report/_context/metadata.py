"""
metadata(): labels the calls and spans inside a block, or keeps them from being reported.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from openpipe_report._context.binding import ScopeToken
from openpipe_report._context.scope import (
    MetadataValue,
    Scope,
    child_scope,
    enter_scope,
    exit_scope,
    look_up_scopes,
    scope,
)
from openpipe_report._report.label_values import check_values

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from typing_extensions import Self


class AsyncableContextManager(ABC):
    """The base of `metadata` and `span`: `async with` does what `with` does, without waiting."""

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
    carried over. In a generator they apply to what it does itself and to the tasks it starts,
    whichever thread or task runs its steps, and not to what its consumer does between the steps.
    Works as `with` and `async with`, any number of times.

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
        self._tokens: list[ScopeToken[Scope]] = []

    def __enter__(self) -> Self:
        frame = sys._getframe(1)  # noqa: SLF001 - as above
        around = look_up_scopes(frame)
        outer = around.in_force
        token: ScopeToken[Scope] = ScopeToken()
        self._tokens.append(token)
        joined = {**outer.metadata, **self._values}
        report = outer.report and self._report
        inner = child_scope(around, token, metadata=joined, report=report)
        enter_scope(inner, token, around, frame)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        token = self._token_of(sys._getframe(1))  # noqa: SLF001 - as above
        self._tokens.remove(token)
        exit_scope(token)

    def _token_of(self, frame: FrameType | None) -> ScopeToken[Scope]:
        """Find the entry that ends here: the generator's, else the context's, else the last."""
        tokens = self._tokens
        if len(tokens) == 1:
            return tokens[0]
        generators = {token.frame for token in tokens if token.frame is not None}
        while generators and frame is not None:
            if frame in generators:
                return next(token for token in reversed(tokens) if token.frame is frame)
            frame = frame.f_back
        current: Scope | None = scope.get()
        while current is not None and current.token is not None:
            if current.token in tokens:
                return current.token
            current = current.token.outer
        return tokens[-1]
