"""
The receiver's HTTP API, as an ASGI app.

A request is checked in this order: the Host (on loopback), the site that a browser sends it for,
the API key, the path and method, the scope of the key, and, where there is a body, its type and
announced size. A body is read only after that. Every error has the API's own shape, and every
answer is counted. Payloads and keys are never logged.

A route is a module of `routes/`: functions from a `Call` to a response, by path and method. The
FastAPI app beside them has the routes whose paths have parameters and the pages of `page/`, and
answers what none does. A browser gets errors as pages, except those of the API's paths.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from openpipe_report.server.access import set_access
from openpipe_report.server.authentication import Authenticator
from openpipe_report.server.browsers import check_host, check_site
from openpipe_report.server.call import Call
from openpipe_report.server.errors import ApiError, unavailable
from openpipe_report.server.intake import Intake
from openpipe_report.server.limits import Limits
from openpipe_report.server.openapi.document import make_document
from openpipe_report.server.page.errors import to_page, wants_page
from openpipe_report.server.page.forms import FormReader
from openpipe_report.server.page.login import LOGOUT_PATH, to_login
from openpipe_report.server.page.login import PATH as LOGIN_PATH
from openpipe_report.server.page.services import Services
from openpipe_report.server.page.static_files import PREFIX as STATIC_PREFIX
from openpipe_report.server.page.views import add_pages
from openpipe_report.server.query_threads import QueryThreads
from openpipe_report.server.routes import (
    BASE_PATH,
    ROUTE,
    anthropic,
    feedback,
    health,
    metrics,
    openapi,
    reading,
    report,
    requiring,
    testing,
)
from openpipe_report.server.traffic import Traffic
from openpipe_report.server.visitors.cookies import read_cookie
from openpipe_report.server.visitors.sessions import Sessions
from openpipe_report.server.visitors.visitor import Visitor, set_visitor

if TYPE_CHECKING:
    from collections.abc import Collection

    from fastapi import Request
    from starlette.responses import Response
    from starlette.types import Message, Receive, Scope, Send

    from openpipe_report.server.routes import Routes
    from openpipe_report.server.store import Store

ANY_HOST = None
"""Value of `allowed_hosts` with which no Host is refused."""

_API = f"{BASE_PATH}/"
_OPEN_PATHS = {*health.OPEN_PATHS, LOGIN_PATH, LOGOUT_PATH}
_UNAUTHORIZED = 401
_FAILED = ApiError(500, "The receiver failed; its log has the reason")
_NO_PATH = (
    f"There is no such path: this receiver stores reports (POST {BASE_PATH}/report) and runs no "
    "models"
)


def create_app(
    store: Store,
    *,
    api_key: str | None = None,
    allowed_hosts: Collection[str] | None = (),
    limits: Limits | None = None,
    local_testing: bool = False,
) -> Receiver:
    """
    Make the receiver as an ASGI app.

    Args:
        store: Stores the reports; the caller closes it after the last request.
        api_key: Key with full access to the project `default`, beside the keys that the store
            has. Requests must have one as `Authorization: Bearer`, except those for health checks.
            With None or an empty key, and as long as the store has none, every request is
            accepted.
        allowed_hosts: Names that the header `Host` may have beside loopback's; `ANY_HOST` for a
            receiver that listens beyond loopback.
        limits: Sizes, counts and times that requests may have.
        local_testing: Whether clients on this machine may read the newest report, for their tests.

    Returns:
        An app that answers 200 `{"status": "ok"}` once a report is committed, not before. Close it
        after the last request.

    """
    return Receiver(
        store, api_key or "", allowed_hosts, limits or Limits(), local_testing=local_testing
    )


class Receiver:
    """The ASGI app of `create_app()`."""

    def __init__(
        self,
        store: Store,
        api_key: str,
        allowed_hosts: Collection[str] | None,
        limits: Limits,
        *,
        local_testing: bool = False,
    ) -> None:
        self.limits = limits
        self.traffic = Traffic()
        self.intake = Intake(store, limits)
        self._authenticator = Authenticator(store, api_key)
        self._hosts = None if allowed_hosts is None else {name.lower() for name in allowed_hosts}
        self.others = _answering_others()
        """Answers requests for paths that `_routes` has not, after the same checks."""
        self._sessions = Sessions()
        threads = QueryThreads(store)
        with_parameters = reading.add_routes(self.others, threads)
        forms = FormReader(limits, self.traffic)
        services = Services(self.intake, forms, self._sessions, self._authenticator)
        self.site = add_pages(self.others, threads, services)
        routes: Routes = {
            **requiring("write", report.routes(self.intake, self.traffic)),
            **requiring("write", anthropic.routes(self.intake, self.traffic)),
            **requiring("write", feedback.routes(self.intake)),
            **health.routes(store),
            **requiring("read", metrics.routes(self.traffic)),
            **(requiring("read", testing.routes(store)) if local_testing else {}),
        }
        document = make_document(
            {*routes, *with_parameters, openapi.PATH},
            open_paths=health.OPEN_PATHS,
            with_key=bool(api_key),
        )
        self._routes: Routes = {**routes, **openapi.routes(document)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        known = self._routes.get(path)

        is_answered = False

        async def send_counted(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                route = path if known else scope.get(ROUTE, "other")
                self.traffic.count_answer(route, method, message["status"])
            await send(message)

        try:
            call = Call(scope, receive, self.limits, self.traffic)
            answer = await self._check(call)
            if answer is not None:
                await answer(scope, receive, send_counted)
                return
            if known is None:
                await self.others(scope, receive, send_counted)
                return
            handle = known.get("GET" if method == "HEAD" else method)
            if handle is None:
                answer = _method_not_allowed(known)
            else:
                answer = await handle(call)
        except ApiError as error:
            answer = error.to_response() if known else _to_response(error, scope)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:  # the server stops
            answer = unavailable("The receiver is stopping: try again later").to_response()
        except Exception:
            if not is_answered:
                await _FAILED.to_response()(scope, receive, send_counted)
            raise  # the server logs it
        await answer(scope, receive, send_counted)

    def close(self) -> None:
        """End the process that parses large bodies, if there is one. May be called twice."""
        self.intake.close()

    async def _check(self, call: Call) -> Response | None:
        """Check a request; return the answer that asks a browser for a key, if it needs one."""
        if self._hosts is not None:
            check_host(call.headers.get(b"host"), self._hosts)
        check_site(call.method, call.headers)
        if call.path.startswith(_API):  # a session is of no use there
            given = call.headers.get(b"authorization", b"")
            set_access(call.scope, await self._authenticator.identify(given))
            return None
        return await self._check_visitor(call)

    async def _check_visitor(self, call: Call) -> Response | None:
        session_id = read_cookie(call.headers)
        visitor = Visitor("" if self._sessions.find_key(session_id) is None else session_id)
        set_visitor(visitor)
        if _is_open(call.path):
            return None
        header = call.headers.get(b"authorization", b"")
        given = self._sessions.authorization(session_id, header)
        try:
            access = await self._authenticator.identify(given)
        except ApiError as error:
            is_page = call.path not in self._routes and wants_page(call.scope)
            if error.status == _UNAUTHORIZED and is_page and call.method == "GET":
                return to_login(call.path, call.scope["query_string"])
            raise
        set_access(call.scope, access)
        set_visitor(replace(visitor, access=access))
        return None


def _is_open(path: str) -> bool:
    """Whether a path is answered without an API key."""
    return path in _OPEN_PATHS or path.startswith(STATIC_PREFIX)


def _to_response(error: ApiError, scope: Scope) -> Response:
    return to_page(error) if wants_page(scope) else error.to_response()


def _method_not_allowed(methods: Collection[str]) -> Response:
    allowed = ", ".join(sorted(methods))
    error = ApiError(405, f"This path accepts only {allowed}", headers={"Allow": allowed})
    return error.to_response()


def _answering_others() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)

    async def answer(request: Request, error: Exception) -> Response:
        return _to_response(_to_api_error(error), request.scope)

    for kind in (ApiError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer)
    return app


def _to_api_error(error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestValidationError):
        issues = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        return ApiError(400, "The request is not valid", tuple(issues))
    if not isinstance(error, HTTPException):
        return _FAILED
    message = _NO_PATH if error.status_code == 404 else error.detail  # noqa: PLR2004
    if error.headers and "Allow" in error.headers:
        message = f"This path accepts only {error.headers['Allow']}"
    return ApiError(error.status_code, message, headers=error.headers)
