"""`GET /openapi.json`: the description of the API. Needs the API key where one is set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from openpipe_report.server.call import Call
    from openpipe_report.server.routes import Routes

PATH = "/openapi.json"


def routes(document: dict[str, Any]) -> Routes:
    """Return the route of a document."""
    answer = Response(json.dumps(document), media_type="application/json")

    async def openapi(_call: Call) -> Response:
        return answer

    return {PATH: {"GET": openapi}}
