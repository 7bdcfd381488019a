"""
The connections to one server: one a thread, over one shared SSL context.

A pool that several threads share would look at every connection twice a request.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Protocol

import httpx

from openpipe_report._delivery.direct_connection import DirectConnection
from openpipe_report._delivery.proxied_connection import ProxiedConnection
from openpipe_report._delivery.proxy import proxy_for

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from openpipe_report._delivery.attempt import Attempt
    from openpipe_report._delivery.http_answer import Answer


class CannotConnectError(Exception):
    """The environment's proxy or certificates cannot be used; the text is for users."""


class Connection(Protocol):
    """Sends requests to the server, one after the other; of one thread."""

    def post(self, attempt: Attempt) -> Answer:
        """Send a report and read the answer; raises httpx.TransportError where none came."""
        ...

    def close(self) -> None:
        """Close it; a later request opens it again."""
        ...


class Connections:
    """
    Opens a connection for each thread that asks for one. Safe for threads.

    Args:
        urls: What is posted to, by the path below the base URL; of one server.
        headers: Of every request.

    Raises:
        CannotConnectError: The environment names a proxy or certificates that cannot be used.
    """

    def __init__(self, urls: Mapping[str, httpx.URL], headers: list[tuple[bytes, bytes]]) -> None:
        self._urls = urls
        url = next(iter(urls.values()))
        self._headers = headers
        try:
            self._proxy = httpx.Proxy(proxy) if (proxy := proxy_for(str(url))) else None
            # Loading the certificates takes 30 ms and some memory.
            schemes = {url.scheme, self._proxy.url.scheme if self._proxy else ""}
            self._ssl_context = _create_ssl_context() if "https" in schemes else None
        except OSError as error:
            named = ", ".join(filter(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")))
            raise CannotConnectError(
                f"cannot load certificates ({error.strerror or error}): look at "
                f"{named or 'those of the system'}"
            ) from None
        except (ValueError, httpx.InvalidURL):  # its text may hold a password
            raise CannotConnectError(
                "the proxy's URL is wrong: look at HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"
            ) from None
        self._mine = threading.local()
        self._open: set[Connection] = set()
        """All of them. A forked child keeps them open, since the server could notice a closing."""
        self.mine()  # what cannot be used is said now

    def mine(self) -> Connection:
        """Return this thread's connection."""
        try:
            found: Connection = self._mine.connection
        except AttributeError:
            found = self._mine.connection = self._make()
            self._open.add(found)
        return found

    def close_mine(self) -> None:
        """Close this thread's connection, where there is one; a later attempt opens another."""
        found: Connection | None = self._mine.__dict__.pop("connection", None)
        if found is not None:
            self._open.discard(found)
            found.close()

    def close(self) -> None:
        """Close the connections of all threads, which does not end their use."""
        for connection in list(self._open):
            connection.close()

    def _make(self) -> Connection:
        if self._proxy is None:
            return DirectConnection(self._urls, self._headers, self._ssl_context)
        try:
            return ProxiedConnection(self._urls, self._headers, self._ssl_context, self._proxy)
        except (ImportError, RuntimeError):
            raise CannotConnectError(
                "a SOCKS proxy needs the package socksio: pip install 'httpx[socks]'"
            ) from None


def _create_ssl_context() -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
