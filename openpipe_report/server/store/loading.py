"""Loads reports by their ids: columns, labels and, where asked for, payloads."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from openpipe_report.server.store.labels import from_columns
from openpipe_report.server.store.rows import StoredReport
from openpipe_report.server.store.tables import labels, raw_reports, reports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

_SHOWN = [reports.c[one.name] for one in fields(StoredReport) if one.name in reports.c]


def split_by_size(connection: Connection, ids: Sequence[int], characters: int) -> list[list[int]]:
    """Split ids into lists whose payloads have so many characters at most, or are of one report."""
    length = func.length(raw_reports.c.report)
    query = select(raw_reports.c.report_id, length).where(raw_reports.c.report_id.in_(ids))
    lengths: dict[int, int] = dict(map(tuple, connection.execute(query)))
    parts: list[list[int]] = []
    total = characters
    for one in ids:
        total += lengths.get(one, 0)
        if total > characters:
            parts.append([])
            total = lengths.get(one, 0)
        parts[-1].append(one)
    return parts


def load_reports(
    connection: Connection, ids: Sequence[int], *, payloads: bool
) -> list[StoredReport]:
    """Return reports by ids, in ascending order."""
    if not ids:
        return []
    found: dict[int, dict[str, Any]] = {one: {} for one in ids}
    query = select(labels).where(labels.c.report_id.in_(ids), labels.c.value.is_not(None))
    for report_id, name, value, is_text, _updated in connection.execute(query):
        found[report_id][name] = from_columns(value, is_text=is_text)
    raw: dict[int, dict[str, Any]] = {}
    if payloads:
        of_ids = select(raw_reports).where(raw_reports.c.report_id.in_(ids))
        raw = {one: json.loads(report) for one, report in connection.execute(of_ids)}
    of_ids = select(*_SHOWN).where(reports.c.id.in_(ids)).order_by(reports.c.id)
    return [
        StoredReport(
            **row,
            metadata=dict(sorted(found[row["id"]].items())),
            report=raw.get(row["id"]),
        )
        for row in (_by_name(one) for one in connection.execute(of_ids).mappings())
    ]


def _by_name(row: Mapping[Any, Any]) -> dict[str, Any]:
    return dict(row)
