"""
Spans and runs that may still be open when the process ends: the exit hook reports them.

They are held weakly, since most end long before, some by being collected. There is no lock: each
change of the dict affects one key, and copying its values is atomic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from weakref import KeyedRef

from openpipe_report._delivery import process
from openpipe_report._log import run_guarded

if TYPE_CHECKING:
    from collections.abc import Hashable


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
            for reference in list(_begun.values()):
                work = reference()
                if work is not None:
                    run_guarded("ending a span", work.end_at_exit)

    def drain(self, deadline: float) -> None: ...

    def drop_remaining(self, deadline: float) -> None: ...

    def reset(self) -> None:
        _begun.clear()  # the parent process reports them


_begun: dict[Hashable, KeyedRef[Hashable, Unfinished]] = {}
"""By the id of the object."""

_at_exit = _AtExit()
process.register(_at_exit)


def register_unfinished(work: Unfinished) -> None:
    """Let the exit hook end a span or run that is still open then."""
    key = id(work)
    _begun[key] = KeyedRef(work, _forget, key)


def _forget(reference: KeyedRef[Hashable, Unfinished]) -> None:
    # Called by the garbage collector. Another object may have the same id already.
    if _begun.get(reference.key) is reference:
        del _begun[reference.key]
