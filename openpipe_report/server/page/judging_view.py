"""
`GET /judge`: the answers of the filter in force one after another, to be judged.

The next one is the newest that was not judged yet. A position in the URL, `after` or `before` a
report, makes each step a link, so that going on works without script and a judgement of the report
that is shown does not move the others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import RedirectResponse, Response

from openpipe_report._report.feedback_labels import DOWN, FEEDBACK, UP
from openpipe_report.server.page.conversation.turns import read_conversation
from openpipe_report.server.page.cutting import Budget
from openpipe_report.server.page.filter_form import read_filter_in_force, tidy
from openpipe_report.server.page.headers import OF_PAGES
from openpipe_report.server.page.links import url_with
from openpipe_report.server.page.loading import load
from openpipe_report.server.page.templating import render
from openpipe_report.server.parameters import PAGE

if TYPE_CHECKING:
    from starlette.requests import Request

    from openpipe_report.server.page.links import Pairs
    from openpipe_report.server.page.site import Query, Site
    from openpipe_report.server.store import Filter, StoredReport
    from openpipe_report.server.store.queries import Queries

PATH = "/judge"
MAX_LOOKED_AT = 5_000
"""Most reports that are looked at for one that was not judged."""

_STEP = 500
_MAX_ANSWERS = 20
_PARAMETERS = {
    "after": PAGE["after"],
    "before": PAGE["after"],
    "all": PAGE["payloads"]._replace(description="Whether judged reports are shown too"),
}


class Found(NamedTuple):
    """The report to judge, if there is one."""

    row: StoredReport | None
    resume_after: int | None = None
    """Where to look on, if no report was found among those that were looked at."""


class Progress(NamedTuple):
    """How many reports of the filter were judged."""

    total: int
    up: int
    down: int


def add_to(site: Site) -> None:
    """Add the view."""
    site.add_view(PATH, _show)


def find_next(
    queries: Queries,
    wanted: Filter,
    *,
    after: str | None,
    with_judged: bool,
    most: int = MAX_LOOKED_AT,
) -> Found:
    """
    Return the newest report that matches, beyond a position.

    Args:
        queries: The store's.
        wanted: The conditions.
        after: The position, as `Queries.list_reports` takes it.
        with_judged: Whether it may have been judged.
        most: Most reports that are looked at.

    """
    left = most
    while left > 0:
        page = queries.list_reports(
            wanted, limit=1 if with_judged else min(_STEP, left), after=after
        )
        rows = (row for row in page.rows if with_judged or FEEDBACK not in row.metadata)
        found = next(rows, None)
        if found is not None or page.next_cursor is None:
            return Found(found)
        after = page.next_cursor
        left -= len(page.rows)
    return Found(None, None if after is None else int(after))


def _show(request: Request) -> Query | Response:
    tidied = tidy(request)
    if tidied is not None:
        return RedirectResponse(url_with(PATH, tidied), 303, OF_PAGES)
    in_force = read_filter_in_force(request, _PARAMETERS)
    others = in_force.others
    after, before = others.get("after"), others.get("before")
    with_judged = others.get("all", False)
    pairs: Pairs = (*in_force.pairs, ("all", "true")) if with_judged else in_force.pairs

    def query(queries: Queries) -> Response:
        if before is not None:
            newer = queries.tail(int(before), in_force.wanted, limit=1)
            found = Found(newer[0] if newer else None)
        else:
            found = find_next(queries, in_force.wanted, after=after, with_judged=with_judged)
        values = {
            "here": PATH,
            "filter_pairs": in_force.pairs,
            "pairs": pairs,
            "with_judged": with_judged,
            "is_start": after is None and before is None,
            "found": found,
            "progress": _count(queries, in_force.wanted),
        }
        if found.row is None:
            return render("judge_end.html", values)
        loaded = load(queries, found.row)
        talk = read_conversation(loaded.report, found.row.endpoint)
        values |= {
            "row": found.row,
            "is_whole": loaded.is_whole,
            "asked": talk.asked,
            "answered": talk.answered[:_MAX_ANSWERS],
            "budget": Budget(),
            "next": url_with(PATH, pairs, after=found.row.id),
            "previous": url_with(PATH, pairs, before=found.row.id),
            "verdict": found.row.metadata.get(FEEDBACK),
        }
        return render("judge.html", values)

    return query


def _count(queries: Queries, wanted: Filter) -> Progress:
    judged = [
        queries.count(replace(wanted, metadata=(*wanted.metadata, (FEEDBACK, verdict))))
        for verdict in (UP, DOWN)
    ]
    return Progress(queries.count(wanted), *judged)
