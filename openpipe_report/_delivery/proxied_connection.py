"""
A connection through a proxy of the environment's: httpcore's, since it knows every kind of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from openpipe_report._delivery.attempt import Pace
from openpipe_report._delivery.direct_connection import KEEP_ALIVE
from openpipe_report._delivery.http_answer import Answer
from openpipe_report._delivery.observers import unobserved

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    import httpcore

    from openpipe_report._delivery.attempt import Attempt


class ProxiedConnection:
    """
    Sends requests to one server through a proxy, one after the other; of one thread.

    Args:
        urls: What is posted to, by the path below the base URL; of one server.
        headers: Of every request.
        ssl_context: For https, to the server or to the proxy.
        proxy: The proxy.

    Raises:
        ImportError: A SOCKS proxy needs a package that is not installed.
    """

    def __init__(
        self,
        urls: Mapping[str, httpx.URL],
        headers: list[tuple[bytes, bytes]],
        ssl_context: ssl.SSLContext | None,
        proxy: httpx.Proxy,
    ) -> None:
        import httpcore  # noqa: PLC0415 - httpx imports it late, too

        self._httpcore = httpcore
        self._urls = {path: _core_url(url) for path, url in urls.items()}
        self._headers = headers
        self._attempt: Attempt | None = None
        self._pace = Pace()
        options: dict[str, Any] = {
            "ssl_context": ssl_context,
            "max_connections": 1,
            "keepalive_expiry": KEEP_ALIVE,
            "network_backend": _timed_backend(self),
            "proxy_url": _core_url(proxy.url),
            "proxy_auth": proxy.raw_auth,
        }
        self._pool: httpcore.ConnectionPool
        if proxy.url.scheme in {"http", "https"}:
            self._pool = httpcore.HTTPProxy(proxy_headers=proxy.headers.raw, **options)
        else:
            self._pool = httpcore.SOCKSProxy(**options)

    @property
    def attempt(self) -> Attempt:
        """The attempt that it is at."""
        assert self._attempt is not None  # noqa: S101 - set before the first step
        return self._attempt

    def post(self, attempt: Attempt) -> Answer:
        """
        Send a report and read the answer.

        Raises:
            httpx.TransportError: No answer came; the kind and its text say why.
        """
        self._attempt = attempt
        self._pace.begin(attempt)
        try:
            with unobserved():
                answer = self._exchange(attempt)
        except (
            self._httpcore.TimeoutException,
            self._httpcore.NetworkError,
            self._httpcore.ProtocolError,
            self._httpcore.ProxyError,
            self._httpcore.UnsupportedProtocol,
        ) as error:
            raise _as_httpx(error) from error
        self._pace.end(attempt)
        return answer

    def _exchange(self, attempt: Attempt) -> Answer:
        timeout = attempt.read_timeout
        request = self._httpcore.Request(
            b"POST",
            self._urls[attempt.path],
            headers=[
                *self._headers,
                (b"Idempotency-Key", attempt.idempotency_key.encode()),
                (b"Content-Length", b"%d" % len(attempt.body)),
            ],
            content=attempt.body,
            extensions={
                "timeout": {
                    "connect": attempt.connect_timeout,
                    "read": timeout,
                    "write": timeout,
                    "pool": timeout,
                }
            },
        )
        response = self._pool.handle_request(request)
        try:
            headers = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in response.headers
            }
            body = attempt.read_body(response.iter_stream())
        finally:
            response.close()
        return Answer(response.status, headers, body)

    def receive(self, stream: httpcore.NetworkStream, max_bytes: int) -> bytes:
        """Receive bytes for the attempt that it is at."""
        return self._pace.receive(
            self.attempt,
            lambda timeout: stream.read(max_bytes, timeout),
            self._httpcore.ReadTimeout,
        )

    def close(self) -> None:
        """Close the connection; a later request opens another."""
        with unobserved():
            self._pool.close()


def _core_url(url: httpx.URL) -> httpcore.URL:
    import httpcore  # noqa: PLC0415

    return httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def _as_httpx(error: Exception) -> httpx.TransportError:
    """Return httpx's error of the same name, as httpx's own transports raise it."""
    kind = getattr(httpx, type(error).__name__, httpx.TransportError)
    found: httpx.TransportError = kind(str(error))
    return found


def _timed_backend(connection: ProxiedConnection) -> httpcore.NetworkBackend:
    """Make a network backend whose every step ends by the attempt's deadline."""
    import httpcore  # noqa: PLC0415

    def limit(timeout: float | None, error: type[Exception]) -> float:
        return connection.attempt.limit(float("inf") if timeout is None else timeout, error)

    class TimedStream(httpcore.NetworkStream):
        def __init__(self, stream: httpcore.NetworkStream) -> None:
            self._stream = stream
            self.close = stream.close  # type: ignore[method-assign]
            self.get_extra_info = stream.get_extra_info  # type: ignore[method-assign]

        def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
            return connection.receive(self._stream, max_bytes)

        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            self._stream.write(buffer, limit(timeout, httpcore.WriteTimeout))

        def start_tls(
            self,
            ssl_context: ssl.SSLContext,
            server_hostname: str | None = None,
            timeout: float | None = None,
        ) -> httpcore.NetworkStream:
            left = limit(timeout, httpcore.ConnectTimeout)
            return TimedStream(self._stream.start_tls(ssl_context, server_hostname, left))

    class TimedBackend(httpcore.SyncBackend):
        def connect_tcp(
            self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any
        ) -> httpcore.NetworkStream:
            left = limit(timeout, httpcore.ConnectTimeout)
            connection.attempt.on_wait()
            return TimedStream(super().connect_tcp(host, port, left, *args, **kwargs))

    return TimedBackend()
