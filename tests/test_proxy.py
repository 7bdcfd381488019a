"""The environment's proxies, by httpx's rules."""

from __future__ import annotations

import httpx
import pytest
from backend import Backend

from openpipe_report import Settings
from openpipe_report._outcome import Delivered
from openpipe_report._proxy import proxy_for
from openpipe_report._transport import Transport

PROXY = "http://proxy.test:3128"
URLS = [
    "http://example.com/report",
    "https://example.com/report",
    "https://api.example.com:8443/report",
    "https://notexample.com/report",
    "http://localhost:8417/report",
    "http://127.0.0.1:8417/report",
    "http://[::1]:8417/report",
]
ENVIRONMENTS = [
    {},
    {"HTTP_PROXY": PROXY},
    {"https_proxy": PROXY},
    {"HTTPS_PROXY": "proxy.test:3128"},
    {"ALL_PROXY": PROXY},
    {"ALL_PROXY": PROXY, "HTTPS_PROXY": "http://other.test:1"},
]
EXCLUDED = [
    "", "*", "example.com", ".example.com", "*.example.com", "EXAMPLE.com", "api.example.com",
    "example.com:8443", "api.example.com:8443", "localhost", "LOCALHOST", "127.0.0.1", "::1",
    "127.0.0.0/8", "localhost, 127.0.0.1", "https://example.com", "http://", "all://localhost",
    "https://api.example.com:8443", "com", "x,,*",
]  # fmt: skip


def by_httpx(client, url):
    """What httpx's own Client would do: the proxy it would use for a URL."""
    pool = client._transport_for_url(httpx.URL(url))._pool
    proxy = getattr(pool, "_proxy_url", None)
    return None if proxy is None else (proxy.host, proxy.port)


@pytest.mark.parametrize("excluded", EXCLUDED, ids=lambda text: text or "none")
@pytest.mark.parametrize("environ", ENVIRONMENTS, ids=lambda environ: "-".join(environ) or "none")
def test_as_httpx(environ, excluded, monkeypatch):
    """Each URL goes through the proxy that httpx's Client would choose for it."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    if excluded:
        monkeypatch.setenv("NO_PROXY", excluded)
    with httpx.Client(verify=False) as client:
        expected = {url: by_httpx(client, url) for url in URLS}
    chosen = {url: httpx.URL(proxy_for(url) or "") for url in URLS}
    assert {
        url: (p.host.encode(), p.port) if p.host else None for url, p in chosen.items()
    } == expected


def test_through_a_proxy(monkeypatch):
    """A proxy of the environment's gets the request, with the whole URL."""
    with Backend() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/api/v1"))
        transport = Transport(Settings(base_url="http://receiver.test/api/v1"))
        assert transport.send(b"{}", "key-1") == Delivered()
        transport.close()
    assert proxy.posts[0].path == "http://receiver.test/api/v1/report"
