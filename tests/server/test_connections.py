"""Connections over real sockets: deadlines, bounds, malformed HTTP, and the end of the server."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.limits import Limits
from openpipe_report.server.store import Store

SHORT = Limits(timeout=0.3, min_body_rate=2**20)
LINES = b"POST /api/v1/report HTTP/1.1\r\nHost: localhost\r\n"
HEAD = LINES + b"Content-Type: application/json\r\n"


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "reports.db") as opened:
        yield opened


@contextmanager
def connected(url):
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), 30) as connection:
        yield connection


def answer_of(connection):
    """Read until the server closes; returns the status and the body, or None for neither."""
    received = b""
    while piece := connection.recv(65_536):
        received += piece
    if not received:
        return None
    head, _, body = received.partition(b"\r\n\r\n")
    assert re.search(rb"(?i)^content-length: %d\r?$" % len(body), head, re.MULTILINE)
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"P", id="one byte"),
        pytest.param(LINES + b"X-Slow: ", id="half a header"),
        pytest.param(HEAD + b"Content-Length: 100\r\n\r\n{", id="half a body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", id="half a chunk"),
    ],
)
def test_half_a_request(store, sent):
    """A request that does not come in time is answered with 408 and the connection closed."""
    app = create_app(store, api_key="k", limits=SHORT)
    with serving(app) as url, connected(url) as connection:
        if b"\r\n\r\n" in sent:
            sent = sent.replace(LINES, LINES + b"Authorization: Bearer k\r\n")
        connection.sendall(sent)
        status, body = answer_of(connection)
        assert (status, body["code"]) == (408, "TIMEOUT")
        assert app.traffic.refused == {408: 1}
        assert httpx.get(url.replace("/api/v1", "/healthz")).status_code == 200
    assert app.traffic.bytes_in_flight == 0


@pytest.mark.parametrize("first", [b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_idle(store, first):
    """A connection on which nothing comes is closed, before and after a request."""
    with serving(create_app(store, limits=SHORT)) as url, connected(url) as connection:
        connection.sendall(first)
        answer = answer_of(connection)
        assert answer == ((200, {"status": "ok"}) if first else None)


def test_slow_writer(store):
    """Bytes that come too slowly do not keep a connection open (slowloris)."""
    with serving(create_app(store, limits=SHORT)) as url, connected(url) as connection:
        connection.sendall(LINES)
        connection.settimeout(0.05)
        answer = b""
        while not answer:
            connection.sendall(b"X-Slow: 1\r\n")
            try:
                answer = connection.recv(65_536)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_steady_body(store):
    """A body that takes longer than the time is read on while it comes fast enough."""
    limits = Limits(timeout=0.3, min_body_rate=10)
    with serving(create_app(store, limits=limits)) as url, connected(url) as connection:
        connection.sendall(HEAD + b"Connection: close\r\nContent-Length: 52\r\n\r\n{}")
        for _ in range(5):
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.sendall(b" " * 10)
        connection.settimeout(30)
        assert answer_of(connection) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "sent, status",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, id="TLS"),
        pytest.param(b"nonsense\r\n\r\n", 400, id="no request line"),
        pytest.param(LINES + b"No colon\r\n\r\n", 400, id="header without a colon"),
        pytest.param(HEAD + b"Content-Length: x\r\n\r\n", 400, id="length is no number"),
        pytest.param(
            HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400, id="two lengths"
        ),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, id="chunk"),
        pytest.param(LINES + b"X: " + b"x" * 70_000, 431, id="long header"),
        pytest.param(LINES + b"X: x\r\n" * 12_000, 431, id="many headers"),
        pytest.param(b"GET /" + b"x" * 70_000, 431, id="long URL"),
    ],
)
def test_malformed(store, sent, status):
    """What is not valid HTTP, or has too large a head, is answered in the API's shape."""
    app = create_app(store)
    with serving(app) as url, connected(url) as connection:
        connection.sendall(sent)
        answered, body = answer_of(connection)
        assert answered == status
        assert set(body) == {"message", "code", "issues"}
    assert app.traffic.refused == {status: 1}


def test_pipelined(store):
    """Requests sent ahead of their answers are answered in order, HEAD and 100-continue too."""
    with serving(create_app(store, limits=SHORT)) as url, connected(url) as connection:
        connection.sendall(
            HEAD + b"Content-Length: 18\r\n\r\n" + b'{"statusCode": 11}'
            b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
            + HEAD
            + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"
        )
        received = b""
        while received.count(b"HTTP/1.1 ") < 4:
            received += connection.recv(65_536)
    found = re.findall(rb"HTTP/1.1 (\d+)", received)
    assert found[:3] == [b"200", b"200", b"404"]
    assert store.report(1) == {"statusCode": 11}


