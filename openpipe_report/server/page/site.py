"""Site: what a view adds its paths to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.responses import Response

from openpipe_report.server.access import get_access
from openpipe_report.server.routes import ROUTE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import FastAPI
    from starlette.requests import Request

    from openpipe_report.server.access import Scope
    from openpipe_report.server.page.forms import Form
    from openpipe_report.server.page.services import Services
    from openpipe_report.server.query_threads import QueryThreads
    from openpipe_report.server.store.queries import Queries

    Query = Callable[[Queries], Response]
    """Returns the answer. It runs on a thread, where it may take its time."""
    View = Callable[[Request], Query | Response]
    """Reads a request: returns the query to run, or an answer that needs none."""
    Endpoint = Callable[[Request], Awaitable[Response]]
    FormEndpoint = Callable[[Request, Form], Awaitable[Response]]


_Result = TypeVar("_Result")
_STEP = 0.25


class Site:
    """
    The pages of one receiver.

    Args:
        app: Answers `ApiError`; gets the paths.
        threads: Run the queries.
        services: What views need beside them.

    """

    def __init__(self, app: FastAPI, threads: QueryThreads, services: Services) -> None:
        self._app = app
        self._threads = threads
        self.services = services
        self.is_stopping = False
        """Whether the server ends."""

    def add_view(self, path: str, view: View) -> None:
        """Add a page that reads the store: a path of Starlette's, answered to GET and HEAD."""

        async def answer(request: Request) -> Response:
            query = view(request)
            return query if isinstance(query, Response) else await self.run(request, query)

        self.add(path, answer)

    async def run(self, request: Request, query: Callable[[Queries], _Result]) -> _Result:
        """
        Return the result of a query over the reports that the sender of a request may read.

        Raises:
            ApiError: 403, the sender may read none; 503, the database cannot be read.

        """
        access = get_access(request.scope)
        access.require("read")
        return await self._threads.run(access.project, query)

    def add(
        self,
        path: str,
        endpoint: Endpoint,
        methods: tuple[str, ...] = ("GET",),
        *,
        needs: Scope | None = "read",
    ) -> None:
        """
        Add a path with a coroutine function that answers it.

        Args:
            path: A path of Starlette's.
            endpoint: The function.
            methods: What it answers; GET is answered to HEAD too.
            needs: The scope of an API key that it needs; None for a path that is open to all.

        """
        name = path.replace(":path}", "}")

        async def answer(request: Request) -> Any:
            request.scope[ROUTE] = name
            if needs is not None:
                get_access(request.scope).require(needs)
            return await endpoint(request)

        self._app.add_route(path, answer, methods=list(methods))

    def add_form(self, path: str, endpoint: FormEndpoint, *, needs: Scope | None = "write") -> None:
        """Add a path that takes a form of this site's pages, of visitors who have its token."""

        async def answer(request: Request) -> Response:
            return await endpoint(request, await self.services.forms.read(request))

        self.add(path, answer, ("POST",), needs=needs)

    def start(self) -> None:
        """Let answers go on for as long as a page is open."""
        self.is_stopping = False

    def stop(self) -> None:
        """End those answers soon."""
        self.is_stopping = True

    async def pause(self, seconds: float) -> None:
        """Return after so many seconds, or soon when the server ends."""
        # No asyncio.Event: an app may be served again on another event loop.
        for _ in range(max(round(seconds / _STEP), 1)):
            if not self.is_stopping:
                await asyncio.sleep(_STEP)
