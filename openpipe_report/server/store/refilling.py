"""Derives all columns and labels again from the reports of a file of the first edition."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, Table

from openpipe_report.server.store.bulk import BulkInsert
from openpipe_report.server.store.inserting import insert_rows
from openpipe_report.server.store.preparing import derive_all
from openpipe_report.server.store.pricing import Pricer

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

_BATCH = 500


def refill(connection: Connection, progress: Callable[[int, int], None] | None) -> None:
    """
    Insert every report of the table `old_reports` into the tables of schema 2, with its id.

    Args:
        connection: A connection inside a transaction.
        progress: Is told how many reports are done, and how many there are.

    """
    pricer = Pricer()
    total = connection.exec_driver_sql("SELECT count(*) FROM old_reports").scalar_one()
    table = Table("reports", MetaData(), autoload_with=connection)
    into_reports = BulkInsert(table)
    last, done = 0, 0
    query = (
        "SELECT id, stored_at, idempotency_key, report FROM old_reports "
        "WHERE id > ? ORDER BY id LIMIT ?"
    )
    while rows := connection.exec_driver_sql(query, (last, _BATCH)).all():
        insert_rows(connection, [_derive(pricer, *row) for row in rows], into_reports)
        last, done = rows[-1].id, done + len(rows)
        if progress is not None:
            progress(done, total)


def _derive(
    pricer: Pricer, report_id: int, stored_at: float, key: str | None, raw: str
) -> dict[str, Any]:
    prepared = derive_all(json.loads(raw), raw, stored_at)
    columns = {"id": report_id, "idempotency_key": key, **prepared.columns}
    columns |= pricer.price(prepared.columns).columns()
    return {"columns": columns, "raw": raw, "labels": prepared.labels}