def test_expect_continue(store):
    """A client that waits for 100 before it sends the body gets it."""
    with serving(create_app(store)) as url, connected(url) as connection:
        connection.sendall(
            HEAD + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
        )
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert answer_of(connection) == (200, {"status": "ok"})


def test_bound(store):
    """A connection beyond the bound is answered with 503, and others go on."""
    app = create_app(store, limits=Limits(max_connections=3))
    with serving(app) as url, ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(base_url=url)) for _ in range(3)]
        for client in clients:
            assert client.post("report", json={}).status_code == 200
        with connected(url) as beyond:
            status, body = answer_of(beyond)
        assert (status, body["code"]) == (503, "SERVICE_UNAVAILABLE")
        for client in clients:
            assert client.post("report", json={}).status_code == 200
        assert app.traffic.refused == {503: 1}


SERVE = [sys.executable, "-m", "openpipe_report", "serve", "--port", "0"]


@contextmanager
def serve(folder, command=SERVE):
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.kill()


def test_stop_with_half_requests(tmp_path):
    """With half-sent requests open the receiver ends with 0, and prints no traceback."""
    halves = [b"P", HEAD, HEAD + b"Content-Length: 9\r\n\r\n{", HEAD + b"Content-Length: 9\r\n\r\n"]
    with serve(tmp_path) as (process, url), ExitStack() as stack:
        connections = [stack.enter_context(connected(url)) for _ in halves]
        for connection, half in zip(connections, halves, strict=True):
            connection.sendall(half)
        assert httpx.get(url.replace("/api/v1", "/healthz")).status_code == 200
        process.send_signal(signal.SIGTERM)
        answers = [answer_of(connection) for connection in connections]
        assert process.wait(30) == 0
        printed = process.stdout.read()
    assert [answer and answer[0] for answer in answers] == [None, None, 503, 503]
    assert "Traceback" not in printed
    assert printed.endswith("Stopped. Every acknowledged report is stored.\n")


OUT_OF_FILES = """
import logging, os, resource, socket, sys, threading, urllib.parse
from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.store import Store

class Logged(logging.Handler):
    lines, event = [], threading.Event()
    def emit(self, record):
        self.lines.append(record.getMessage())
        self.event.set()

logging.getLogger().addHandler(Logged())
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
with Store(sys.argv[1]) as store, serving(create_app(store)) as url:
    client = socket.socket()
    files = []
    try:
        while True:
            files.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    client.connect(("127.0.0.1", urllib.parse.urlsplit(url).port))
    client.sendall(b"GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    assert Logged.event.wait(30)
    client.settimeout(1.2)  # two more attempts
    try:
        assert not client.recv(1)
    except TimeoutError:
        pass
    for file in files:
        os.close(file)
    client.settimeout(30)
    print(client.recv(15).decode(), Logged.lines)
"""


def test_out_of_files(tmp_path):
    """Without a file descriptor the receiver logs it once, and accepts connections afterwards."""
    command = [sys.executable, "-c", OUT_OF_FILES, str(tmp_path / "reports.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == ("HTTP/1.1 200 OK ['cannot accept connections: Too many open files']\n")


LIMITED = f"""
import resource, os, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (90, 90))
os.execv(sys.executable, {SERVE!r})
"""


def test_file_descriptor_limit(tmp_path):
    """Where few files may be open, fewer connections are taken, and nothing floods the log."""
    with (
        serve(tmp_path, [sys.executable, "-c", LIMITED]) as (process, url),
        ExitStack() as stack,
    ):
        opened = [stack.enter_context(connected(url)) for _ in range(200)]
        for connection in opened[100:]:
            status, _ = answer_of(connection)
            assert status == 503
        for connection in opened:
            connection.close()
        with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as http:
            while http.post(f"{url}/report", json={}).status_code == 503:
                pass
            assert http.post(f"{url}/report", json={}).status_code == 200
        process.terminate()
        assert process.wait(30) == 0
        printed = process.stdout.read()
    assert len(printed) < 2_000
    assert re.search(r"\d\d:\d\d:\d\d.* refused requests: \d+ \(\d+ x 503 SERVICE_UNAV", printed)
