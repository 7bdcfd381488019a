"""`POST /api/v1/report`: stores a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from openpipe_report.server.routes import BASE_PATH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openpipe_report.server.call import Call
    from openpipe_report.server.intake import Intake
    from openpipe_report.server.routes import Routes
    from openpipe_report.server.store.preparing import PreparedReport
    from openpipe_report.server.traffic import Traffic

_OK = Response(b'{"status":"ok"}', media_type="application/json")
"""Shared by all requests: a response without a background task has no state of its own."""


def routes(intake: Intake, traffic: Traffic) -> Routes:
    """Return the route of reports; each is answered once it is committed."""
    return {f"{BASE_PATH}/report": {"POST": answering_reports(intake, traffic)}}


def answering_reports(
    intake: Intake,
    traffic: Traffic,
    parse: Callable[[bytes | bytearray, int], PreparedReport] | None = None,
) -> Callable[[Call], Awaitable[Response]]:
    """Return a function that stores the report in a request; `parse` is that of `Intake.store`."""

    async def report(call: Call) -> Response:
        with call.reserve() as reservation:
            body = await call.read(reservation)
            key = call.headers.get(b"idempotency-key", b"").decode("latin-1")
            await intake.store(body, call.access.project, key or None, parse)
        traffic.received += 1
        return _OK

    return report
