"""
One run of a decorated function, from the call to the end of the work that the function returned.
"""

from __future__ import annotations

import inspect
import itertools
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from openpipe_report._context.binding import open_blocks
from openpipe_report._context.scope import Scope, look_up_scopes, scope
from openpipe_report._context.unfinished import register_unfinished
from openpipe_report._log import run_guarded

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

LEFT_EARLY = "left before its end"
"""The error message of a generator or coroutine that was closed before its end."""

OPEN_AT_EXIT = "still open at exit"

MAX_ITEMS = 10_000
"""Items of a generator or stream that are kept as its result."""


_numbers = itertools.count()


class UnfinishedError(GeneratorExit):
    """The error that is recorded for returned work that was never finished."""


def describe_end(error: BaseException) -> str:
    """Describe the end of work that was not finished, but has not failed."""
    return str(error) if isinstance(error, UnfinishedError) else LEFT_EARLY


class WrappedRun(Protocol):
    """The span, or the carried scope, of one run of a decorated function."""

    def start(self) -> Scope:
        """Begin the run and return its scope."""
        ...

    def finish(self, error: BaseException | None, result: Any) -> None:
        """End the run with its exception or None, and with its result, which may be partial."""
        ...


class ActivatedScope:
    """
    A context manager that sets a scope, for one step of work at a time.

    If a step enters a block and leaves it open, the next step begins with the scope of that block.

    Args:
        inner: The scope.
        run: The run that an exception ends; None if the caller ends it.
    """

    __slots__ = ("_active", "_inner", "_outer", "_run")

    def __init__(self, inner: Scope, run: Run | None = None) -> None:
        self._inner = inner
        self._run = run

    def __enter__(self) -> Self:
        outer = self._outer = scope.get()
        inner = self._inner
        generator_block, report, token = None, outer.report, outer.token
        if open_blocks or (token is not None and token.is_over):
            around = look_up_scopes(sys._getframe(1))  # noqa: SLF001 - the public ways are slow
            generator_block, report = around.generator_block, around.in_force.report
        if inner.generator_block is not generator_block:
            inner = self._inner = replace(inner, generator_block=generator_block)
        if inner.report and not report:  # the caller of this step has opted out
            inner = replace(inner, report=False)
        self._active = inner
        scope.set(inner)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        left = scope.get()
        if left is not self._active:  # a block that was entered is open until the next step
            self._inner = left
        scope.set(self._outer)
        if error is not None and self._run is not None:
            self._run.finish(error, None)


class Run:
    """
    One run of a decorated function, from its call to the end of the work that it returned.

    A run ends once; later ends change nothing. If nobody awaits, reads or closes the object that
    the function returned, the run ends when it is collected.
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
        self._is_over = True  # until work.start() has succeeded
        self._pending: Any = None
        self._pid = os.getpid()
        self._reason = LEFT_EARLY
        self._work = work
        self.number = next(_numbers)
        """A number that increases from run to run."""
        self.items: list[Any] | None = None
        """The items that a generator or stream has yielded so far."""
        self.scope = work.start()
        self._is_over = False
        register_unfinished(self)

    def finish(self, error: BaseException | None, result: Any) -> None:
        """End the run with its exception or None, and with its result, which may be partial."""
        if not self._is_over:
            self._is_over = True
            self._work.finish(error, result)

    def wait_for(self, pending: Any, reason: str) -> None:
        """
        Hold the work that the function returned until somebody begins it.

        Args:
            pending: A coroutine or generator.
            reason: The error message for work that is never begun.
        """
        self._pending, self._reason = pending, reason

    def begin_pending(self) -> Any:
        """Return the work that was held, since somebody begins it."""
        pending, self._pending, self._reason = self._pending, None, LEFT_EARLY
        return pending

    def end_at_exit(self) -> None:
        """End the run because the process ends."""
        self.finish(UnfinishedError(OPEN_AT_EXIT), self.items)

    def __del__(self) -> None:
        # Called by the garbage collector, in any thread.
        self.abandon()

    def abandon(self) -> None:
        """End the run because nobody can finish its work; in a forked child, the parent does."""
        if not self._is_over and self._pid == os.getpid():
            run_guarded("ending a run", self._end_unfinished)

    def _end_unfinished(self) -> None:
        if inspect.iscoroutine(self._pending):
            self._pending.close()  # Python warns about its wrapper, which was never awaited
        self.finish(UnfinishedError(self._reason), self.items)
