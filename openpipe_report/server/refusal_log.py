"""Logs refused requests: the first at once, then at most one line a minute with all of them."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

from openpipe_report.server.errors import code_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report.server.traffic import Traffic

INTERVAL = 60.0
"""Default of the least seconds between two lines."""

_log = logging.getLogger("openpipe_report.server")


class RefusalLog:
    """
    Logs what `Traffic.refused` has counted since its last line.

    Args:
        traffic: The counts.
        interval: Least seconds between two lines.
        clock: Seconds of a clock that is never set back.

    """

    def __init__(
        self,
        traffic: Traffic,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._traffic = traffic
        self._interval = interval
        self._clock = clock
        self._logged: Counter[int] = Counter()
        self._not_before = clock()

    def log_if_due(self) -> None:
        """Log the new refusals, unless a line was logged less than the interval ago."""
        if self._clock() >= self._not_before:
            self.log()

    def log(self) -> None:
        """Log the new refusals, if there are any."""
        new = self._traffic.refused - self._logged
        if not new:
            return
        self._logged = self._traffic.refused.copy()
        self._not_before = self._clock() + self._interval
        parts = [f"{count} x {status} {code_of(status)}" for status, count in sorted(new.items())]
        _log.warning("refused requests: %d (%s)", sum(new.values()), ", ".join(parts))
