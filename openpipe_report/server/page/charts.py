"""
`GET /charts`, `/charts/NAME` and `/charts/NAME.svg`: what the reports of the filter come to.

A chart is an image, which has neither links nor names in it. Beside it stand a legend and a table,
whose entries link to the reports that they count, and over it lie the same links for the pointer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import RedirectResponse, Response

from openpipe_report.server.charts.drawing import HEIGHT, WIDTHS
from openpipe_report.server.charts.measures import MEASURES
from openpipe_report.server.charts.memory import ChartMemory
from openpipe_report.server.charts.palette import PALETTES
from openpipe_report.server.charts.timeline import read_timeline
from openpipe_report.server.errors import ApiError
from openpipe_report.server.page.chart_links import ChartLinks
from openpipe_report.server.page.filter_form import read_filter_in_force, tidy
from openpipe_report.server.page.headers import OF_PAGES
from openpipe_report.server.page.links import url_with
from openpipe_report.server.page.templating import render
from openpipe_report.server.parameters import GROUPING, LABEL, Parameter
from openpipe_report.server.store.values import storable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request

    from openpipe_report.server.charts.memory import Charts
    from openpipe_report.server.page.filter_form import FilterInForce
    from openpipe_report.server.page.site import Query, Site
    from openpipe_report.server.store.filters import Filter
    from openpipe_report.server.store.queries import Queries

PATH = "/charts"
NO_GROUPS = "none"
"""Value of `by` for one group."""
COLUMNS = {
    "model": "Model",
    "endpoint": "Endpoint",
    "status": "Status",
    "failed": "Failed",
    "finish_reason": "Finish reason",
    "span_name": "Span",
    "service_tier": "Service tier",
    NO_GROUPS: "Nothing",
}
"""The columns that a page offers to split by, and their titles."""

_LABELS_OF = 50
"""How many of the newest reports are asked which labels there are."""


def _read_by(text: str) -> str:
    return text if text == NO_GROUPS else GROUPING["by"].read(text)


def _one_of(names: Iterable[str]) -> Parameter:
    known = list(names)

    def read(text: str) -> str:
        if text not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return text

    return Parameter(read, {}, "")


_BY = {"by": GROUPING["by"]._replace(read=_read_by)}
_OF_IMAGES = {**_BY, "theme": _one_of(PALETTES), "width": _one_of(WIDTHS)}


def add_to(site: Site) -> None:
    """Add the views of charts."""
    memory = ChartMemory()
    site.add_view(PATH, lambda request: _show_all(request, memory))
    site.add_view(f"{PATH}/{{name}}.svg", lambda request: _draw(request, memory))
    site.add_view(f"{PATH}/{{name}}", lambda request: _show_one(request, memory))


def _show_all(request: Request, memory: ChartMemory) -> Query | Response:
    return _show(request, memory, PATH, list(MEASURES), "charts.html")


def _show_one(request: Request, memory: ChartMemory) -> Query | Response:
    name = _get_name(request)
    return _show(request, memory, f"{PATH}/{name}", [name], "chart.html")


def _show(
    request: Request, memory: ChartMemory, path: str, names: list[str], template: str
) -> Query | Response:
    tidied = tidy(request)
    if tidied is not None:
        return RedirectResponse(url_with(path, tidied), 303, OF_PAGES)
    in_force = read_filter_in_force(request, _BY)
    by = in_force.others.get("by", "model")

    def query(queries: Queries) -> Response:
        charts = _read(queries, memory, in_force, by)
        values: dict[str, Any] = {
            "here": PATH,
            "path": path,
            "filter_pairs": in_force.pairs,
            "by": by,
            "columns": COLUMNS,
            "labels": _name_labels(queries, in_force.wanted, by),
            "charts": None,
        }
        if charts is not None:
            timeline = charts.timeline
            values |= {
                "timeline": timeline,
                "links": ChartLinks(timeline, in_force.pairs, in_force.wanted),
                "charts": [_describe(charts, name, in_force, by) for name in names],
                "measures": MEASURES,
            }
        return render(template, values)

    return query


def _draw(request: Request, memory: ChartMemory) -> Query:
    name = _get_name(request)
    in_force = read_filter_in_force(request, _OF_IMAGES)
    others = in_force.others
    theme, width = others.get("theme", "light"), WIDTHS[others.get("width", "wide")]

    def query(queries: Queries) -> Response:
        charts = _read(queries, memory, in_force, others.get("by", "model"))
        if charts is None:
            raise ApiError(404, "There is no report that matches")
        drawing = charts.draw(name, theme, width)
        policy = f"default-src 'none'; style-src {drawing.style_hash}; frame-ancestors 'none'"
        headers = {**OF_PAGES, "Content-Security-Policy": f"{policy}; sandbox"}
        return Response(drawing.svg, headers=headers, media_type="image/svg+xml")

    return query


def _get_name(request: Request) -> str:
    name: str = request.path_params["name"]
    if name not in MEASURES:
        raise ApiError(404, f"There is no such chart; there is {', '.join(MEASURES)}")
    return name


def _read(queries: Queries, memory: ChartMemory, in_force: FilterInForce, by: str) -> Charts | None:
    grouping = None if by == NO_GROUPS else storable(by)
    try:
        return memory.get(
            (queries.project, in_force.pairs, by),
            lambda: read_timeline(queries, in_force.wanted, grouping),
        )
    except ValueError as error:
        raise ApiError(400, f"Split by something else: {error}") from None


def _name_labels(queries: Queries, wanted: Filter, by: str) -> list[str]:
    """Return the labels of the newest reports that match, and the one that is split by."""
    page = queries.list_reports(wanted, limit=_LABELS_OF)
    names = {f"{LABEL}{name}" for row in page.rows for name in row.metadata}
    if by.startswith(LABEL):
        names.add(by)
    return sorted(names)


def _describe(charts: Charts, name: str, in_force: FilterInForce, by: str) -> dict[str, Any]:
    """Return what the templates show of one chart."""

    def source(theme: str, width: str) -> str:
        return url_with(f"{PATH}/{name}.svg", in_force.pairs, by=by, theme=theme, width=width)

    return {
        "name": name,
        "measure": MEASURES[name],
        "source": source,
        "width": WIDTHS["wide"],
        "height": HEIGHT,
        "slots": charts.draw(name, "light", WIDTHS["wide"]).slots,
        "url": url_with(f"{PATH}/{name}", in_force.pairs, by=by),
        "sum": _make_sum(charts, name),
    }


def _make_sum(charts: Charts, name: str) -> Callable[[int], float | None]:
    """Return the function that gives what a measure comes to at a place in time."""
    measure = MEASURES[name]

    def add_up(place: int) -> float | None:
        points = (group.points[place] for group in charts.timeline.groups)
        values = [value for point in points if point and (value := measure.read(point)) is not None]
        if not values:
            return None
        return sum(values) if measure.is_sum else max(values)

    return add_up
