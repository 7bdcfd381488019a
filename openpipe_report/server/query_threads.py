"""
Runs queries on threads, a few at a time: a slow one delays other queries, and no report.

The HTTP API and the pages share one limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from sqlalchemy.exc import DatabaseError

from openpipe_report.server.errors import unavailable
from openpipe_report.server.seldom_log import SeldomLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report.server.store import Store
    from openpipe_report.server.store.queries import Queries

MAX_QUERIES = 4
"""Queries that run at the same time; the others wait."""

_limiter: RunVar[CapacityLimiter] = RunVar("openpipe_report_queries")
_Result = TypeVar("_Result")


class QueryThreads:
    """The threads that read one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._log = SeldomLog()

    async def run(self, project: str, query: Callable[[Queries], _Result]) -> _Result:
        """
        Return `query(queries)`, called on a thread with the queries of a project.

        Raises:
            ApiError: 503, the database cannot be read.

        """
        try:
            # Abandoned when the server stops, as a query cannot be interrupted.
            return await to_thread.run_sync(
                query,
                self._store.queries.of_project(project),
                abandon_on_cancel=True,
                limiter=_get_limiter(),
            )
        except DatabaseError as error:
            self._log.write("the database could not be read", error)
            raise unavailable(
                "The database cannot be read for now; the receiver's log has the reason"
            ) from None


def _get_limiter() -> CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(MAX_QUERIES)
        _limiter.set(limiter)
        return limiter
