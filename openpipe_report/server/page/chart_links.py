"""The links of a chart's legend, table and bars: the list with the filter that each stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openpipe_report.server.charts.links import condition_of_group, conditions_of_time
from openpipe_report.server.page.links import url_with, with_value

if TYPE_CHECKING:
    from openpipe_report.server.charts.timeline import Group, Timeline
    from openpipe_report.server.page.links import Pairs
    from openpipe_report.server.store.filters import Filter


class ChartLinks:
    """
    Links from one timeline.

    Args:
        timeline: What is shown.
        pairs: The filter in force, as pairs of a query string.
        wanted: The same filter.

    """

    def __init__(self, timeline: Timeline, pairs: Pairs, wanted: Filter) -> None:
        self._timeline = timeline
        self._pairs = pairs
        self._wanted = wanted

    def of_group(self, group: Group, time: int | None = None) -> str | None:
        """Return the link to the reports of a group, or None where no filter finds them."""
        condition = condition_of_group(self._timeline.by, group)
        is_all = len(self._timeline.groups) == 1 and self._timeline.by is None
        if condition is None and not is_all:
            return None
        pairs = self._pairs if time is None else self._at(time)
        return url_with("/", pairs if condition is None else with_value(pairs, *condition))

    def of_time(self, time: int) -> str:
        """Return the link to the reports of a time bucket."""
        return url_with("/", self._at(time))

    def _at(self, time: int) -> Pairs:
        pairs = self._pairs
        (since, begin), (until, end) = conditions_of_time(self._timeline, time)
        if self._wanted.since is None or self._wanted.since < float(begin):
            pairs = with_value(pairs, since, begin)
        if self._wanted.until is None or self._wanted.until > float(end):
            pairs = with_value(pairs, until, end)
        return pairs
