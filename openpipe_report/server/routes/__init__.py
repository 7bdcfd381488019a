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
site and API key have been checked before, and `ApiError` is answered in the API's shape and
counted. `HEAD` is answered as `GET`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.responses import Response

    from openpipe_report.server.call import Call

Routes = Mapping[str, Mapping[str, "Callable[[Call], Awaitable[Response]]"]]

BASE_PATH = "/api/v1"
"""Path of the API; a client's base URL ends with it."""

ROUTE = "openpipe_report.route"
"""Key in an ASGI scope of the route that answers it, as the counts name it."""
