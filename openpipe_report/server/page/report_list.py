"""`GET /`: the reports of the filter in force, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from openpipe_report.server.page.filter_form import read_filter_in_force, tidy
from openpipe_report.server.page.headers import OF_PAGES
from openpipe_report.server.page.links import url_with
from openpipe_report.server.page.templating import render
from openpipe_report.server.parameters import PAGE

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from openpipe_report.server.page.site import Query, Site
    from openpipe_report.server.store.queries import Queries

ROWS = 50
"""Reports of one page."""

_PARAMETERS = {"after": PAGE["after"]}


def add_to(site: Site) -> None:
    """Add the list."""
    site.add_view("/", _list)


def _list(request: Request) -> Query | Response:
    tidied = tidy(request)
    if tidied is not None:
        return RedirectResponse(url_with("/", tidied), 303, OF_PAGES)
    in_force = read_filter_in_force(request, _PARAMETERS)

    def query(queries: Queries) -> Response:
        page = queries.list_reports(in_force.wanted, limit=ROWS, after=in_force.others.get("after"))
        values = {"here": "/", "filter_pairs": in_force.pairs, "page": page}
        return render("list.html", values)

    return query
