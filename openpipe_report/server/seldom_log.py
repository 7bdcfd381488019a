"""Logs failures that may come with every request, without filling the disk."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL = 60.0
"""Default of the least seconds between two lines of a kind."""

_log = logging.getLogger("openpipe_report.server")


class SeldomLog:
    """
    Logs errors of each kind at most once in an interval; a line counts those that were left out.

    Args:
        interval: Least seconds between two lines of a kind.
        clock: Seconds of a clock that is never set back.

    """

    def __init__(
        self, interval: float = INTERVAL, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = interval
        self._clock = clock
        self._not_before: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def write(self, kind: str, reason: object) -> None:
        """Log `kind: reason`, unless a line of the kind was logged less than the interval ago."""
        now = self._clock()
        if now < self._not_before.get(kind, now):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._not_before[kind] = now + self._interval
        left_out = self._left_out.pop(kind, 0)
        more = f" (and {left_out} times more since the last line)" if left_out else ""
        _log.error("%s: %s%s", kind, reason, more)
