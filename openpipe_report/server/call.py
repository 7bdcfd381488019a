"""One request, as the functions of `routes/` get it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openpipe_report.server.access import get_access
from openpipe_report.server.bodies import Reservation, read_body
from openpipe_report.server.errors import ApiError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

    from openpipe_report.server.access import Access
    from openpipe_report.server.limits import Limits
    from openpipe_report.server.traffic import Traffic


class Call:
    """
    A request whose host, site and API key have been checked.

    Raises:
        ApiError: 400, there is more than one Host.

    """

    def __init__(self, scope: Scope, receive: Receive, limits: Limits, traffic: Traffic) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        """Headers by their names in lower case; of one that is repeated the last."""
        self._receive = receive
        self._limits = limits
        self._traffic = traffic
        repeated = len(self.headers) != len(scope["headers"])
        if repeated and sum(name == b"host" for name, _ in scope["headers"]) > 1:
            raise ApiError(400, "The request has more than one Host")

    @property
    def access(self) -> Access:
        """What the sender may do, and in which project."""
        return get_access(self.scope)

    def reserve(self) -> Reservation:
        """Return a share of the bytes in flight, to hold while the body is in use."""
        return Reservation(self._limits, self._traffic)

    async def read(self, reservation: Reservation) -> bytes | bytearray:
        """Read the JSON body; raises as `read_body`."""
        return await read_body(self.headers, self._receive, reservation)
