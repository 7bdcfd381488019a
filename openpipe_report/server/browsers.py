"""
Refuses what a page of another site makes a browser send.

A page of any site can send requests to a receiver on the same machine. `Sec-Fetch-Site` and
`Origin` name the site that a request comes from. A page whose host name was made to point at
127.0.0.1 (DNS rebinding) looks like the receiver's own, but the browser still sends that name as
`Host`. Clients that are no browsers send neither of the first two headers.
"""

from __future__ import annotations

import functools
import ipaddress
from typing import TYPE_CHECKING

from openpipe_report.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

LOOPBACK_NAMES = frozenset({"localhost"})
"""Names of a host that are taken as loopback, beside its addresses."""


def check_host(host: bytes | None, more_names: Collection[str]) -> None:
    """
    Check that a request is addressed to this machine's loopback interface.

    Args:
        host: The header `Host`, or None if there is none.
        more_names: Host names that are accepted too, in lower case.

    Raises:
        ApiError: 421, the host is neither loopback nor one of the names.

    """
    name = _host_name(host or b"")
    if name in LOOPBACK_NAMES or name in more_names or _is_loopback(name):
        return
    raise ApiError(
        421,
        "The Host header names another host: use 127.0.0.1 or localhost in the URL, "
        "or start the receiver with --allow-host",
    )


def check_site(method: str, headers: Mapping[bytes, bytes]) -> None:
    """
    Check that a browser does not send the request for a page of another site.

    A link to the receiver may be followed from anywhere: only the user sees the answer.

    Args:
        method: The request's method.
        headers: The request's headers by their names in lower case.

    Raises:
        ApiError: 403.

    """
    site = headers.get(b"sec-fetch-site")
    if site is None and b"origin" not in headers:
        return
    if method in {"GET", "HEAD"} and headers.get(b"sec-fetch-dest") == b"document":
        return
    if site in {b"cross-site", b"same-site"} or _is_foreign(headers):
        raise ApiError(403, "A page of another site may not send requests to this receiver")


def _is_foreign(headers: Mapping[bytes, bytes]) -> bool:
    origin = headers.get(b"origin")
    if origin is None:
        return False
    scheme, separator, host = origin.partition(b"://")
    own = headers.get(b"host", b"").lower()
    return not separator or scheme not in {b"http", b"https"} or host.lower() != own


def _host_name(host: bytes) -> str:
    text = host.decode("latin-1").strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].removesuffix(".")


@functools.lru_cache(maxsize=16)
def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
