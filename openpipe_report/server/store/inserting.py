"""Inserts prepared reports and changes their labels, inside a transaction of the caller's."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select

from openpipe_report.server.store.bulk import BulkInsert
from openpipe_report.server.store.dialects import upsert
from openpipe_report.server.store.errors import IdempotencyConflictError
from openpipe_report.server.store.labels import storable_name, to_columns
from openpipe_report.server.store.pricing import UNKNOWN
from openpipe_report.server.store.tables import DEFAULT_PROJECT, labels, raw_reports, reports

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from openpipe_report.server.store.database import Database
    from openpipe_report.server.store.preparing import PreparedReport
    from openpipe_report.server.store.pricing import Price

_INSERT_REPORTS = BulkInsert(reports)
_INSERT_RAW = BulkInsert(raw_reports)
_INSERT_LABELS = BulkInsert(labels)
_KEYS_AT_ONCE = 500


class NewReport:
    """A prepared report with its price, and what its insert has led to."""

    __slots__ = ("conflict", "entry", "key", "prepared", "price", "project", "report_id")

    def __init__(
        self,
        prepared: PreparedReport,
        price: Price,
        key: str | None,
        project: str = DEFAULT_PROJECT,
    ) -> None:
        self.prepared = prepared
        self.price = price
        self.key = None if key is None else (project, key)
        """The project and its key, which is unique in the project."""
        self.project = project
        self.entry: Any = None
        """Its entry in a search index that is filled in the same transaction."""
        self.report_id: int | None = None
        """Its id; None if a report with its key was stored before."""
        self.conflict: IdempotencyConflictError | None = None
        """Set if that report has another content."""


def insert_reports(
    database: Database, connection: Connection, new: Sequence[NewReport]
) -> list[NewReport]:
    """
    Insert reports and return those that were inserted: a repeated key is left out.

    Args:
        database: The database of the connection.
        connection: A connection inside a transaction that may write.
        new: The reports, with their entries if the search index does not follow.

    """
    known = _find_keys(connection, new)
    inserted: list[NewReport] = []
    for one in new:
        if one.key is not None and one.key in known:
            if known[one.key] != one.prepared.raw:
                one.conflict = IdempotencyConflictError(
                    "the Idempotency-Key was used before, for another report"
                )
            continue
        if one.key is not None:
            known[one.key] = one.prepared.raw
        inserted.append(one)
    if inserted:
        for number, one in enumerate(inserted, database.take_ids(connection, len(inserted))):
            one.report_id = number
        _insert_rows(connection, inserted)
        if not database.index.follows:
            database.index.add(connection, [(one.report_id or 0, one.entry) for one in inserted])
    return inserted


def insert_rows(
    connection: Connection,
    rows: Sequence[Mapping[str, Any]],
    into_reports: BulkInsert = _INSERT_REPORTS,
) -> None:
    """
    Insert reports whose ids are known, such as those of an older file.

    Args:
        connection: A connection inside a transaction.
        rows: For each report `columns` (of the table `reports`), `raw` and `labels`.
        into_reports: The insert of `columns`; another one than the default for an older table.

    """
    into_reports.execute(connection, [row["columns"] for row in rows])
    raw = [{"report_id": row["columns"]["id"], "report": row["raw"]} for row in rows]
    _INSERT_RAW.execute(connection, raw)
    found = [
        {"report_id": row["columns"]["id"], "updated_at": None, **label}
        for row in rows
        for label in row["labels"]
    ]
    if found:
        _INSERT_LABELS.execute(connection, found)


def change_labels(
    connection: Connection, report_ids: Iterable[int], changes: Mapping[str, str | None]
) -> None:
    """Set labels of reports; a value of None removes the label."""
    now = time.time() * 1_000
    values = {
        storable_name(name): {"value": None, "is_text": True}
        if value is None
        else to_columns(value)
        for name, value in changes.items()
    }
    rows = [
        {"report_id": report_id, "name": name, "updated_at": now, **value}
        for report_id in report_ids
        for name, value in values.items()
    ]
    if rows:
        change = upsert(connection, labels)
        changed = {name: change.excluded[name] for name in ("value", "is_text", "updated_at")}
        change = change.on_conflict_do_update(index_elements=["report_id", "name"], set_=changed)
        connection.execute(change, rows)


def change_prices(connection: Connection, prices: Mapping[int, Price]) -> None:
    """Set the costs of reports by id."""
    names = UNKNOWN.columns()
    query = reports.update().where(reports.c.id == bindparam("report_id"))
    rows = [{"report_id": one, **prices[one].columns()} for one in prices]
    if rows:
        connection.execute(query.values({name: bindparam(name) for name in names}), rows)


def to_json(value: object) -> str:
    """Return a value as compact ASCII JSON."""
    return json.dumps(value, separators=(",", ":"))


def _find_keys(connection: Connection, new: Sequence[NewReport]) -> dict[tuple[str, str], str]:
    """Return the reports of those keys that are stored, by project and key."""
    keys = [one.key[1] for one in new if one.key is not None]
    found: dict[tuple[str, str], str] = {}
    joined = reports.join(raw_reports, raw_reports.c.report_id == reports.c.id)
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = reports.c.idempotency_key.in_(keys[start : start + _KEYS_AT_ONCE])
        query = select(reports.c.project, reports.c.idempotency_key, raw_reports.c.report)
        for project, key, report in connection.execute(query.select_from(joined).where(some)):
            found[project, key] = report
    return found


def _insert_rows(connection: Connection, new: Sequence[NewReport]) -> None:
    rows: list[dict[str, Any]] = []
    for one in new:
        columns = {
            "id": one.report_id,
            "project": one.project,
            "idempotency_key": None if one.key is None else one.key[1],
            **one.prepared.columns,
            **one.price.columns(),
        }
        rows.append({"columns": columns, "raw": one.prepared.raw, "labels": one.prepared.labels})
    insert_rows(connection, rows)
