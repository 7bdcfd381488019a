"""
Logging: errors of this package are kept from the caller, counted, and logged once per place.

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

_counts: Counter[str] = Counter()


def log_internal_error(where: str) -> None:
    """Count the exception being handled; log the first one of each place. Never raises."""
    try:
        _counts[where] += 1
        if _counts[where] > 1:
            return
        kind, _, trace = sys.exc_info()
        frame = traceback.extract_tb(trace)[-1] if trace else None
        logger.warning(
            "openpipe_report: internal error in %s (%s at %s:%s); your call was not affected; "
            "further ones are only counted in Reporter.stats().faults",
            where,
            kind.__name__ if kind else "unknown",
            frame.filename if frame else "?",
            frame.lineno if frame else "?",
        )
    except Exception:  # noqa: BLE001, S110 - the last resort of a guard is silence
        pass


def run_guarded(where: str, act: Callable[..., object], *arguments: object) -> None:
    """Do a piece of our work on a caller's thread; what it raises stays inside."""
    try:
        act(*arguments)
    except Exception:  # noqa: BLE001 - this is the guard
        log_internal_error(where)


def internal_error_count() -> int:
    """How many faults this process has kept from its callers."""
    return sum(_counts.values())
