"""
`GET /api/v1/local-testing-only-get-latest-logged-call`: the newest report, for tests of clients.

It is there only with a switch (`serve --local-testing`), and for clients on this machine only. Its
answer has the shape that the openpipe SDK reads: null, or

    {"createdAt": str, "cacheHit": bool, "statusCode": number | null, "errorMessage": str | null,
     "reqPayload": any, "respPayload": any, "tags": {name: str}, "metadata": {name: str}}
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from openpipe_report._report.json_values import get_object
from openpipe_report.server.errors import ApiError
from openpipe_report.server.routes import BASE_PATH
from openpipe_report.server.store.labels import to_string

if TYPE_CHECKING:
    from openpipe_report.server.call import Call
    from openpipe_report.server.routes import Routes
    from openpipe_report.server.store import Store
    from openpipe_report.server.store.rows import StoredReport


def routes(store: Store) -> Routes:
    """Return the route."""

    async def latest(call: Call) -> Response:
        if not _is_local(call):
            raise ApiError(403, "This path is for tests on the receiver's own machine")
        # On a thread: it reads the database.
        found = await asyncio.to_thread(_find_newest, store, call.access.project)
        answer = None if found is None else _to_logged_call(found)
        return Response(json.dumps(answer), media_type="application/json")

    return {f"{BASE_PATH}/local-testing-only-get-latest-logged-call": {"GET": latest}}


def _is_local(call: Call) -> bool:
    client: tuple[str, int] | None = call.scope.get("client")
    if client is None:
        return False
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _find_newest(store: Store, project: str) -> StoredReport | None:
    rows = store.queries.of_project(project).list_reports(limit=1, payloads=True).rows
    return rows[0] if rows else None


def _to_logged_call(row: StoredReport) -> dict[str, Any]:
    report = row.report or {}
    # Of the tags only those with `$` are taken: the others are labels, which feedback may change.
    tags = get_object(report.get("tags"))
    own = {name: value for name, value in tags.items() if name.startswith("$")}
    labels = {
        name: to_string(value)
        for name, value in {**own, **row.metadata}.items()
        if value is not None
    }
    return {
        "createdAt": datetime.fromtimestamp(row.stored_at / 1_000, timezone.utc).isoformat(),
        "cacheHit": False,
        "statusCode": report.get("statusCode"),
        "errorMessage": report.get("errorMessage"),
        "reqPayload": report.get("reqPayload"),
        "respPayload": report.get("respPayload"),
        "tags": labels,
        "metadata": labels,
    }
