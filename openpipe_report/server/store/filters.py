"""
Filter: which reports to list, count or sum up; and the plan of the query that finds them.

A query starts from the condition that matches the fewest reports, through the index of that
condition, and checks the others row by row. How few is counted first, up to a limit: SQLite's own
choice knows nothing of the values and is wrong by a factor of thousands for common ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, true

from openpipe_report.server.store.dialects import equals, without_index
from openpipe_report.server.store.labels import to_string
from openpipe_report.server.store.tables import labels, reports
from openpipe_report.server.store.values import get_class

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from openpipe_report.server.store.search_index import SearchIndex

_COUNTED = 20_000
_FEW = 1_000
_CLASSES = {f"{number}xx": number * 100 for number in range(1, 10)}


@dataclass(frozen=True)
class Filter:
    """
    Conditions on reports, all of which must hold; the default holds for every report.

    Raises:
        ValueError: `status` is neither a number nor a class.

    """

    project: str | None = None
    """The project that they belong to; None for all."""
    since: float | None = None
    """Unix time in milliseconds: `at` is not earlier."""
    until: float | None = None
    """Unix time in milliseconds: `at` is earlier."""
    model: str | None = None
    """The request's model, or the answer's."""
    endpoint: str | None = None
    status: int | str | None = None
    """A status, or a class of them such as `5xx`."""
    error: bool | None = None
    """Whether the call failed: an error message, or a status of 400 or more."""
    metadata: tuple[tuple[str, str | float | bool], ...] = field(default=())
    """Labels by name; values are compared as strings."""
    trace: str | None = None
    """A trace id."""
    text: str | None = None
    """Words that prompt, answer, tool arguments or error must contain, in any order."""
    min_cost: float | None = None
    """US dollars."""
    min_ms: float | None = None
    """Duration in milliseconds."""

    def __post_init__(self) -> None:
        """Check the status."""
        if self.status is not None:
            _status_range(self.status)


class Start(NamedTuple):
    """A table that has an index for a condition."""

    table: Any
    report_id: ColumnElement[int]
    clause: ColumnElement[bool]

    def select(self) -> Select[Any]:
        """Select the ids of the reports of the condition."""
        return select(self.report_id).select_from(self.table).where(self.clause)


class Condition(NamedTuple):
    """One condition of a filter, in both forms."""

    starts: tuple[Start, ...]
    """Where a query can start; more than one are alternatives, whose reports are united."""
    check: ColumnElement[bool]
    """The condition on a row of `reports`, without an index."""
    is_ordered: bool = True
    """Whether the index gives the reports in order of their ids."""
    is_text: bool = False
    is_exact: bool = True
    """Whether the starts have no reports besides those of the condition."""


class Plan(NamedTuple):
    """Where a query starts, and what is checked of each row of `reports`."""

    starts: tuple[Start, ...]
    is_ordered: bool
    """Whether the start gives the reports in order of their ids."""
    checks: tuple[ColumnElement[bool], ...]
    first_id: int | None = None
    """No report with a lower id matches; None if that is not known."""
    last_id: int | None = None

    def bounds(self, report_id: ColumnElement[int]) -> list[ColumnElement[bool]]:
        """Return the conditions on a column of report ids."""
        first = [] if self.first_id is None else [report_id >= self.first_id]
        return first if self.last_id is None else [*first, report_id <= self.last_id]

    def clause(self) -> ColumnElement[bool]:
        """Return the whole condition on `reports`, for a query without an order."""
        found = [
            start.clause if start.table is reports else reports.c.id.in_(start.select())
            for start in self.starts
        ]
        return and_(or_(*found) if found else true(), *self.bounds(reports.c.id), *self.checks)


def make_plan(
    connection: Connection, index: SearchIndex, wanted: Filter, *, in_order: bool = True
) -> Plan:
    """Choose where the query of a filter starts; `in_order` if it wants the first few by id."""
    conditions = list(_conditions(index, wanted))
    first = _choose_start(connection, conditions)
    checks = tuple(one.check for one in conditions if one is not first or not one.is_exact)
    plan = Plan((), is_ordered=True, checks=checks)
    if first is not None:
        plan = plan._replace(starts=first.starts, is_ordered=first.is_ordered)
    if wanted.until is not None or (wanted.since is not None and not in_order):
        # Times are almost in the order of the ids: so few reports besides those are looked at.
        bounds = select(func.min(reports.c.id), func.max(reports.c.id)).where(_in_time(wanted))
        first_id, last_id = connection.execute(bounds).one()
        plan = plan._replace(first_id=first_id or 0, last_id=last_id or 0)
    return plan


def _choose_start(connection: Connection, conditions: Sequence[Condition]) -> Condition | None:
    """Return the condition from whose index a query starts; None if it goes through all reports."""
    if len(conditions) == 1 and conditions[0].is_ordered:
        return conditions[0]
    counted = [(_count(connection, one.starts), one) for one in conditions]
    few = [pair for pair in counted if pair[0] < _COUNTED]
    first = min(few, key=lambda pair: pair[0])[1] if few else None
    if first is None or (not first.is_text and min(few, key=lambda pair: pair[0])[0] >= _FEW):
        # The words of a report are not looked up report by report for more than a few.
        first = next((one for one in conditions if one.is_text), first)
    if first is None:
        return _choose_common(connection, [one for one in conditions if one.is_ordered])
    return first


def _choose_common(connection: Connection, conditions: Sequence[Condition]) -> Condition | None:
    """Return the condition that the fewest of the newest reports match; None if there is none."""
    if len(conditions) <= 1:
        return next(iter(conditions), None)
    # The further back so many of its reports reach, the fewer there are among the newest. It shows
    # too that a project, a model or a label is no longer in use.
    return min(conditions, key=lambda one: max(_reach(connection, start) for start in one.starts))


def _reach(connection: Connection, start: Start) -> int:
    """Return the id of the last of the newest reports of a condition, up to a limit of them."""
    newest = start.select().order_by(start.report_id.desc()).limit(_COUNTED).subquery()
    return connection.execute(select(func.min(newest.c[0]))).scalar() or 0


def _in_time(wanted: Filter) -> ColumnElement[bool]:
    return _range(reports.c.at, wanted.since, wanted.until).starts[0].clause


def _count(connection: Connection, starts: tuple[Start, ...]) -> int:
    """Count the reports of a condition, up to a limit."""
    total = 0
    for start in starts:
        query = select(func.count()).select_from(start.select().limit(_COUNTED).subquery())
        total += connection.execute(query).scalar_one()
    return total


def _conditions(index: SearchIndex, wanted: Filter) -> Iterator[Condition]:
    if wanted.text:
        yield _text(index, wanted.text)
    for name, value in wanted.metadata:
        yield _label(name, to_string(value))
    equal = {
        reports.c.trace_id: wanted.trace,
        reports.c.failed: wanted.error,
        reports.c.endpoint: wanted.endpoint,
        reports.c.project: wanted.project,
    }
    for column, wanted_value in equal.items():
        if wanted_value is not None:
            yield _equal(column, wanted_value)
    if wanted.model is not None:
        yield _model(wanted.model)
    if wanted.status is not None:
        first, end = _status_range(wanted.status)
        if end - first == 1:
            yield _equal(reports.c.status, first)
        else:
            yield _range(reports.c.status, first, end)
    if wanted.since is not None or wanted.until is not None:
        yield _range(reports.c.at, wanted.since, wanted.until)
    if wanted.min_cost is not None:
        yield _at_least(reports.c.cost, reports.c.cost_class, wanted.min_cost)
    if wanted.min_ms is not None:
        yield _at_least(reports.c.duration_ms, reports.c.duration_class, wanted.min_ms)


def _equal(column: ColumnElement[Any], value: object) -> Condition:
    start = Start(reports, reports.c.id, column == value)
    return Condition((start,), without_index(column) == value)


def _range(column: ColumnElement[Any], first: float | None, end: float | None) -> Condition:
    def clause(of: ColumnElement[Any]) -> ColumnElement[bool]:
        lower = true() if first is None else of >= first
        return and_(lower, true() if end is None else of < end)

    start = Start(reports, reports.c.id, clause(column))
    return Condition((start,), clause(without_index(column)), is_ordered=False)


def _at_least(column: ColumnElement[Any], of_class: ColumnElement[Any], least: float) -> Condition:
    start = Start(reports, reports.c.id, of_class >= get_class(least))
    return Condition((start,), without_index(column) >= least, is_ordered=False, is_exact=False)


def _model(model: str) -> Condition:
    columns = (reports.c.request_model, reports.c.response_model)
    starts = tuple(Start(reports, reports.c.id, column == model) for column in columns)
    return Condition(starts, or_(*(without_index(column) == model for column in columns)))


def _label(name: str, value: str) -> Condition:
    clause = and_(labels.c.name == name, equals(labels.c.value, value))
    of_row = exists().where(labels.c.report_id == reports.c.id, clause).correlate(reports)
    return Condition((Start(labels, labels.c.report_id, clause),), of_row)


def _text(index: SearchIndex, text: str) -> Condition:
    table, report_id, clause = index.source(text)
    of_row = exists(select(report_id).where(clause, report_id == reports.c.id).correlate(reports))
    return Condition((Start(table, report_id, clause),), of_row, is_text=True)


def _status_range(status: int | str) -> tuple[int, int]:
    if isinstance(status, str) and status.lower() in _CLASSES:
        first = _CLASSES[status.lower()]
        return first, first + 100
    if isinstance(status, str) and not status.isdecimal():
        raise ValueError(f"a status is a number or a class such as 5xx, not {status}")
    return int(status), int(status) + 1
