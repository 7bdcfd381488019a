"""
Erases reports, with all that was derived from them, a few at a time beside running writes.

A report leaves its row, its text, its labels, the search index, and the changes that wait for it.
What they leave behind in the file is wiped by `wiping`.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, select

from openpipe_report.server.store.labels import storable_name, to_string
from openpipe_report.server.store.search_index import remove_from_index
from openpipe_report.server.store.search_text import derive_text
from openpipe_report.server.store.tables import labels, pending_updates, raw_reports, reports

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from sqlalchemy import Connection

    from openpipe_report.server.store.database import Database
    from openpipe_report.server.store.filters import Filter
    from openpipe_report.server.store.queries import Queries
    from openpipe_report.server.store.search_index import SearchIndex
    from openpipe_report.server.store.writer import Writer

STEP = 50
"""Reports that one transaction erases; it takes about 20 ms, in which no report is committed."""
SHARE = 0.5
"""Most of the time for which the database is kept from other writers."""

_LARGE_STEP = 4 * 2**20
_LONGEST_PAUSE = 1.0


class _Doomed(NamedTuple):
    """Reports that are to be erased, with the texts that the search index has of them."""

    texts: dict[int, str]
    completion_ids: list[tuple[str, str]]
    """Project and completion id."""


class Eraser:
    """
    Erases the reports of one database that match a filter. Used by one thread.

    Args:
        database: The database.
        queries: Finds the reports.
        writer: The thread that writes.

    """

    def __init__(self, database: Database, queries: Queries, writer: Writer) -> None:
        self._database = database
        self._queries = queries
        self._writer = writer

    def erase(
        self,
        wanted: Filter,
        progress: Callable[[int], None] | None = None,
        is_stopped: Callable[[], bool] | None = None,
    ) -> int:
        """
        Erase the reports that match; returns how many.

        Args:
            wanted: The conditions.
            progress: Is told how many are erased, after each step.
            is_stopped: Is asked before each step whether to leave the rest.

        Raises:
            StoreError: The database cannot be written. What was erased until then is gone.

        """
        erased = 0
        for ids in self._queries.iterate_ids(wanted, STEP, _LARGE_STEP):
            if is_stopped is not None and is_stopped():
                return erased
            erased += self._erase_some(ids)
            if progress is not None:
                progress(erased)
        self.step(lambda connection: _forget_pending(connection, wanted))
        return erased

    def step(self, change: Callable[[Connection], Any]) -> Any:
        """Run a change in a transaction of its own, then leave the database to other writers."""
        began = time.monotonic()

        def steps(connection: Connection) -> Generator[None, None, Any]:
            yield from ()
            with self._database.overwriting(connection):
                return change(connection)

        result = self._writer.change(steps).result()
        taken = time.monotonic() - began
        time.sleep(min(taken * (1 / SHARE - 1), _LONGEST_PAUSE))
        return result

    def _erase_some(self, ids: Sequence[int]) -> int:
        doomed = self._load(ids)
        erased: int = self.step(lambda connection: _erase(connection, self._database.index, doomed))
        return erased

    def _load(self, ids: Sequence[int]) -> _Doomed:
        # Derived without a lock: it takes longer than the rest, and a report never changes.
        columns = (reports.c.id, reports.c.project, reports.c.completion_id, raw_reports.c.report)
        joined = reports.join(raw_reports, raw_reports.c.report_id == reports.c.id)
        query = select(*columns).select_from(joined).where(reports.c.id.in_(ids))
        with self._database.engine.connect() as connection:
            rows = connection.execute(query).all()
        texts = {row.id: derive_text(json.loads(row.report)) for row in rows}
        of_completions = [(row.project, row.completion_id) for row in rows if row.completion_id]
        return _Doomed(texts, of_completions)


def _erase(connection: Connection, index: SearchIndex, doomed: _Doomed) -> int:
    # Another process may have erased some of them meanwhile.
    query = select(reports.c.id).where(reports.c.id.in_(doomed.texts))
    ids = list(connection.execute(query).scalars())
    remove_from_index(connection, index, [(one, doomed.texts[one]) for one in ids])
    connection.execute(delete(labels).where(labels.c.report_id.in_(ids)))
    connection.execute(delete(raw_reports).where(raw_reports.c.report_id.in_(ids)))
    connection.execute(delete(reports).where(reports.c.id.in_(ids)))
    for project, completion_id in doomed.completion_ids:
        of_report = pending_updates.c.completion_id == completion_id
        of_report &= pending_updates.c.project == project
        connection.execute(delete(pending_updates).where(of_report))
    return len(ids)


def _forget_pending(connection: Connection, wanted: Filter) -> None:
    """Drop the changes that wait for a report that would match, and those that are too old."""
    now = time.time() * 1_000
    connection.execute(delete(pending_updates).where(pending_updates.c.expires_at <= now))
    given = {storable_name(name): to_string(value) for name, value in wanted.metadata}
    if not given:
        return
    rows = connection.execute(select(pending_updates)).all()
    of_project = [row for row in rows if wanted.project in {None, row.project}]
    doomed = [row.id for row in of_project if _mentions(row, given)]
    for one in doomed:
        connection.execute(delete(pending_updates).where(pending_updates.c.id == one))


def _mentions(row: Any, given: dict[str, str]) -> bool:
    """Return whether a change that waits names one of these labels with its value."""
    changes: dict[str, str | None] = json.loads(row.changes)
    named = [(name, value) for name, value in changes.items() if value is not None]
    named += [(one["field"].partition(".")[2], one["equals"]) for one in json.loads(row.filters)]
    return any(given.get(storable_name(name)) == to_string(value) for name, value in named)
