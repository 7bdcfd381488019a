"""
Copies all that one store has into another one, whatever their databases are.

Reports are copied in the order of their ids, which they keep, a transaction for some of them. What
a run has left out is copied by the next one, which begins after the last report that is there.
Labels that were changed, API keys and waiting changes come last, in each run.

A store that holds anything else is left unchanged.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, delete, func, insert, select, tuple_

from openpipe_report.server.store.dialects import restart_ids, upsert
from openpipe_report.server.store.errors import StoreError
from openpipe_report.server.store.inserting import insert_rows
from openpipe_report.server.store.search_index import index_next
from openpipe_report.server.store.search_text import derive_text
from openpipe_report.server.store.tables import (
    api_keys,
    labels,
    pending_updates,
    raw_reports,
    reports,
)
from openpipe_report.server.store.values import get_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from openpipe_report.server.store.database import Database

_BATCH = 500
_MAX_BYTES = 16 * 2**20
_COMPARED = 10_000
_CHANGED = 2_000


class Copy:
    """
    One run of a copy.

    Args:
        source: The database to read.
        target: The database to write to.
        progress: Is told how many reports are there, and how many there are.

    """

    def __init__(
        self, source: Database, target: Database, progress: Callable[[int, int], None] | None
    ) -> None:
        self._source = source
        self._target = target
        self._progress = progress

    def run(self) -> int:
        """
        Copy what is missing; return how many reports that were.

        Raises:
            StoreError: The target holds something else, or cannot be written.

        """
        with self._source.engine.connect() as reading, self._target.engine.connect() as writing:
            self._check(reading, writing)
            copied = self._copy_reports(reading, writing)
            self._copy_changed_labels(reading, writing)
            with self._target.transaction(writing):
                for table in (api_keys, pending_updates):
                    _replace(reading, writing, table)
                self._target.note_id(writing, self._source.highest_id(reading))
            self._complete_index(writing)
        return copied

    def _check(self, reading: Connection, writing: Connection) -> None:
        """Check that each report and key of the target is one of the source."""
        columns = (reports.c.id, reports.c.stored_at, reports.c.project, reports.c.idempotency_key)
        query = select(*columns).order_by(reports.c.id).limit(_COMPARED)
        last = 0
        while there := writing.execute(query.where(reports.c.id > last)).all():
            between = query.where(reports.c.id > last, reports.c.id <= there[-1].id)
            here = reading.execute(between).all()
            if [_identity(row) for row in here] != [_identity(row) for row in there]:
                raise self._other("reports", " or has erased them since the last copy")
            last = there[-1].id
        hashes = select(api_keys.c.key_hash)
        if not set(writing.execute(hashes).scalars()) <= set(reading.execute(hashes).scalars()):
            raise self._other("API keys")

    def _other(self, what: str, or_else: str = "") -> StoreError:
        return StoreError(
            f"{self._target.name} holds {what} that {self._source.name} does not hold{or_else}; "
            "it was left unchanged: copy to an empty database"
        )

    def _copy_reports(self, reading: Connection, writing: Connection) -> int:
        total = _count(reading)
        done = first = _count(writing)
        last: int = writing.execute(select(func.max(reports.c.id))).scalar() or 0
        while ids := _next_ids(reading, last):
            rows = _read(reading, ids)
            with self._target.transaction(writing):
                insert_rows(writing, rows)
                self._add_entries(writing, rows)
                self._target.note_id(writing, ids[-1])
            last, done = ids[-1], done + len(ids)
            if self._progress is not None:
                self._progress(done, max(done, total))
        return done - first

    def _add_entries(self, writing: Connection, rows: Sequence[dict[str, Any]]) -> None:
        index = self._target.index
        if not index.follows:
            texts = [(row["columns"]["id"], derive_text(json.loads(row["raw"]))) for row in rows]
            index.add(writing, [(one, index.entry(text)) for one, text in texts])

    def _copy_changed_labels(self, reading: Connection, writing: Connection) -> None:
        key = (labels.c.report_id, labels.c.name)
        query = select(labels).where(labels.c.updated_at.is_not(None)).order_by(*key)
        last: tuple[int, str] = (0, "")
        while True:
            found = reading.execute(query.where(tuple_(*key) > last).limit(_CHANGED)).mappings()
            rows = [dict(row) for row in found]
            if not rows:
                return
            last = (rows[-1]["report_id"], rows[-1]["name"])
            with self._target.transaction(writing):
                change = upsert(writing, labels)
                names = ("value", "is_text", "updated_at")
                changed = {name: change.excluded[name] for name in names}
                writing.execute(
                    change.on_conflict_do_update(index_elements=list(key), set_=changed), rows
                )

    def _complete_index(self, writing: Connection) -> None:
        index = self._target.index
        done = index.follows
        while done:
            with self._target.transaction(writing):
                done = bool(index_next(writing, index, _BATCH, {}))


def _identity(row: Any) -> tuple[Any, ...]:
    key = row.idempotency_key
    return (row.id, row.stored_at, row.project, None if key is None else get_key(key))


def _count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(reports)).scalar_one()


def _next_ids(reading: Connection, last: int) -> list[int]:
    """Return the ids of the next reports, of as many as fit into memory."""
    query = select(raw_reports.c.report_id, func.length(raw_reports.c.report))
    query = query.where(raw_reports.c.report_id > last).order_by(raw_reports.c.report_id)
    ids: list[int] = []
    size = 0
    for report_id, length in reading.execute(query.limit(_BATCH)):
        size += length
        if ids and size > _MAX_BYTES:
            break
        ids.append(report_id)
    return ids


def _read(reading: Connection, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return the rows of reports as `insert_rows()` takes them."""
    of_ids = select(raw_reports).where(raw_reports.c.report_id.in_(ids))
    raw = dict(map(tuple, reading.execute(of_ids)))
    of_report: dict[int, list[dict[str, Any]]] = {one: [] for one in ids}
    for row in reading.execute(select(labels).where(labels.c.report_id.in_(ids))).mappings():
        of_report[row["report_id"]].append(dict(row))
    found = select(reports).where(reports.c.id.in_(ids)).order_by(reports.c.id)
    rows: list[dict[str, Any]] = []
    for row in reading.execute(found).mappings():
        columns = dict(row)
        if columns["idempotency_key"] is not None:
            columns["idempotency_key"] = get_key(columns["idempotency_key"])
        one = columns["id"]
        rows.append({"columns": columns, "raw": raw[one], "labels": of_report[one]})
    return rows


def _replace(reading: Connection, writing: Connection, table: Table) -> None:
    rows = [dict(row) for row in reading.execute(select(table)).mappings()]
    writing.execute(delete(table))
    if rows:
        writing.execute(insert(table), rows)
        restart_ids(writing, table)
