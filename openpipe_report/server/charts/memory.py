"""Keeps charts for some seconds: a page and its images show the same numbers, read once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from openpipe_report.server.charts.drawing import Drawing, draw
from openpipe_report.server.charts.measures import MEASURES
from openpipe_report.server.charts.palette import PALETTES

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from openpipe_report.server.charts.timeline import Timeline

KEPT_FOR = 10.0
"""Seconds for which the same numbers are shown."""
MAX_KEPT = 16
"""Most timelines that are kept."""


class Charts:
    """A timeline, and the charts of it that were drawn."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._drawn: dict[tuple[str, str, int], Drawing] = {}

    def draw(self, measure: str, theme: str, width: int) -> Drawing:
        """Return a chart, by the names of its measure and its palette."""
        key = (measure, theme, width)
        if key not in self._drawn:
            self._drawn[key] = draw(self.timeline, MEASURES[measure], PALETTES[theme], width)
        return self._drawn[key]


class ChartMemory:
    """
    The charts that were asked for in the last seconds. Safe to use from any thread.

    Args:
        clock: Seconds of a clock that is never set back.

    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[Hashable, tuple[float, Future[Charts | None]]] = {}

    def get(self, key: Hashable, read: Callable[[], Timeline | None]) -> Charts | None:
        """
        Return the charts with this key, or read them; other threads with the key wait meanwhile.

        Args:
            key: What they are of, the project included.
            read: Reads their timeline; None if there are no reports. What it raises, all raise.

        """
        with self._lock:
            until, future = self._kept.get(key, (0.0, None))
            is_known = future is not None and self._clock() < until
            if future is None or not is_known:
                future = Future()
                self._remember(key, future)
        if not is_known:
            self._read(future, read)
        return future.result()

    def _remember(self, key: Hashable, future: Future[Charts | None]) -> None:
        self._kept.pop(key, None)
        while len(self._kept) >= MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (self._clock() + KEPT_FOR, future)

    def _read(self, future: Future[Charts | None], read: Callable[[], Timeline | None]) -> None:
        try:
            timeline = read()
        except BaseException as error:
            future.set_exception(error)
            raise
        future.set_result(None if timeline is None else Charts(timeline))
