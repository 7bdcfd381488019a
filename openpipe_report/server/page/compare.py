"""
`GET /compare?a=ID&b=ID`: two reports side by side, with their differences marked.

The checkboxes of the list send `id` twice; that is answered with a redirect to the URL above.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.responses import RedirectResponse, Response

from openpipe_report.server.errors import ApiError
from openpipe_report.server.page.comparison import Side, compare_reports
from openpipe_report.server.page.headers import OF_PAGES
from openpipe_report.server.page.links import url_with
from openpipe_report.server.page.loading import load
from openpipe_report.server.page.templating import render
from openpipe_report.server.store.values import get_text

if TYPE_CHECKING:
    from starlette.requests import Request

    from openpipe_report.server.page.site import Query, Site
    from openpipe_report.server.store.queries import Queries

PATH = "/compare"

_BOTH = 2


def add_to(site: Site) -> None:
    """Add the view."""
    site.add_view(PATH, _show)


def _show(request: Request) -> Query | Response:
    pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    chosen = [value for name, value in pairs if name == "id"]
    if chosen:
        if len(chosen) > _BOTH:
            raise ApiError(400, f"Choose two reports to compare: {len(chosen)} are chosen")
        # With one of them a form asks for the other.
        given = dict(zip("ab", chosen, strict=False))
        return RedirectResponse(url_with(PATH, **given), 303, OF_PAGES)
    unknown = {name for name, _ in pairs} - {"a", "b"}
    if unknown:
        raise ApiError(400, "The query has the two reports, as a and b, and nothing else")
    ids = dict(pairs)
    if not (ids.get("a") and ids.get("b")):
        values = {"here": PATH, "a": ids.get("a", ""), "b": ids.get("b", "")}
        return render("compare_form.html", values)

    def query(queries: Queries) -> Response:
        sides, are_whole = zip(
            *(_load(queries, ids[name], name) for name in ("a", "b")), strict=True
        )
        values = {
            "sides": sides,
            "are_whole": all(are_whole),
            "comparison": compare_reports(*sides),
            "swapped": url_with(PATH, a=ids["b"], b=ids["a"]),
        }
        return render("compare.html", values)

    return query


def _load(queries: Queries, wanted: str, name: str) -> tuple[Side, bool]:
    row = queries.get_report(get_text(wanted) or "", payloads=False)
    if row is None:
        raise ApiError(404, f"There is no report with the id that {name} has")
    loaded = load(queries, row)
    return Side(row, loaded.report), loaded.is_whole
