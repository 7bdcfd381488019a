"""Timeline: the statistics of the reports that match a filter, by time and by model or label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from openpipe_report.server.store.statistics import BUCKETS, Statistics

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from openpipe_report.server.store import Filter
    from openpipe_report.server.store.queries import Queries

MAX_GROUPS = 7
"""Groups that are shown by name, those with most calls; the others are one."""
MAX_TIMES = 400
"""Most time buckets; of a longer time the last ones are shown."""
OTHERS = "others"
"""Title of the groups beyond `MAX_GROUPS`."""

_TITLES: dict[str, dict[object, str]] = {
    "failed": {True: "failed", False: "succeeded"},
    "streamed": {True: "streamed", False: "not streamed"},
}
_LONGEST = {"minute": 3 * BUCKETS["hour"], "hour": 4 * BUCKETS["day"]}


@dataclass(frozen=True)
class Group:
    """The calls of one model or label."""

    value: str | float | bool | None
    """The value that the calls have in common; None where they have none."""
    title: str
    is_others: bool
    """Whether these are all groups beyond the first ones."""
    total: Statistics
    points: list[Statistics | None]
    """The statistics of each time bucket; None where there are no calls."""


@dataclass(frozen=True)
class Timeline:
    """Statistics by time and by group."""

    by: str | None
    """What is grouped by, as in `Queries.stats`; None for one group."""
    bucket: str
    """`minute`, `hour` or `day`."""
    times: list[int]
    """Where each time bucket begins: Unix time in milliseconds, none left out."""
    groups: list[Group]
    """The groups with most calls first."""
    is_cut: bool
    """Whether there are reports before the first time bucket."""

    @property
    def length(self) -> int:
        """The length of a time bucket in milliseconds."""
        return BUCKETS[self.bucket]


def read_timeline(queries: Queries, wanted: Filter, by: str | None) -> Timeline | None:
    """
    Read the timeline of the reports that match; None if there are none.

    Args:
        queries: The store's.
        wanted: The conditions.
        by: A column or label, as in `Queries.stats`; None for one group.

    Raises:
        ValueError: `by` is not known, or has too many values.

    """
    span = queries.time_span(wanted)
    if span is None:
        return None
    first, last = span
    bucket = _choose_bucket(last - first)
    length = BUCKETS[bucket]
    begin = max(first - first % length, last - last % length - (MAX_TIMES - 1) * length)
    is_cut = begin > first
    if is_cut:
        wanted = replace(wanted, since=begin)
    times = list(range(begin, last + 1, length))
    totals = queries.stats(wanted, by=by)
    cells = queries.stats(wanted, by=by, bucket=bucket)
    return Timeline(by, bucket, times, _group(by, times, totals, cells), is_cut)


def _choose_bucket(span: float) -> str:
    return next((name for name, longest in _LONGEST.items() if span <= longest), "day")


def _group(
    by: str | None,
    times: Sequence[int],
    totals: Sequence[Statistics],
    cells: Iterable[Statistics],
) -> list[Group]:
    ordered = sorted(totals, key=lambda one: one.calls, reverse=True)
    # One group more than that is shown as it is: "others" would take the same place.
    count = MAX_GROUPS if len(ordered) > MAX_GROUPS + 1 else len(ordered)
    kept, others = ordered[:count], ordered[count:]
    by_place = {(cell.group, cell.bucket): cell for cell in cells}
    groups = [
        Group(
            one.group,
            _title(by, one.group),
            is_others=False,
            total=one,
            points=[by_place.get((one.group, time)) for time in times],
        )
        for one in kept
    ]
    if not others:
        return groups
    names = {one.group for one in others}
    apart: dict[int | None, list[Statistics]] = {}
    for (name, time), cell in by_place.items():
        if name in names:
            apart.setdefault(time, []).append(cell)
    points = [add_up(apart[time]) if time in apart else None for time in times]
    title = f"{len(others)} {OTHERS}"
    return [*groups, Group(None, title, is_others=True, total=add_up(others), points=points)]


def add_up(some: Sequence[Statistics]) -> Statistics:
    """Return the sums of some statistics; their percentiles cannot be added and are None."""
    return Statistics(
        None,
        None,
        sum(one.calls for one in some),
        sum(one.errors for one in some),
        _sum(one.prompt_tokens for one in some),
        _sum(one.completion_tokens for one in some),
        _sum(one.total_tokens for one in some),
        _sum(one.cached_tokens for one in some),
        _sum(one.reasoning_tokens for one in some),
        _sum_costs(one.cost for one in some),
        sum(one.unpriced for one in some),
    )


def _sum(values: Iterable[int | None]) -> int | None:
    known = [one for one in values if one is not None]
    return sum(known) if known else None


def _sum_costs(values: Iterable[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return sum(known) if known else None


def _title(by: str | None, value: object) -> str:
    if by is None:
        return "all"
    if value is None:
        return "(none)"
    if value == "":
        return "(empty)"
    return _TITLES.get(by, {}).get(value, str(value))
