"""
Connections to the server: one a thread, over one shared SSL context, each attempt with a deadline.

They are httpcore's own, below httpx's transports: tools that replace those (pytest-httpx) neither
see our requests nor give them the answers meant for the user's. A pool that several threads share
would look at every connection twice a request.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx

from openpipe_report._delivery.proxy import proxy_for

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    import httpcore

_KEEP_ALIVE = 5.0
"""Seconds that an idle connection is kept."""

AT_ONCE = 0.001
"""Seconds: an attempt that takes longer keeps its thread waiting, so that another may send."""


class CannotConnectError(Exception):
    """The environment's proxy or certificates cannot be used; the text is for users."""


class Attempt:
    """The attempt that one connection is at."""

    ends_at = float("inf")
    """The time (monotonic) by which it has to be over."""
    on_wait: Callable[[], object] = staticmethod(lambda: None)
    """Called, once or more, when the network keeps it waiting."""
    is_answered_at_once = True
    """
    Whether the last one was. Not so where the server is far, and where other threads compute: this
    one waits for the interpreter's lock then.
    """

    def limit(self, timeout: float | None, error: type[Exception]) -> float:
        """Return the seconds that one step may take; raise an error where none are left."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise error("the answer takes too long")
        return left if timeout is None else min(timeout, left)


class Connections:
    """
    Opens a connection for each thread that asks for one. Safe for threads.

    Args:
        url: Where they lead to.

    Raises:
        CannotConnectError: The environment names a proxy or certificates that cannot be used.
    """

    def __init__(self, url: httpx.URL) -> None:
        try:
            self._proxy = httpx.Proxy(proxy) if (proxy := proxy_for(str(url))) else None
            self._ssl_context: ssl.SSLContext = httpx.create_ssl_context()
        except OSError as error:
            named = ", ".join(filter(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")))
            raise CannotConnectError(
                f"cannot load certificates ({error.strerror or error}): look at "
                f"{named or 'those of the system'}"
            ) from None
        except ValueError:  # its text may hold a password
            raise CannotConnectError(
                "the proxy's URL is wrong: look at HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"
            ) from None
        self._mine = threading.local()
        self._open: set[Any] = set()
        """Every pool, so that a forked child closes none: that could be felt at its other end."""
        self.mine()  # what cannot be used is said now

    def mine(self) -> tuple[httpcore.ConnectionPool, Attempt]:
        """Return this thread's connection, as a pool of one, and what it knows of its attempts."""
        try:
            found: tuple[httpcore.ConnectionPool, Attempt] = self._mine.pool
        except AttributeError:
            found = self._mine.pool = self._open_pool()
            self._open.add(found[0])
        return found

    def close_mine(self) -> None:
        """Close this thread's connection, where there is one; a later attempt opens another."""
        found = self.__dict__["_mine"].__dict__.pop("pool", None)
        if found is not None:
            self._open.discard(found[0])
            found[0].close()

    def close(self) -> None:
        """Close the connections of all threads, which does not end their use."""
        for pool in list(self._open):
            pool.close()

    def _open_pool(self) -> tuple[httpcore.ConnectionPool, Attempt]:
        import httpcore  # noqa: PLC0415 - httpx imports it late, too

        attempt = Attempt()
        options: dict[str, Any] = {
            "ssl_context": self._ssl_context,
            "max_connections": 1,
            "keepalive_expiry": _KEEP_ALIVE,
            "network_backend": _timed_backend(attempt),
        }
        if self._proxy is None:
            return httpcore.ConnectionPool(**options), attempt
        url = self._proxy.url
        options["proxy_url"] = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        options["proxy_auth"] = self._proxy.raw_auth
        if url.scheme in {"http", "https"}:
            options["proxy_headers"] = self._proxy.headers.raw
            return httpcore.HTTPProxy(**options), attempt
        try:
            return httpcore.SOCKSProxy(**options), attempt
        except (ImportError, RuntimeError):
            raise CannotConnectError(
                "a SOCKS proxy needs the package socksio: pip install 'httpx[socks]'"
            ) from None


def _timed_backend(attempt: Attempt) -> httpcore.NetworkBackend:
    """Make a network backend whose every step ends by the deadline, headers drop by drop too."""
    import httpcore  # noqa: PLC0415

    class TimedStream(httpcore.NetworkStream):
        def __init__(self, stream: httpcore.NetworkStream) -> None:
            self._stream = stream
            self.close = stream.close  # type: ignore[method-assign]
            self.get_extra_info = stream.get_extra_info  # type: ignore[method-assign]

        def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            if attempt.is_answered_at_once:
                with suppress(httpcore.ReadTimeout):
                    return self._stream.read(
                        max_bytes, attempt.limit(AT_ONCE, httpcore.ReadTimeout)
                    )
                attempt.on_wait()
            return self._stream.read(max_bytes, attempt.limit(timeout, httpcore.ReadTimeout))

        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            self._stream.write(buffer, attempt.limit(timeout, httpcore.WriteTimeout))

        def start_tls(
            self,
            ssl_context: ssl.SSLContext,
            server_hostname: str | None = None,
            timeout: float | None = None,
        ) -> httpcore.NetworkStream:
            limit = attempt.limit(timeout, httpcore.ConnectTimeout)
            return TimedStream(self._stream.start_tls(ssl_context, server_hostname, limit))

    class TimedBackend(httpcore.SyncBackend):
        def connect_tcp(
            self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any
        ) -> httpcore.NetworkStream:
            limit = attempt.limit(timeout, httpcore.ConnectTimeout)
            attempt.on_wait()
            return TimedStream(super().connect_tcp(host, port, limit, *args, **kwargs))

    return TimedBackend()
