"""`GET /reports/{id}` and `/raw/{id}`: one report as a conversation, and as it was posted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.responses import Response

from openpipe_report._report.json_values import get_object
from openpipe_report.server.errors import ApiError
from openpipe_report.server.page.conversation.turns import read_conversation
from openpipe_report.server.page.cutting import Budget, choose_turns
from openpipe_report.server.page.filter_form import read_filter_in_force
from openpipe_report.server.page.headers import OF_RAW_TEXT
from openpipe_report.server.page.loading import parse
from openpipe_report.server.page.repeating import repeat
from openpipe_report.server.page.templating import render
from openpipe_report.server.page.trace_tree import make_tree
from openpipe_report.server.parameters import choice
from openpipe_report.server.query_string import read_parameters
from openpipe_report.server.store.values import get_text

if TYPE_CHECKING:
    from starlette.requests import Request

    from openpipe_report.server.page.filter_form import FilterInForce
    from openpipe_report.server.page.site import Query, Site
    from openpipe_report.server.store import StoredReport
    from openpipe_report.server.store.queries import Queries


MAX_REPEATED = 200_000
"""Characters of a report up to which the page has code that repeats it."""

_PAYLOADS = {"request": "reqPayload", "response": "respPayload"}
_PART = choice(_PAYLOADS, {"type": "string", "enum": list(_PAYLOADS)}, "One of both payloads")


class _Neighbours(NamedTuple):
    newer: int | None
    older: int | None


def add_to(site: Site) -> None:
    """Add both paths."""
    site.add_view("/reports/{id:path}", _show)
    site.add_view("/raw/{id:path}", _show_raw)


def _show(request: Request) -> Query:
    in_force = read_filter_in_force(request, {})
    wanted = get_text(request.path_params["id"]) or ""

    def query(queries: Queries) -> Response:
        row = queries.get_report(wanted, payloads=False)
        if row is None:
            raise ApiError(404, "There is no report with this id or completion id")
        raw = queries.get_json(row.id) or "{}"
        trace = queries.get_trace(row.trace_id) if row.trace_id else []
        values = {
            **_of_report(row, raw),
            "filter_pairs": in_force.pairs,
            "neighbours": _find_neighbours(queries, row, in_force),
            "tree": make_tree(trace, row.id) if len(trace) > 1 else None,
        }
        return render("report.html", values)

    return query


def _of_report(row: StoredReport, raw: str) -> dict[str, Any]:
    """Return the variables of the template that a report's payloads are in."""
    report, is_whole = parse(raw)
    talk = read_conversation(report, row.endpoint)
    is_short = len(raw) <= MAX_REPEATED
    return {
        "row": row,
        "report": report,
        "is_whole": is_whole,
        "size": len(raw),
        "talk": talk,
        "asked": choose_turns(talk.asked),
        "answered": choose_turns(talk.answered),
        "budget": Budget(),
        "usage": get_object(get_object(report.get("respPayload")).get("usage")),
        "error": report.get("errorMessage"),
        "code": repeat(report.get("reqPayload"), row.endpoint) if is_short else None,
        "timing": _timing(row),
    }


def _take_part(raw: str, name: str) -> str:
    """Return one field of a report as indented JSON text."""
    report, is_whole = parse(raw)
    if not is_whole:
        raise ApiError(
            413, "The report has too many values to be taken apart: open it without `part`"
        )
    return json.dumps(report.get(name), indent=2)


def _timing(row: StoredReport) -> float | None:
    """Return when the first byte came, in percent of the duration; None if that is not known."""
    if row.first_byte_ms is None or not row.duration_ms or row.duration_ms < 0:
        return None
    return round(min(max(100 * row.first_byte_ms / row.duration_ms, 0), 100), 2)


def _find_neighbours(queries: Queries, row: StoredReport, in_force: FilterInForce) -> _Neighbours:
    newer = queries.tail(row.id, in_force.wanted, limit=1)
    older = queries.list_reports(in_force.wanted, limit=1, after=str(row.id)).rows
    return _Neighbours(newer[0].id if newer else None, older[0].id if older else None)


def _show_raw(request: Request) -> Query:
    part = read_parameters(request.scope["query_string"], {"part": _PART}).get("part")
    wanted = get_text(request.path_params["id"]) or ""

    def query(queries: Queries) -> Response:
        row = queries.get_report(wanted, payloads=False)
        raw = None if row is None else queries.get_json(row.id)
        if raw is None:
            raise ApiError(404, "There is no report with this id or completion id")
        if part is not None:
            raw = _take_part(raw, part)
        return Response(raw, headers=OF_RAW_TEXT, media_type="application/json")

    return query
