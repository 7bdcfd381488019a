"""Selects the ids of the reports that match a filter, from the plan of its query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, union

from openpipe_report.server.store.dialects import without_index
from openpipe_report.server.store.tables import reports

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from openpipe_report.server.store.filters import Plan, Start


def select_ids(plan: Plan, *, newest_first: bool, beyond: int | None) -> Any:
    """Select the ids of the reports of a plan, in order, beyond an id."""
    arms: list[Any] = [_select_arm(plan, start, newest_first, beyond) for start in plan.starts]
    if not arms:
        arms = [_select_arm(plan, None, newest_first, beyond)]
    query: Any = arms[0]
    if len(arms) > 1:
        query = union(*arms)
    column = query.selected_columns[0]
    if not plan.is_ordered:
        # Otherwise SQLite prefers to go through all reports in order, and to sort none.
        column = without_index(column)
    return query.order_by(column.desc() if newest_first else column)


def _select_arm(
    plan: Plan,
    start: Start | None,
    newest_first: bool,  # noqa: FBT001 - private
    beyond: int | None,
) -> Any:
    if start is None:
        column: ColumnElement[int] = reports.c.id
        query: Any = select(column)
    else:
        column = start.report_id
        source = start.table
        if source is not reports and plan.checks:
            source = source.join(reports, reports.c.id == column)
        query = select(column.label("id")).select_from(source).where(start.clause)
    if beyond is not None:
        query = query.where(column < beyond if newest_first else column > beyond)
    return query.where(*plan.bounds(column), *plan.checks)
