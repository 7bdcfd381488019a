"""
The routes of the API, one concern a module.

    report.py    POST /api/v1/report
    anthropic.py POST /api/v1/report-anthropic
    feedback.py  POST /api/v1/logs/update-metadata and /logs/update-tags
    health.py    GET /healthz and /readyz
    metrics.py   GET /metrics
    testing.py   GET /api/v1/local-testing-only-get-latest-logged-call, with a switch
    openapi.py   GET /openapi.json
    reading.py   GET /api/v1/reports, /reports/{id}, /traces/{id} and /stats

A module has `routes()`, which returns what it answers: functions from a `Call` to a response, by
path and method. `reading`, whose paths have parameters, adds its routes to a FastAPI app. Host,
site and API key have been checked before, and whether the key's scope is that of the route;
`Call.access` has the project. `ApiError` is answered in the API's shape and counted. `HEAD` is
answered as `GET`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from openpipe_report.server.access import get_access

if TYPE_CHECKING:
    from starlette.responses import Response

    from openpipe_report.server.access import Scope
    from openpipe_report.server.call import Call

Handler = Callable[["Call"], Awaitable["Response"]]
Routes = Mapping[str, Mapping[str, Handler]]

BASE_PATH = "/api/v1"
"""Path of the API; a client's base URL ends with it."""

ROUTE = "openpipe_report.route"
"""Key in an ASGI scope of the route that answers it, as the counts name it."""


def requiring(needed: Scope, routes: Routes) -> Routes:
    """Return routes that are answered 403 unless the sender has a scope."""
    return {
        path: {method: _check_first(needed, handle) for method, handle in methods.items()}
        for path, methods in routes.items()
    }


def _check_first(needed: Scope, handle: Handler) -> Handler:
    def checked(call: Call) -> Awaitable[Response]:
        get_access(call.scope).require(needed)
        return handle(call)

    return checked
