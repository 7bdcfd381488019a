"""
Spans and runs that may still be open when the process ends: the exit hook reports them.

They are held weakly, since most end long before, some by being collected.
"""

from __future__ import annotations

from typing import Protocol

from openpipe_report._delivery import process
from openpipe_report._delivery.weak_registry import WeakRegistry
from openpipe_report._log import run_guarded


class Unfinished(Protocol):
    """A span or run that has begun."""

    def end_at_exit(self) -> None:
        """Report the span or run, unless it has ended."""
        ...


class _AtExit:
    """The participant in the exit and forks of the process for all spans and runs."""

    closed = False
    exit_timeout = 0.0

    def sweep(self, *, at_exit: bool) -> None:
        if at_exit:
            for work in _begun:
                run_guarded("ending a span", work.end_at_exit)

    def drain(self, deadline: float) -> None: ...

    def drop_remaining(self, deadline: float) -> None: ...

    def reset(self) -> None:
        _begun.clear()  # the parent process reports them


_begun: WeakRegistry[Unfinished] = WeakRegistry()
_at_exit = _AtExit()
process.register(_at_exit)


def register_unfinished(work: Unfinished) -> None:
    """Let the exit hook end a span or run that is still open then."""
    _begun.add(work)
