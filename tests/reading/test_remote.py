"""Reading from a receiver: keys, wrong servers, failures of the network."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from openpipe_report._reading import (
    QueryError,
    SourceError,
    SourceUnavailableError,
    display_name,
    open_source,
)
from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.store import Store

KEY = "s3cret-key-of-many-letters"


class Scripted:
    """A server that answers every request alike, and notes what it was asked."""

    def __init__(self, status=200, body=b"{}", headers=None, context=None):
        self.paths = []
        self.keys = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                script.paths.append(self.path)
                script.keys.append(self.headers["Authorization"])
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def test_key(tmp_path):
    """A key is sent as a header; a missing and a wrong one are told apart, and none is printed."""
    with Store(tmp_path / "reports.db") as store, serving(create_app(store, api_key=KEY)) as url:
        with open_source(url, api_key=KEY) as source:
            assert source.newest_id() == 0
        for key, message in [(None, "asks for a key"), ("wr0ng", "does not accept this key")]:
            with open_source(url, api_key=key) as source, pytest.raises(SourceError) as raised:
                source.newest_id()
            assert message in str(raised.value)
            assert "wr0ng" not in str(raised.value)


@pytest.mark.parametrize("suffix", ["", "/", "/api/v1", "/api/v1/"])
def test_url(receiver, suffix):
    """The URL may have the API's path at its end."""
    with open_source(receiver.removesuffix("/api/v1") + suffix) as source:
        assert source.newest_id() == 1_205


def test_prefix():
    """A receiver may be below a path of a proxy's."""
    with Scripted(body=b'{"data": [], "next": null}') as server:
        with open_source(f"{server.url}/team", api_key=KEY) as source:
            assert list(source.newest_first({"metadata.a b": "c&d"})) == []
        [path] = server.paths
        assert path.replace("%20", "+") == "/team/api/v1/reports?metadata.a+b=c%26d&limit=1000"
        assert server.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize(
    "status, body, kind, message",
    [
        (400, {"message": "m", "issues": [{"message": "a"}, {"message": "b"}]}, QueryError, "a; b"),
        (400, "text", QueryError, "does not understand the query"),
        (401, {}, SourceError, "does not accept this key"),
        (403, {"message": "scope write"}, SourceError, "does not let this key read: scope write"),
        (404, "<html>", SourceError, "no reports to read at .*HTTP 404"),
        (302, "", SourceError, "redirects to another address"),
        (421, {"message": "Host", "issues": 3}, SourceError, "HTTP 421: Host"),
        (429, "", SourceUnavailableError, "HTTP 429"),
        (500, {"issues": [{}, 1]}, SourceUnavailableError, "HTTP 500$"),
        (503, {"message": "locked"}, SourceUnavailableError, "HTTP 503: locked"),
        (200, "<html>", SourceError, "server of another kind"),
        (200, [1], SourceError, "server of another kind"),
        (200, {"data": 3}, SourceError, "server of another kind"),
        (200, {"data": [{"id": "x"}]}, SourceError, "server of another kind"),
        (200, "[" * 100_000, SourceError, "server of another kind"),
    ],
)
def test_answers(status, body, kind, message):
    """Every wrong answer is an error that says what to do, without the key."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    with (
        Scripted(status, content, {"Location": "http://127.0.0.1:9/"}) as server,
        open_source(server.url, api_key=KEY) as source,
        pytest.raises(kind, match=message) as raised,
    ):
        source.newest_id()
    assert type(raised.value) is kind
    assert KEY not in str(raised.value)
    assert len(server.paths) == 1


def test_missing_report_or_receiver():
    """A 404 of a report is told from that of a server that has no reports."""
    with Scripted(404) as server, open_source(server.url) as source:
        for read in (source.get, source.trace):
            with pytest.raises(SourceError, match="no reports to read"):
                read("1")


def test_refused():
    """A receiver that does not run can be tried again later."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with open_source(url) as source, pytest.raises(SourceUnavailableError, match="check that the"):
        source.newest_id()


def test_stale_connection(tmp_path):
    """A connection that the receiver has closed meanwhile is opened again."""
    with Store(tmp_path / "reports.db") as store, serving(create_app(store)) as url:
        port = int(url.split(":")[2].split("/")[0])
        source = open_source(url)
        assert source.newest_id() == 0
    with (
        Store(tmp_path / "reports.db") as store,
        serving(create_app(store), port=port),
        source,
    ):
        assert source.newest_id() == 0


def test_certificate(monkeypatch, tmp_path):
    """A certificate is verified; an authority of one's own is named by SSL_CERT_FILE."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with Scripted(body=b'{"data": []}', context=context) as server:
        url = server.url.replace("http://127.0.0.1", "https://localhost")
        with open_source(url) as source, pytest.raises(SourceError, match="set SSL_CERT_FILE"):
            source.newest_id()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        with open_source(url) as source:
            assert source.newest_id() == 0


@pytest.mark.parametrize(
    "url", ["http:///path", "http://a:b:c", "http://h:99999", "https://h/?key=1", "http://u:p@h"]
)
def test_wrong_url(url):
    """A URL that is none, or has a key in it, is refused and not repeated."""
    with pytest.raises(SourceError, match="the receiver's URL") as raised:
        open_source(url)
    assert url not in str(raised.value)


@pytest.mark.parametrize("key", ["a\nb", "\u00e9", "a\0"])
def test_wrong_key(key):
    """A key that no header can have is refused at once."""
    with pytest.raises(SourceError, match="the key for the receiver has"):
        open_source("http://127.0.0.1:9", api_key=key)


@pytest.mark.parametrize(
    "location, name",
    [
        ("a:b@c.db", "a:b@c.db"),
        ("postgresql+psycopg://u:p@ss@h/db", "postgresql+psycopg://u:***@h/db"),
        ("postgresql+psycopg://u@h/db", "postgresql+psycopg://u@h/db"),
        ("postgresql+psycopg:///db", "postgresql+psycopg:///db"),
    ],
)
def test_display_name(location, name):
    """The name of a database has no password."""
    assert display_name(location) == name
