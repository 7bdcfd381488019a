"""
Changes labels of stored reports, as feedback does; keeps feedback that comes before its report.

A change is applied in steps, each a transaction of its own, so that one that matches everything
does not hold up the reports that come meanwhile.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, TypedDict

from sqlalchemy import ColumnElement, and_, delete, exists, insert, or_, select, true

from openpipe_report.server.store.dialects import equals, without_index
from openpipe_report.server.store.inserting import change_labels, to_json
from openpipe_report.server.store.labels import storable_name, to_string
from openpipe_report.server.store.tables import labels, pending_updates, reports
from openpipe_report.server.store.values import get_text

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from openpipe_report.server.store.inserting import NewReport

KEPT_FOR = 3_600.0
"""Seconds that a change waits for its report."""
MAX_PENDING = 10_000
"""Most changes of a project that wait; the oldest are dropped."""

_STEP = 2_000
"""Labels that a step changes; it takes about 40 ms, in which no report is committed."""


class UpdateFilter(TypedDict):
    """A condition on the reports whose labels change; `equals` is compared as a string."""

    field: str
    """`model` (the request's or the answer's), `completionId`, `metadata.NAME` or `tags.NAME`."""
    equals: str | float | bool


def check_filters(filters: Iterable[UpdateFilter]) -> None:
    """Raise ValueError if a filter has a field that is not known."""
    for one in filters:
        _condition(one)


def change_matching(
    connection: Connection,
    project: str,
    filters: Sequence[UpdateFilter],
    changes: Mapping[str, str | None],
    now: float,
) -> Generator[None, None, int]:
    """
    Change the labels of a project's reports that match all filters; the caller runs each step.

    Args:
        connection: A connection; the caller puts a transaction around each step.
        project: The project.
        filters: The conditions; none match every report of the project.
        changes: The new values by name; None removes a label.
        now: Unix time in milliseconds.

    Returns:
        How many reports match. If there is none, the change may wait for its report.

    """
    of_project = reports.c.project == project
    if filters:
        of_project = without_index(reports.c.project) == project
    query = select(reports.c.id).where(of_project, _conditions(filters)).order_by(reports.c.id)
    found = list(connection.execute(query).scalars())
    if not found:
        keep_pending(connection, project, filters, changes, now)
    step = max(_STEP // max(len(changes), 1), 1)
    for start in range(0, len(found), step):
        change_labels(connection, found[start : start + step], changes)
        yield
    return len(found)


def keep_pending(
    connection: Connection,
    project: str,
    filters: Sequence[UpdateFilter],
    changes: Mapping[str, str | None],
    now: float,
) -> None:
    """Keep a change that has matched nothing, if a filter names the completion that it is for."""
    wanted = [_column_value(one) for one in filters if one["field"] == "completionId"]
    if not wanted:
        return
    connection.execute(delete(pending_updates).where(pending_updates.c.expires_at <= now))
    of_project = pending_updates.c.project == project
    newest = select(pending_updates.c.id).where(of_project).order_by(pending_updates.c.id.desc())
    oldest_kept = connection.execute(newest.offset(MAX_PENDING - 2).limit(1)).scalar()
    if oldest_kept is not None:
        older = delete(pending_updates).where(of_project, pending_updates.c.id < oldest_kept)
        connection.execute(older)
    row = {
        "project": project,
        "completion_id": wanted[0],
        "filters": to_json(filters),
        "changes": to_json(changes),
        "expires_at": now + KEPT_FOR * 1_000,
    }
    connection.execute(insert(pending_updates).values(row))


def apply_pending(connection: Connection, inserted: Sequence[NewReport]) -> None:
    """Apply the changes that have waited for these reports, in the order in which they came."""
    if not connection.execute(select(exists().where(true()).select_from(pending_updates))).scalar():
        return
    by_completion: dict[tuple[str, str], list[int]] = {}
    for one in inserted:
        completion_id = one.prepared.columns["completion_id"]
        if completion_id is not None and one.report_id is not None:
            by_completion.setdefault((one.project, completion_id), []).append(one.report_id)
    waiting = pending_updates.c.completion_id.in_({one for _, one in by_completion})
    current = pending_updates.c.expires_at > time.time() * 1_000
    query = select(pending_updates).where(waiting, current).order_by(pending_updates.c.id)
    for row in connection.execute(query).all():
        of_project = by_completion.get((row.project, row.completion_id))
        if of_project is None:
            continue
        conditions = _conditions(json.loads(row.filters))
        among = reports.c.id.in_(of_project)
        found = connection.execute(select(reports.c.id).where(among, conditions)).scalars().all()
        if found:
            change_labels(connection, found, json.loads(row.changes))
            connection.execute(delete(pending_updates).where(pending_updates.c.id == row.id))


def _conditions(filters: Iterable[UpdateFilter]) -> ColumnElement[bool]:
    return and_(true(), *(_condition(one) for one in filters))


def _condition(one: UpdateFilter) -> ColumnElement[bool]:
    field = one["field"]
    if field == "model":
        model = _column_value(one)
        return or_(reports.c.request_model == model, reports.c.response_model == model)
    if field == "completionId":
        return reports.c.completion_id == _column_value(one)
    of, _, name = field.partition(".")
    if of not in {"metadata", "tags"} or not name:
        raise ValueError(
            f"a filter's field must be model, completionId, metadata.NAME or tags.NAME, not {field}"
        )
    return reports.c.id.in_(
        select(labels.c.report_id).where(
            labels.c.name == storable_name(name),
            equals(labels.c.value, to_string(one["equals"])),
        )
    )


def _column_value(one: UpdateFilter) -> str | None:
    # Cut as the column is: a longer id would never be found.
    return get_text(to_string(one["equals"]))
