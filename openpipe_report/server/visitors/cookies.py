"""
The cookie that has the id of a session.

Scripts cannot read it, and no request of another site has it. Its name has the port: browsers send
cookies to all ports of a host, and two receivers on one machine must not end each other's sessions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from openpipe_report.server.visitors.sessions import LIFETIME

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = "openpipe-report"
_PORT = re.compile(rb":([0-9]{1,5})\Z")


def read_cookie(headers: Mapping[bytes, bytes]) -> str:
    """Return the session id that a request has; empty if it has none."""
    name = _name_of(headers)
    for part in headers.get(b"cookie", b"").decode("latin-1").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


def write_cookie(headers: Mapping[bytes, bytes], session_id: str) -> str:
    """
    Return the value of `Set-Cookie` that a browser keeps an id with.

    Args:
        headers: The headers of the request, by their names in lower case. With the `Origin` of a
            page that came over https, the cookie is sent over https only.
        session_id: The id; empty removes the cookie.

    """
    age = int(LIFETIME) if session_id else 0
    secure = "; Secure" if headers.get(b"origin", b"").startswith(b"https:") else ""
    rules = f"Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"
    return f"{_name_of(headers)}={session_id}; {rules}"


def _name_of(headers: Mapping[bytes, bytes]) -> str:
    port = _PORT.search(headers.get(b"host", b""))
    return f"{_NAME}-{port[1].decode()}" if port else _NAME
