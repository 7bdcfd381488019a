"""`GET /traces/{id}`: the reports of a trace as a waterfall."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openpipe_report.server.errors import ApiError
from openpipe_report.server.page.filter_form import read_filter_in_force
from openpipe_report.server.page.templating import render
from openpipe_report.server.page.trace_tree import make_tree
from openpipe_report.server.store.values import get_text

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from openpipe_report.server.page.site import Query, Site
    from openpipe_report.server.store.queries import Queries


def add_to(site: Site) -> None:
    """Add the path."""
    site.add_view("/traces/{id:path}", _show)


def _show(request: Request) -> Query:
    in_force = read_filter_in_force(request, {})
    wanted = get_text(request.path_params["id"]) or ""

    def query(queries: Queries) -> Response:
        rows = queries.get_trace(wanted)
        if not rows:
            raise ApiError(404, "There is no report of a trace with this id")
        values = {"filter_pairs": in_force.pairs, "trace_id": wanted, "tree": make_tree(rows)}
        return render("trace.html", values)

    return query
