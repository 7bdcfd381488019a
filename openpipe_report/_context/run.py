"""
One run of a decorated function: the scope that it has, and its end, which comes once.
"""

from __future__ import annotations

import inspect
import itertools
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from openpipe_report._context.binding import open_blocks
from openpipe_report._context.scope import Scope, scope, surroundings
from openpipe_report._context.unfinished import end_at_exit
from openpipe_report._log import run_guarded

if TYPE_CHECKING:
    from typing_extensions import Self

LEFT_EARLY = "left before its end"
"""What is said of a generator or coroutine that was closed before it was done."""

OPEN_AT_EXIT = "still open at exit"

MAX_ITEMS = 10_000
"""Items of a generator or stream that are kept as its result."""


_numbers = itertools.count()


class UnfinishedError(GeneratorExit):
    """Recorded when returned work was never finished."""


def describe_end(error: BaseException) -> str:
    """Describe the end of work that was not finished, but has not failed."""
    return str(error) if isinstance(error, UnfinishedError) else LEFT_EARLY


class WrappedRun(Protocol):
    """What goes on around one run of a decorated function."""

    def start(self) -> Scope:
        """Begin; return the scope for the run."""
        ...

    def finish(self, error: BaseException | None, result: Any) -> None:
        """End, with the exception that left the run, and its result or what there is of it."""
        ...


class ActivatedScope:
    """Puts a scope in force for a block, any number of times; keeps what the block made of it."""

    __slots__ = ("_active", "_inner", "_outer")

    def __init__(self, inner: Scope) -> None:
        self._inner = inner

    def __enter__(self) -> Self:
        outer = self._outer = scope.get()
        inner = self._inner
        under, report, token = None, outer.report, outer.token
        if open_blocks or (token is not None and token.over):
            around = surroundings(sys._getframe(1))  # noqa: SLF001 - the public ways are slow
            under, report = around.under, around.scope.report
        if inner.under is not under:
            inner = self._inner = replace(inner, under=under)
        if inner.report and not report:  # an opt-out of whoever takes this step
            inner = replace(inner, report=False)
        self._active = inner
        scope.set(inner)
        return self

    def __exit__(self, *_: object) -> None:
        left = scope.get()
        if left is not self._active:  # a block was entered, and stays open until the next step
            self._inner = left
        scope.set(self._outer)


class Run:
    """
    One run of a decorated function, from its call to the end of the work that it returned.

    It ends once: later ends change nothing. One that is collected before its end, because nobody
    awaited, read or closed what the function returned, ends by that.
    """

    __slots__ = (
        "__weakref__",
        "_is_over",
        "_pending",
        "_pid",
        "_reason",
        "_work",
        "items",
        "number",
        "scope",
    )

    def __init__(self, work: WrappedRun) -> None:
        self._is_over = True  # until it has begun
        self._pending: Any = None
        self._pid = os.getpid()
        self._reason = LEFT_EARLY
        self._work = work
        self.number = next(_numbers)
        """Grows from run to run."""
        self.items: list[Any] | None = None
        """What a generator or stream has given so far."""
        self.scope = work.start()
        self._is_over = False
        end_at_exit(self)

    def finish(self, error: BaseException | None, result: Any) -> None:
        """End the run, with the exception that left it, and its result or what there is of it."""
        if not self._is_over:
            self._is_over = True
            self._work.finish(error, result)

    def wait_for(self, pending: Any, reason: str) -> None:
        """
        Hold what the function returned until it is begun.

        Args:
            pending: A coroutine or generator.
            reason: What is to be said if it is never begun.
        """
        self._pending, self._reason = pending, reason

    def begin_pending(self) -> Any:
        """Return what was held: somebody begins it."""
        pending, self._pending, self._reason = self._pending, None, LEFT_EARLY
        return pending

    def end_at_exit(self) -> None:
        """End the run, since the process ends."""
        self.finish(UnfinishedError(OPEN_AT_EXIT), self.items)

    def __del__(self) -> None:
        # Runs wherever the garbage collector does.
        self.abandon()

    def abandon(self) -> None:
        """End the run, since nobody can finish its work; in a forked child the parent does."""
        if not self._is_over and self._pid == os.getpid():
            run_guarded("ending a run", self._end_unfinished)

    def _end_unfinished(self) -> None:
        if inspect.iscoroutine(self._pending):
            self._pending.close()  # that it was never awaited is said of its wrapper
        self.finish(UnfinishedError(self._reason), self.items)
