"""Visitor: who the request that is being answered is from, for the views and their templates."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openpipe_report.server.access import Access

_SECRET = secrets.token_bytes(32)


@dataclass(frozen=True)
class Visitor:
    """The sender of a request, who may have a browser."""

    session_id: str = ""
    """The session whose key the request is checked with; empty if there is none."""
    access: Access | None = None
    """What the sender may do; None where that was not asked, as on the page to log in."""

    @property
    def token(self) -> str:
        """
        The token that a form must have: a page of another site cannot read it.

        It is another one for each session, and after a restart.
        """
        return hmac.new(_SECRET, self.session_id.encode(), hashlib.sha256).hexdigest()

    @property
    def can_write(self) -> bool:
        """Whether the sender may change labels."""
        return self.access is not None and self.access.allows("write")

    def owns(self, token: str) -> bool:
        """Return whether a token is this visitor's."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())


_NOBODY = Visitor()
_visitor: ContextVar[Visitor] = ContextVar("openpipe_report_visitor")


def set_visitor(visitor: Visitor) -> None:
    """Set the visitor of the request that the running task answers."""
    _visitor.set(visitor)


def get_visitor() -> Visitor:
    """Return the visitor of the request that is being answered, on its threads too."""
    return _visitor.get(_NOBODY)
