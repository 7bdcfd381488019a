"""
The queries: lists, single reports, traces, counts. CLI, API, page and export read through these.

Reports are in order of arrival, that of their ids. A page is found by the id after which it begins,
so the hundredth is as fast as the first, and new reports shift nothing. No query keeps a
transaction open between two pages: a long export does not let the `-wal` grow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import false, func, select, true

from openpipe_report.server.store.dialects import without_index
from openpipe_report.server.store.filters import Filter, Plan, make_plan
from openpipe_report.server.store.loading import load_reports, split_by_size
from openpipe_report.server.store.rows import Page
from openpipe_report.server.store.search_index import count_missing
from openpipe_report.server.store.selecting import select_ids
from openpipe_report.server.store.statistics import Statistics, stats
from openpipe_report.server.store.tables import raw_reports, reports

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Engine

    from openpipe_report.server.store.rows import StoredReport
    from openpipe_report.server.store.search_index import SearchIndex

MAX_LIMIT = 1_000
"""Most reports of one page."""

_PAGE = 200
_PAGE_CHARACTERS = 16 * 2**20
_MAX_ID = 2**63 - 1
_EVERYTHING = Filter()


class Queries:
    """
    The queries of one database. Safe to use from any thread.

    Args:
        engine: The engine of the database.
        index: Its search index.
        project: The project whose reports are found, and no others; None for all.

    """

    def __init__(self, engine: Engine, index: SearchIndex, project: str | None = None) -> None:
        self._engine = engine
        self._index = index
        self._project = project

    @property
    def project(self) -> str | None:
        """The project whose reports are found; None for all."""
        return self._project

    def of_project(self, project: str) -> Queries:
        """Return the same queries over the reports of one project."""
        return Queries(self._engine, self._index, project)

    def list_reports(
        self,
        wanted: Filter = _EVERYTHING,
        *,
        limit: int = 50,
        after: str | None = None,
        payloads: bool = False,
        oldest_first: bool = False,
    ) -> Page:
        """
        Return a page of the reports that match, the newest first.

        Args:
            wanted: The conditions.
            limit: Most reports of the page, from 1 to `MAX_LIMIT`.
            after: `next_cursor` of the page before.
            payloads: Whether each row has its `report`.
            oldest_first: Whether the list begins with the oldest report.

        Raises:
            ValueError: `after` is not a cursor.

        """
        limit = min(max(limit, 1), MAX_LIMIT)
        beyond = None if after is None else _read_cursor(after)
        with self._engine.connect() as connection:
            plan = self._plan(connection, wanted)
            query = select_ids(plan, newest_first=not oldest_first, beyond=beyond)
            ids = connection.execute(query.limit(limit + 1)).scalars().all()
            rows = load_reports(connection, ids[:limit], payloads=payloads)
        more = len(ids) > limit
        return Page(rows if oldest_first else rows[::-1], str(ids[limit - 1]) if more else None)

    def iterate(
        self,
        wanted: Filter = _EVERYTHING,
        *,
        payloads: bool = False,
        after_id: int = 0,
        newest_first: bool = False,
    ) -> Iterator[StoredReport]:
        """
        Yield all reports that match, in constant memory: 200 at a time, fewer with large payloads.

        Args:
            wanted: The conditions.
            payloads: Whether each row has its `report`.
            after_id: Only reports that came after the one with this id.
            newest_first: Whether the newest one is the first, without `after_id`.

        """
        plan: Plan | None = None
        beyond = None if newest_first else after_id
        while True:
            with self._engine.connect() as connection:
                plan = plan or self._plan(connection, wanted)
                query = select_ids(plan, newest_first=newest_first, beyond=beyond).limit(_PAGE)
                ids = connection.execute(query).scalars().all()
                parts = split_by_size(connection, ids, _PAGE_CHARACTERS) if payloads else [ids]
            for part in parts:
                with self._engine.connect() as connection:
                    rows = load_reports(connection, part, payloads=payloads)
                yield from reversed(rows) if newest_first else rows
            if len(ids) < _PAGE:
                return
            beyond = ids[-1]

    def first_of_newest(self, count: int, wanted: Filter = _EVERYTHING) -> int:
        """Return the id of the oldest of the `count` newest reports that match; 0 with fewer."""
        with self._engine.connect() as connection:
            plan = self._plan(connection, wanted)
            query = select_ids(plan, newest_first=True, beyond=None).limit(1).offset(count - 1)
            return connection.execute(query).scalar() or 0

    def iterate_ids(self, wanted: Filter, size: int, characters: int) -> Iterator[Sequence[int]]:
        """
        Yield the ids of all reports that match, the oldest first, a few at a time.

        Args:
            wanted: The conditions.
            size: Most ids at a time.
            characters: Most characters of their payloads, unless one report has more.

        """
        plan: Plan | None = None
        after_id = 0
        while True:
            with self._engine.connect() as connection:
                plan = plan or self._plan(connection, wanted)
                query = select_ids(plan, newest_first=False, beyond=after_id).limit(size)
                ids = connection.execute(query).scalars().all()
                parts = split_by_size(connection, ids, characters)
            yield from parts
            if len(ids) < size:
                return
            after_id = ids[-1]

    def tail(
        self,
        after_id: int,
        wanted: Filter = _EVERYTHING,
        *,
        limit: int = 100,
        payloads: bool = False,
    ) -> list[StoredReport]:
        """Return the first reports that match and came after the one with this id, oldest first."""
        with self._engine.connect() as connection:
            plan = self._plan(connection, wanted)
            query = select_ids(plan, newest_first=False, beyond=max(after_id, 0)).limit(limit)
            return load_reports(
                connection, connection.execute(query).scalars().all(), payloads=payloads
            )

    def newest_id(self) -> int:
        """Return the id of the newest report; 0 if there is none."""
        with self._engine.connect() as connection:
            newest = select(func.max(reports.c.id)).where(self._of_project(reports.c.project))
            return connection.execute(newest).scalar() or 0

    def get_report(self, report_id: int | str, *, payloads: bool = True) -> StoredReport | None:
        """Return a report by its id, or the newest with this completion id."""
        with self._engine.connect() as connection:
            found = self._find_id(connection, report_id)
            rows = [] if found is None else load_reports(connection, [found], payloads=payloads)
        return rows[0] if rows else None

    def get_json(self, report_id: int) -> str | None:
        """Return a report as the ASCII JSON text that is stored, which may have many megabytes."""
        joined = raw_reports.join(reports, reports.c.id == raw_reports.c.report_id)
        query = select(raw_reports.c.report).select_from(joined)
        query = query.where(raw_reports.c.report_id == report_id, self._checked())
        with self._engine.connect() as connection:
            return connection.execute(query).scalar()

    def get_beginnings(self, report_ids: Sequence[int], length: int) -> dict[int, str]:
        """Return the first `length` characters of the stored JSON text of reports, by id."""
        beginning = func.substr(raw_reports.c.report, 1, length)
        joined = raw_reports.join(reports, reports.c.id == raw_reports.c.report_id)
        query = select(raw_reports.c.report_id, beginning).select_from(joined)
        query = query.where(raw_reports.c.report_id.in_(report_ids), self._checked())
        with self._engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def get_trace(self, trace_id: str, *, payloads: bool = False) -> list[StoredReport]:
        """Return the first thousand reports of a trace by the time at which they began."""
        query = select(reports.c.id).where(reports.c.trace_id == trace_id, self._checked())
        with self._engine.connect() as connection:
            query = query.order_by(reports.c.id).limit(MAX_LIMIT)
            ids = connection.execute(query).scalars().all()
            rows = load_reports(connection, ids, payloads=payloads)
        return sorted(rows, key=lambda row: (row.at, row.id))

    def count(self, wanted: Filter = _EVERYTHING) -> int:
        """Return how many reports match."""
        with self._engine.connect() as connection:
            plan = self._plan(connection, wanted, in_order=False)
            query = select(func.count()).select_from(reports).where(plan.clause())
            return connection.execute(query).scalar_one()

    def time_span(self, wanted: Filter = _EVERYTHING) -> tuple[int, int] | None:
        """Return the first and the last `at` of the reports that match, if there are any."""
        with self._engine.connect() as connection:
            plan = self._plan(connection, wanted, in_order=False)
            query = select(func.min(reports.c.at), func.max(reports.c.at)).where(plan.clause())
            first, last = connection.execute(query).one()
        return None if first is None else (first, last)

    def unindexed(self) -> int:
        """Return about how many reports no search finds yet, because the index follows."""
        with self._engine.connect() as connection:
            return count_missing(connection, self._index)

    def stats(
        self, wanted: Filter = _EVERYTHING, *, by: str | None = None, bucket: str | None = None
    ) -> list[Statistics]:
        """
        Return counts, sums and percentiles of the reports that match.

        Args:
            wanted: The conditions.
            by: A column of `statistics.GROUPS`, or `metadata.NAME`; None for one group.
            bucket: `minute`, `hour` or `day`; None for one time bucket.

        Raises:
            ValueError: `by` or `bucket` is not known, or there are too many groups.

        """
        with self._engine.connect() as connection:
            return stats(connection, self._plan(connection, wanted, in_order=False), by, bucket)

    def _plan(self, connection: Connection, wanted: Filter, *, in_order: bool = True) -> Plan:
        if self._project is None:
            return make_plan(connection, self._index, wanted, in_order=in_order)
        own = replace(wanted, project=self._project)
        plan = make_plan(connection, self._index, own, in_order=in_order)
        if wanted.project in {None, self._project}:
            return plan
        return plan._replace(checks=(*plan.checks, false()))

    def _find_id(self, connection: Connection, report_id: int | str) -> int | None:
        newest = select(func.max(reports.c.id)).where(self._checked())
        if isinstance(report_id, str):
            by_completion = newest.where(reports.c.completion_id == report_id)
            found = connection.execute(by_completion).scalar()
            if found is not None or not (report_id.isascii() and report_id.isdecimal()):
                return found
            report_id = int(report_id)
        if not 0 < report_id <= _MAX_ID:
            return None
        return connection.execute(newest.where(reports.c.id == report_id)).scalar()

    def _checked(self) -> ColumnElement[bool]:
        """Return the condition on the project for few rows, which are found by another index."""
        return self._of_project(without_index(reports.c.project))

    def _of_project(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        return true() if self._project is None else column == self._project


def _read_cursor(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal()) or int(cursor) > _MAX_ID:
        raise ValueError("`after` must be the `next` of a page before")
    return int(cursor)
