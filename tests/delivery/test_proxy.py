"""The environment's proxies, by httpx's rules."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
from base64 import b64encode

import httpx
import pytest
import trustme
from support.backend import HANG_GUARD, Backend, Made

from openpipe_report import Reporter, Settings
from openpipe_report._delivery.connections import CannotConnectError
from openpipe_report._delivery.outcome import Delivered
from openpipe_report._delivery.proxy import proxy_for
from openpipe_report._delivery.transport import Transport

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


@pytest.mark.parametrize(
    "proxy",
    [
        "http://ada:lovelace@proxy:eighty",
        "http://ada:lovelace@[::1",
        "http://ada:lovelace@proxy:\t80",
        "ftp://ada:lovelace@proxy",
    ],
)
def test_wrong_url(proxy, monkeypatch):
    """A proxy whose URL is wrong is named by its variables; its password is not told."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(CannotConnectError) as raised:
        Transport(Settings(base_url="http://receiver.test/api/v1"))
    assert str(raised.value).startswith("the proxy's URL is wrong: look at HTTP_PROXY")
    assert raised.value.__cause__ is None
    assert "lovelace" not in str(raised.value)


WITNESS = """
import json, os
from proxy.http.proxy import HttpProxyBasePlugin

class Witness(HttpProxyBasePlugin):
    "Writes down what clients ask for, and each byte that they send afterwards."

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        receive = self.client.recv

        def receive_and_note(*args):
            received = receive(*args)
            self.note("sent", bytes(received or b"").decode("latin-1"))
            return received

        self.client.recv = receive_and_note

    def before_upstream_connection(self, request):
        self.note("asked", request.build().decode("latin-1"))
        return request

    def note(self, kind, text):
        with open(os.environ["WITNESSED"], "a") as file:
            file.write(json.dumps([kind, text]) + "\\n")
"""


class Proxy:
    """A real proxy in a process of its own, which wants to know a name and a password."""

    def __init__(self, folder):
        (folder / "witness.py").write_text(WITNESS)
        self._witnessed, port = folder / "witnessed", folder / "port"
        command = [sys.executable, "-m", "proxy", "--hostname", "127.0.0.1", "--port", "0"]
        command += ["--port-file", str(port), "--num-acceptors", "1", "--num-workers", "1"]
        command += ["--basic-auth", "ada:lovelace", "--plugins", "witness.Witness"]
        command += ["--data-dir", str(folder), "--log-level", "ERROR"]
        environ = {**os.environ, "PYTHONPATH": str(folder), "WITNESSED": str(self._witnessed)}
        self._process = subprocess.Popen(command, env=environ)
        while not (port.exists() and port.read_text().strip()):
            assert self._process.poll() is None
            threading.Event().wait(0.01)
        self.url = f"http://ada:lovelace@127.0.0.1:{port.read_text().strip()}"

    def forget(self):
        self._witnessed.write_text("")

    def witnessed(self, kind):
        notes = map(json.loads, self._witnessed.read_text().splitlines())
        return [text for what, text in notes if what == kind]

    def stop(self):
        self._process.terminate()
        assert self._process.wait(HANG_GUARD) == 0


@pytest.fixture(scope="module")
def running_proxy(tmp_path_factory):
    proxy = Proxy(tmp_path_factory.mktemp("proxy"))
    yield proxy
    proxy.stop()


@pytest.fixture
def proxy(running_proxy):
    """The proxy, which remembers nothing of other tests."""
    running_proxy.forget()
    return running_proxy


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def certificates(authority, tmp_path, monkeypatch):
    """A file with the certificate of the backend's authority, which nobody trusts yet."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def secure(authority):
    """A backend behind TLS."""
    backend = Backend()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    listener = backend._server.socket
    backend._server.socket = context.wrap_socket(listener, server_side=True)
    with backend:
        yield backend


def report_to(backend, host="127.0.0.1"):
    """Report once; return what became of it."""
    base_url = backend.base_url.replace("http://127.0.0.1:", f"https://{host}:")
    reporter = Reporter(base_url=base_url, api_key="opk-secret", retry_for=0)
    reporter.submit(Made("confidential"))
    flushed = reporter.flush()
    reporter.shutdown()
    return flushed, reporter.stats()


def test_tunnel(secure, certificates, proxy, monkeypatch):
    """HTTPS_PROXY opens a tunnel: it learns the host, and neither key nor report."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("SSL_CERT_FILE", certificates)
    flushed, stats = report_to(secure)
    assert flushed
    assert stats.delivered == 1
    [post] = secure.posts
    assert (post.label, post.headers["authorization"]) == ("confidential", "Bearer opk-secret")
    assert "proxy-authorization" not in post.headers
    [asked], sent = proxy.witnessed("asked"), "".join(proxy.witnessed("sent"))
    host = secure.base_url.split("/")[2]
    assert asked.startswith("CONNECT ")
    assert f"Host: {host}" in asked
    assert b64encode(b"ada:lovelace").decode() in asked
    assert len(sent) > len(post.body)
    assert not [secret for secret in ("opk-secret", post.label, post.key) if secret in asked + sent]


@pytest.mark.parametrize("excluded", ["127.0.0.1", "*", "example.com, 127.0.0.1"])
def test_no_tunnel(excluded, secure, certificates, proxy, monkeypatch):
    """To a host in NO_PROXY the way is direct."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", excluded)
    monkeypatch.setenv("SSL_CERT_FILE", certificates)
    flushed, _ = report_to(secure)
    assert flushed
    assert secure.labels == ["confidential"]
    assert proxy.witnessed("asked") == []


@pytest.mark.parametrize("tunnelled", [False, True], ids=["direct", "tunnel"])
def test_unknown_authority(tunnelled, secure, certificates, proxy, monkeypatch, caplog):
    """A server whose certificate is not to be trusted gets no report, and the reason is told."""
    if tunnelled:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    flushed, stats = report_to(secure)
    assert (flushed.lost, stats.dropped) == (1, {"gave up": 1})
    assert secure.posts == []
    assert len(proxy.witnessed("asked")) == tunnelled
    [line] = [record.getMessage() for record in caplog.records]
    assert "gave up (ConnectError: [SSL: CERTIFICATE_VERIFY_FAILED]" in line
    assert "lovelace" not in line


def test_certificate_of_another_host(secure, certificates, monkeypatch, caplog):
    """A trusted authority is not enough: the certificate has to be the host's."""
    monkeypatch.setenv("SSL_CERT_FILE", certificates)
    flushed, _ = report_to(secure, "localhost")
    assert not flushed
    assert secure.posts == []
    assert "certificate is not valid for 'localhost'" in caplog.text
