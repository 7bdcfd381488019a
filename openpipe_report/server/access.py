"""
Access: what the sender of a request may do, and in which project.

    write   store reports, and change labels, as feedback does
    read    read reports and statistics
    admin   both

Whoever is told apart by a key sees and changes reports of the key's project and no others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from openpipe_report.server.errors import ApiError
from openpipe_report.server.store.tables import DEFAULT_PROJECT

if TYPE_CHECKING:
    from starlette.types import Scope as AsgiScope

Scope = Literal["write", "read", "admin"]

_KEY = "openpipe_report.access"


@dataclass(frozen=True, slots=True)
class Access:
    """The project and the scope of an authenticated sender."""

    project: str
    scope: str

    def allows(self, needed: Scope) -> bool:
        """Return whether something that needs a scope may be done."""
        return self.scope in {needed, "admin"}

    def require(self, needed: Scope) -> None:
        """Raise ApiError 403 if something that needs a scope may not be done."""
        if not self.allows(needed):
            raise ApiError(
                403, f"This needs an API key with the scope {needed}; this one has {self.scope}"
            )


FULL_ACCESS = Access(DEFAULT_PROJECT, "admin")
"""Of every sender while there is no key, and of the key of `serve --api-key`."""


def set_access(scope: AsgiScope, access: Access) -> None:
    """Note the access of a request's sender in its ASGI scope."""
    scope[_KEY] = access


def get_access(scope: AsgiScope) -> Access:
    """Return the access of a request's sender, which was set before."""
    access: Access = scope[_KEY]
    return access
