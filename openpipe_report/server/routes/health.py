"""
`GET /healthz` and `GET /readyz`: whether the process answers, and whether it can use its database.

Both are answered without an API key, for load balancers, and tell nothing else.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import Response

from openpipe_report.server.errors import unavailable
from openpipe_report.server.seldom_log import SeldomLog

if TYPE_CHECKING:
    from openpipe_report.server.call import Call
    from openpipe_report.server.routes import Routes
    from openpipe_report.server.store import Store

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Paths that are answered without an API key."""

_OK = Response(b'{"status":"ok"}', media_type="application/json")


def routes(store: Store) -> Routes:
    """Return both routes."""
    log = SeldomLog()

    async def healthz(_call: Call) -> Response:
        return _OK

    async def readyz(_call: Call) -> Response:
        try:
            # On a thread: the file may be on a disk that does not answer.
            await asyncio.to_thread(store.check_usable)
        except Exception as error:  # noqa: BLE001 - whatever it is, the database is not usable
            log.write("the database cannot be used", error)
            raise unavailable("The database cannot be used") from None
        return _OK

    return {"/healthz": {"GET": healthz}, "/readyz": {"GET": readyz}}
