"""
Sums and percentiles of the reports that match a filter, by time and by a column or label.

Percentiles are of the nearest rank: a value that was measured, such that at least half (or 95 %) of
the values are not above it.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Double,
    TypeDecorator,
    case,
    cast,
    func,
    literal,
    null,
    select,
)

from openpipe_report.server.store.dialects import is_postgresql
from openpipe_report.server.store.tables import labels, reports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Dialect

    from openpipe_report.server.store.filters import Plan

BUCKETS = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
"""Lengths of the time buckets in milliseconds; they begin at multiples of it, in UTC."""
GROUPS = (
    *("model", "request_model", "response_model", "endpoint", "status", "failed", "finish_reason"),
    *("streamed", "span_name", "trace_id", "service_tier", "error", "project"),
)
"""Columns to group by; `metadata.NAME` groups by a label."""

MAX_GROUPS = 10_000
"""Most groups and time buckets of one answer."""

_OF_LABEL = "metadata."
_TOKENS = (
    reports.c.prompt_tokens,
    reports.c.completion_tokens,
    reports.c.total_tokens,
    reports.c.cached_tokens,
    reports.c.reasoning_tokens,
)
_PERCENTS = (50, 95)
_FETCHED = 5_000


class _Tokens(TypeDecorator[int]):
    """A sum of doubles, read as a whole number."""

    impl = Double
    cache_ok = True

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:
        """Return the sum as an integer."""
        del dialect
        return None if value is None else int(value)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the calls of one group and time bucket come to. A sum over no value is None."""

    bucket: int | None
    """Begin of the time bucket: Unix time in milliseconds; None without buckets."""
    group: str | float | bool | None
    """The value that the reports share; None without grouping, and where they have none."""
    calls: int
    errors: int
    """Calls that have failed."""
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost: float | None
    """US dollars, of the calls whose cost is known."""
    unpriced: int
    """Calls whose cost is unknown though they have token counts."""
    p50_ms: float | None = None
    """Median duration in milliseconds."""
    p95_ms: float | None = None
    p50_first_byte_ms: float | None = None
    """Median time to the first byte of the answer, in milliseconds."""
    p95_first_byte_ms: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return asdict(self)


def stats(
    connection: Connection,
    plan: Plan,
    by: str | None = None,
    bucket: str | None = None,
) -> list[Statistics]:
    """
    Return the statistics of the reports of a plan, by time bucket, then by group.

    Args:
        connection: A connection to read.
        plan: The conditions.
        by: One of `GROUPS`, or `metadata.NAME`; None for one group.
        bucket: One of `BUCKETS`; None for one bucket.

    Returns:
        One entry for each bucket and group that has reports; without both, always one.

    Raises:
        ValueError: `by` or `bucket` is not known, or there are more than `MAX_GROUPS`.

    """
    if bucket is not None and bucket not in BUCKETS:
        raise ValueError(f"the time bucket must be {', '.join(BUCKETS)}, not {bucket}")
    condition = plan.clause()
    keys: tuple[ColumnElement[Any], ColumnElement[Any]] = (_bucket(bucket), _group(by))
    sums = _sum(connection, keys, condition)
    if not sums and by is None and bucket is None:
        return [Statistics(None, None, 0, 0, None, None, None, None, None, None, 0)]
    if len(sums) > MAX_GROUPS:
        raise ValueError(
            f"there are more than {MAX_GROUPS:,} groups: choose fewer reports, or larger groups"
        )
    percentiles = _percentiles(connection, keys, condition)
    # A report that has come between the two queries may be in the first alone.
    return [Statistics(*row, *percentiles.get(row[:2], ())) for row in map(tuple, sums)]


def _bucket(name: str | None) -> ColumnElement[Any]:
    if name is None:
        return null()
    return reports.c.at - reports.c.at % literal(BUCKETS[name], BigInteger)


def _group(by: str | None) -> ColumnElement[Any]:
    if by is None:
        return null()
    if by.startswith(_OF_LABEL) and by != _OF_LABEL:
        name = by.removeprefix(_OF_LABEL)
        of_row = (labels.c.report_id == reports.c.id) & (labels.c.name == name)
        return select(labels.c.value).where(of_row).correlate(reports).scalar_subquery()
    if by == "model":
        return func.coalesce(reports.c.response_model, reports.c.request_model)
    if by not in GROUPS:
        raise ValueError(f"statistics are by {', '.join(GROUPS)} or metadata.NAME, not by {by}")
    return reports.c[by]


def _sum(
    connection: Connection,
    keys: tuple[ColumnElement[Any], ColumnElement[Any]],
    condition: ColumnElement[bool],
) -> Sequence[Any]:
    unpriced = reports.c.cost.is_(None) & reports.c.prompt_tokens.is_not(None)
    query = select(
        keys[0].label("bucket"),
        keys[1].label("group_value"),
        func.count(),
        func.coalesce(func.sum(case((reports.c.failed, 1), else_=0)), 0),
        *(_sum_tokens(column) for column in _TOKENS),
        func.sum(reports.c.cost),
        func.coalesce(func.sum(case((unpriced, 1), else_=0)), 0),
    )
    query = query.where(condition).group_by("bucket", "group_value")
    found = connection.execute(query.limit(MAX_GROUPS + 1)).all()
    # Sorted here: databases differ in where nulls come, and in the order of texts.
    return sorted(found, key=lambda row: [(one is not None, one) for one in row[:2]])


def _sum_tokens(column: ColumnElement[int]) -> ColumnElement[int]:
    # As doubles: SQLite fails where a sum of integers is beyond 64 bits, and a client may claim so.
    return func.sum(cast(column, Double), type_=_Tokens())


def _percentiles(
    connection: Connection,
    keys: tuple[ColumnElement[Any], ColumnElement[Any]],
    condition: ColumnElement[bool],
) -> dict[tuple[Any, Any], tuple[float | None, ...]]:
    """Return the percentiles of the duration, then those of the first byte, by bucket and group."""
    if is_postgresql(connection):
        return _percentiles_of_server(connection, keys, condition)
    # Sorted here: window functions of SQLite take three times as long.
    query = select(*keys, reports.c.duration_ms, reports.c.first_byte_ms).where(condition)
    values: defaultdict[tuple[Any, Any], tuple[array[float], array[float]]]
    values = defaultdict(lambda: (array("d"), array("d")))
    streamed = connection.execute(query.execution_options(yield_per=_FETCHED))
    for bucket, group, duration, first_byte in streamed:
        durations, first_bytes = values[bucket, group]
        if duration is not None:
            durations.append(duration)
        if first_byte is not None:
            first_bytes.append(first_byte)
    return {key: (*_rank(both[0]), *_rank(both[1])) for key, both in values.items()}


def _percentiles_of_server(
    connection: Connection,
    keys: tuple[ColumnElement[Any], ColumnElement[Any]],
    condition: ColumnElement[bool],
) -> dict[tuple[Any, Any], tuple[float | None, ...]]:
    query = select(
        keys[0].label("bucket"),
        keys[1].label("group_value"),
        *(
            func.percentile_disc(percent / 100).within_group(column)
            for column in (reports.c.duration_ms, reports.c.first_byte_ms)
            for percent in _PERCENTS
        ),
    )
    query = query.where(condition).group_by("bucket", "group_value")
    rows = map(tuple, connection.execute(query))
    return {row[:2]: row[2:] for row in rows}


def _rank(values: array[float]) -> list[float | None]:
    ordered = sorted(values)
    if not ordered:
        return [None for _ in _PERCENTS]
    return [ordered[-(-len(ordered) * percent // 100) - 1] for percent in _PERCENTS]
