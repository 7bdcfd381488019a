"""
Logging: errors of this package are kept from the caller and counted; nothing is said twice.

Every hook that runs on a caller's thread goes through `run_guarded()`, or does the same by hand.
The log line has the kind of error and its place, never its text: that could hold a prompt or a key.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("openpipe_report")


class _State:
    """What this process has logged. Shared without a lock: at worst a line comes twice."""

    def __init__(self) -> None:
        self.errors: Counter[str] = Counter()
        self.said: set[str] = set()


_state = _State()


def log_once(
    key: str,
    message: str,
    *arguments: object,
    level: int = logging.WARNING,
    said: set[str] | None = None,
) -> None:
    """
    Log a line the first time that its key comes. Never raises, whatever a handler does.

    Args:
        key: What the line is about.
        message: A format string, without the package's name.
        arguments: What is put into it.
        level: One of logging's.
        said: The keys that were logged before; by default, those of the whole process.
    """
    said = _state.said if said is None else said
    if key in said:
        return
    said.add(key)
    run_guarded("logging", logger.log, level, f"openpipe_report: {message}", *arguments)


def log_internal_error(where: str) -> None:
    """Count the exception being handled; log the first one of each place. Never raises."""
    try:
        _state.errors[where] += 1
        if _state.errors[where] > 1:
            return
        kind, _, trace = sys.exc_info()
        frame = traceback.extract_tb(trace)[-1] if trace else None
        logger.warning(
            "openpipe_report: internal error in %s (%s at %s:%s); your call was not affected; "
            "further ones are only counted in openpipe_report.stats().faults",
            where,
            kind.__name__ if kind else "unknown",
            frame.filename if frame else "?",
            frame.lineno if frame else "?",
        )
    except Exception:  # noqa: BLE001, S110 - the last resort of a guard is silence
        pass


def run_guarded(where: str, act: Callable[..., object], *arguments: object) -> None:
    """Run a piece of our work on a caller's thread; an exception of it stays inside."""
    try:
        act(*arguments)
    except Exception:  # noqa: BLE001 - this is the guard
        log_internal_error(where)


def internal_error_count() -> int:
    """Return how many errors of this package were kept from the callers of this process."""
    return sum(_state.errors.values())
