"""`POST /api/v1/report`: stores a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from openpipe_report.server.routes import BASE_PATH

if TYPE_CHECKING:
    from openpipe_report.server.call import Call
    from openpipe_report.server.intake import Intake
    from openpipe_report.server.routes import Routes
    from openpipe_report.server.traffic import Traffic

_OK = Response(b'{"status":"ok"}', media_type="application/json")
"""Shared by all requests: a response without a background task has no state of its own."""


def routes(intake: Intake, traffic: Traffic) -> Routes:
    """Return the route of reports; each is answered once it is committed."""

    async def report(call: Call) -> Response:
        with call.reserve() as reservation:
            body = await call.read(reservation)
            key = call.headers.get(b"idempotency-key", b"").decode("latin-1")
            await intake.store(body, key or None)
        traffic.received += 1
        return _OK

    return {f"{BASE_PATH}/report": {"POST": report}}
