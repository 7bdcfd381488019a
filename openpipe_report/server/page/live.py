"""
`GET /live`: new rows of the list as server-sent events, while the page is open.

    id: 17
    data: {"html": "<tr>...", "count": 2, "gap": false}

All connections share one question a second for the newest report, and each asks for rows only where
there is a new one. What is sent is bounded: of more new reports than one page has, the newest.
The key is checked before each look, so a connection ends with its key, and with its session.
"""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import Response, StreamingResponse

from openpipe_report.server.access import get_access
from openpipe_report.server.errors import ApiError, unavailable
from openpipe_report.server.page.filter_form import read_filter_in_force
from openpipe_report.server.page.headers import OF_PAGES
from openpipe_report.server.page.list_rows import make_rows
from openpipe_report.server.page.report_list import ROWS
from openpipe_report.server.page.templating import render_text
from openpipe_report.server.parameters import PAGE
from openpipe_report.server.visitors.visitor import get_visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from openpipe_report.server.page.filter_form import FilterInForce
    from openpipe_report.server.page.site import Site
    from openpipe_report.server.store.queries import Queries

MAX_CONNECTIONS = 32
"""Pages that get new rows at the same time."""
INTERVAL = 1.0
"""Seconds between two looks for new reports."""

MAX_SECONDS = 300.0
"""Seconds after which a connection ends; the browser opens the next one."""

_KEEP_ALIVE = 15.0
_UNAUTHORIZED = 401
_PARAMETERS = {"after": PAGE["after"]}


class _News(NamedTuple):
    event: str
    """The event's text; empty if there is no new row."""
    sent: set[int]
    """The ids of the rows that have been sent and may be found again."""
    is_complete: bool
    """Whether no report waits to be indexed, so that a search could still find it."""


def add_to(site: Site) -> None:
    """Add the path."""
    live = _Live(site)
    site.add("/live", live.answer)


class _Live:
    """The live connections of one receiver."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._open = 0
        self._newest: dict[str, tuple[float, int]] = {}
        """For each project, when its newest report was asked for, and that report's id."""

    async def answer(self, request: Request) -> Response:
        get_access(request.scope).require("read")
        in_force = read_filter_in_force(request, _PARAMETERS)
        after = request.headers.get("last-event-id") or in_force.others.get("after") or "0"
        if not (after.isascii() and after.isdecimal() and len(after) <= 18):  # noqa: PLR2004
            raise ApiError(400, "Last-Event-ID must be the id of an event before")
        if request.method == "HEAD":
            return Response(headers=OF_PAGES, media_type="text/event-stream")
        if self._open >= MAX_CONNECTIONS:
            raise unavailable("Too many pages are live: close some, or reload this one by hand")
        events = self._events(request, in_force, int(after))
        return StreamingResponse(events, headers=OF_PAGES, media_type="text/event-stream")

    async def _events(
        self, request: Request, in_force: FilterInForce, after: int
    ) -> AsyncIterator[str]:
        self._open += 1
        try:
            async for event in self._events_of(request, in_force, after):
                yield event
        finally:
            self._open -= 1

    async def _events_of(
        self, request: Request, in_force: FilterInForce, after: int
    ) -> AsyncIterator[str]:
        looked_to, sent = -1, set[int]()
        yield "retry: 2000\n\n"
        began = said_at = time.monotonic()
        while not self._site.is_stopping and time.monotonic() - began < MAX_SECONDS:
            try:
                await self._check(request)
                newest = await self._get_newest(request)
                if newest != looked_to:
                    look = partial(_find_news, in_force=in_force, after=after, sent=sent)
                    news = await self._site.run(request, look)
                    sent = news.sent
                    looked_to = newest if news.is_complete else -1
                    if news.event:
                        yield news.event
                        said_at = time.monotonic()
            except ApiError as error:
                if error.status == _UNAUTHORIZED:
                    return
                # Another one was logged, and the database may be back at the next look.
            if time.monotonic() - said_at > _KEEP_ALIVE:
                yield ": nothing new\n\n"
                said_at = time.monotonic()
            await self._site.pause(INTERVAL)

    async def _check(self, request: Request) -> None:
        """Raise ApiError if the key is not accepted any more, or its session has ended."""
        services = self._site.services
        header = request.headers.get("authorization", "").encode("latin-1")
        given = services.sessions.authorization(get_visitor().session_id, header)
        await services.authenticator.identify(given)

    async def _get_newest(self, request: Request) -> int:
        project, now = get_access(request.scope).project, time.monotonic()
        asked_at, newest = self._newest.get(project, (-INTERVAL, 0))
        if now - asked_at >= INTERVAL * 0.9:
            newest = await self._site.run(request, lambda queries: queries.newest_id())
            self._newest[project] = now, newest
        return newest


def _find_news(queries: Queries, in_force: FilterInForce, after: int, sent: set[int]) -> _News:
    is_complete = not in_force.wanted.text or queries.unindexed() == 0
    page = queries.list_reports(in_force.wanted, limit=ROWS)
    later = [row for row in page.rows if row.id > after]
    new = [row for row in later if row.id not in sent]
    found = {row.id for row in later}
    if not new:
        return _News("", found, is_complete)
    values = {
        "rows": make_rows(queries, new, in_force.wanted.text),
        "filter_pairs": in_force.pairs,
    }
    # As many new ones as a page has: there may be more between them and those sent before.
    gap = len(new) == ROWS
    content = {"html": render_text("live.html", values), "count": len(new), "gap": gap}
    event = f"id: {new[0].id}\ndata: {json.dumps(content)}\n\n"
    return _News(event, found, is_complete)
