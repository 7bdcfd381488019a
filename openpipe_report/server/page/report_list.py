"""`GET /`: the reports of the filter in force, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import RedirectResponse

from openpipe_report.server.page.filter_form import read_filter_in_force, tidy
from openpipe_report.server.page.headers import OF_PAGES
from openpipe_report.server.page.links import url_with, without
from openpipe_report.server.page.list_rows import make_rows
from openpipe_report.server.page.templating import render
from openpipe_report.server.parameters import LABEL, PAGE
from openpipe_report.server.routes import BASE_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.responses import Response

    from openpipe_report.server.page.links import Pairs
    from openpipe_report.server.page.site import Query, Site
    from openpipe_report.server.store.queries import Queries

ROWS = 50
"""Reports of one page."""

_PARAMETERS = {"after": PAGE["after"]}
_NAMES = {
    "since": "since",
    "until": "until",
    "model": "model",
    "endpoint": "endpoint",
    "status": "status",
    "error": "failed",
    "trace": "trace",
    "text": "words",
    "min_cost": "cost from $",
    "min_ms": "from ms",
}


class Active(NamedTuple):
    """A condition of the filter in force."""

    name: str
    value: str
    url: str
    """The list without it."""


def add_to(site: Site) -> None:
    """Add the list."""
    site.add_view("/", _list)


def active_conditions(pairs: Pairs) -> list[Active]:
    """Return the conditions of a filter, each with the URL of the list without it."""
    return [
        Active(_name_of(name), value, url_with("/", without(pairs, name))) for name, value in pairs
    ]


def _list(request: Request) -> Query | Response:
    tidied = tidy(request)
    if tidied is not None:
        return RedirectResponse(url_with("/", tidied), 303, OF_PAGES)
    in_force = read_filter_in_force(request, _PARAMETERS)
    after = in_force.others.get("after")
    base_url = f"{request.url.scheme}://{request.url.netloc}{BASE_PATH}"

    def query(queries: Queries) -> Response:
        page = queries.list_reports(in_force.wanted, limit=ROWS, after=after)
        values = {
            "here": "/",
            "filter_pairs": in_force.pairs,
            "in_force": in_force,
            "active": active_conditions(in_force.pairs),
            "labels": [pair for pair in in_force.pairs if pair[0].startswith(LABEL)],
            "rows": make_rows(queries, page.rows, in_force.wanted.text),
            "models": _known(row.model for row in page.rows),
            "endpoints": _known(row.endpoint for row in page.rows),
            "after": after,
            "next_cursor": page.next_cursor,
            "newest": page.rows[0].id if page.rows else 0,
            "base_url": base_url,
        }
        return render("list.html", values)

    return query


def _name_of(name: str) -> str:
    return name.removeprefix(LABEL) if name.startswith(LABEL) else _NAMES.get(name, name)


def _known(values: Iterable[str | None]) -> list[str]:
    return sorted({value for value in values if value})
