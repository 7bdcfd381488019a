"""
`GET /api/v1/reports`, `/reports/{id}`, `/traces/{id}` and `/stats`: what is stored, as JSON.

The queries run on threads, a few at a time: a slow one delays other queries, and no report. The
text of a stored report is put into an answer as it is, for parsing a large one stops all threads.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from sqlalchemy.exc import DatabaseError
from starlette.responses import Response

from openpipe_report.server.access import get_access
from openpipe_report.server.errors import ApiError, unavailable
from openpipe_report.server.parameters import DEFAULT_LIMIT, GROUPING, PAGE
from openpipe_report.server.query_string import read_filter, read_parameters
from openpipe_report.server.routes import BASE_PATH, ROUTE
from openpipe_report.server.seldom_log import SeldomLog
from openpipe_report.server.store.values import get_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from fastapi import FastAPI
    from starlette.requests import Request

    from openpipe_report.server.store import Page, Store, StoredReport
    from openpipe_report.server.store.queries import Queries

    Query = Callable[[Queries], str]
    """Returns the answer's JSON text. It runs on a thread."""

MAX_QUERIES = 4
"""Queries that run at the same time; the others wait."""
MAX_PAGE_BYTES = 32 * 2**20
"""Size from which on a page with payloads ends before its limit, in bytes."""

_limiter: RunVar[CapacityLimiter] = RunVar("openpipe_report_queries")


def add_routes(app: FastAPI, store: Store) -> Collection[str]:
    """Add the routes to an app that answers `ApiError`; return their paths."""
    log = SeldomLog()

    def answering(path: str, prepare: Callable[[Request], Query]) -> Any:
        async def answer(request: Request) -> Response:
            request.scope[ROUTE] = path
            access = get_access(request.scope)
            access.require("read")
            query = prepare(request)
            queries = store.queries.of_project(access.project)
            try:
                text = await _run(lambda: query(queries))
            except DatabaseError as error:
                log.write("the database could not be read", error)
                raise unavailable(
                    "The database cannot be read for now; the receiver's log has the reason"
                ) from None
            return Response(text, media_type="application/json")

        return answer

    routes: dict[str, Callable[[Request], Query]] = {
        f"{BASE_PATH}/reports": _list_reports,
        f"{BASE_PATH}/reports/{{id}}": _get_report,
        f"{BASE_PATH}/traces/{{id}}": _get_trace,
        f"{BASE_PATH}/stats": _get_stats,
    }
    for path, prepare in routes.items():
        # An id may have a slash in it.
        app.add_route(path.replace("{id}", "{id:path}"), answering(path, prepare), methods=["GET"])
    return routes


async def _run(query: Callable[[], str]) -> str:
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(MAX_QUERIES)
        _limiter.set(limiter)
    # Abandoned when the server stops, as a query cannot be interrupted.
    return await to_thread.run_sync(query, abandon_on_cancel=True, limiter=limiter)


def _list_reports(request: Request) -> Query:
    wanted, others = read_filter(request.scope["query_string"], PAGE)
    limit, after = others.get("limit", DEFAULT_LIMIT), others.get("after")
    oldest_first = others.get("order", False)

    def query(queries: Queries) -> str:
        page = queries.list_reports(wanted, limit=limit, after=after, oldest_first=oldest_first)
        if others.get("payloads"):
            page, rows = _load_payloads(queries, page)
        else:
            rows = list(map(_to_json, page.rows))
        return f'{{"data": [{", ".join(rows)}], "next": {json.dumps(page.next_cursor)}}}'

    return query


def _load_payloads(queries: Queries, page: Page) -> tuple[Page, list[str]]:
    rows: list[str] = []
    size = 0
    for row in page.rows:
        rows.append(_with_report(row, queries.get_json(row.id)))
        size += len(rows[-1])
        if size >= MAX_PAGE_BYTES:
            break
    return page.cut(len(rows)), rows


def _get_report(request: Request) -> Query:
    read_parameters(request.scope["query_string"], {})
    wanted = get_text(request.path_params["id"]) or ""

    def query(queries: Queries) -> str:
        row = queries.get_report(wanted, payloads=False)
        if row is None:
            raise ApiError(404, "There is no report with this id or completion id")
        return _with_report(row, queries.get_json(row.id))

    return query


def _get_trace(request: Request) -> Query:
    read_parameters(request.scope["query_string"], {})
    wanted = get_text(request.path_params["id"]) or ""

    def query(queries: Queries) -> str:
        rows = queries.get_trace(wanted)
        if not rows:
            raise ApiError(404, "There is no report of a trace with this id")
        return _to_list(map(_to_json, rows))

    return query


def _get_stats(request: Request) -> Query:
    wanted, grouping = read_filter(request.scope["query_string"], GROUPING)

    def query(queries: Queries) -> str:
        try:
            found = queries.stats(wanted, **grouping)
        except ValueError as error:
            raise ApiError(400, str(error)) from None
        return _to_list(json.dumps(one.to_dict()) for one in found)

    return query


def _to_list(items: Iterable[str]) -> str:
    return f'{{"data": [{", ".join(items)}]}}'


def _to_json(row: StoredReport) -> str:
    return json.dumps(row.to_dict())


def _with_report(row: StoredReport, report: str | None) -> str:
    return f'{_to_json(row)[:-1]}, "report": {report or "null"}}}'
