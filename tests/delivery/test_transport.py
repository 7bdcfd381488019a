"""One attempt and its outcome, and when the next one is due."""

from __future__ import annotations

import gzip
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from email.utils import formatdate

import httpx
import pytest
from support.backend import HANG_GUARD, OK, Backend, Made
from tenacity import wait_none

from openpipe_report import Reporter, Settings
from openpipe_report._delivery import response as response_module
from openpipe_report._delivery.response import (
    Delivered,
    Rejected,
    Retryable,
    classify_response,
    retry_after,
)
from openpipe_report._delivery.transport import Transport

URL = "http://receiver.test/api/v1"
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"status":"ok"}'
FOREIGN = "HTTP 200 with an answer that is not the API's; is base_url right?"


def send(transport, body=b"{}", key="key-1", within=None):
    """Make one attempt and let go of the connections."""
    try:
        return transport.send(body, key, within)
    finally:
        transport.close()


def test_request_on_the_wire():
    """An attempt is a POST of JSON to base_url/report with bearer key and Idempotency-Key."""
    with Backend() as backend:
        settings = Settings(base_url=backend.base_url, api_key="opk-1")
        assert send(Transport(settings), b'{"statusCode":200}') == Delivered()
    [post] = backend.posts
    assert (post.path, post.body) == ("/api/v1/report", b'{"statusCode":200}')
    assert post.headers == {
        "host": backend.base_url.split("/")[2],
        "content-type": "application/json",
        "content-length": "18",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "openpipe-report",
        "authorization": "Bearer opk-1",
        "idempotency-key": "key-1",
    }


def test_no_key_no_header():
    """Without an API key no Authorization is sent."""
    with Backend() as backend:
        assert send(Transport(Settings(base_url=backend.base_url))) == Delivered()
    assert "authorization" not in backend.posts[0].headers


@pytest.mark.parametrize("status", [407, 408, 409, 425, 429, 500, 502, 503, 504, 599])
def test_retryable_status(status):
    """These may work later."""
    assert classify_response(status, {}, b"") == Retryable(f"HTTP {status}", got_response=True)


@pytest.mark.parametrize("status", [201, 204, 301, 307, 400, 401, 403, 404, 413, 422])
def test_other_status(status):
    """Any other status but 200 is a refusal."""
    assert isinstance(classify_response(status, {}, b""), Rejected)


@pytest.mark.parametrize(
    "status, body, told",
    [
        (400, b'{"message":"no","code":"BAD_REQUEST"}', "HTTP 400 BAD_REQUEST: no"),
        (400, b'{"message":"no","code":"B","issues":[{"message":"x"},3]}', "HTTP 400 B: no: x"),
        (401, b'{"message":"no","code":"U","issues":[{"message":"no"}]}', "HTTP 401 U: no"),
        (400, b'{"detail":"other"}', "HTTP 400"),
        (502, b"<html>", "HTTP 502"),
        (400, b"[" * 100_000, "HTTP 400"),
        (400, b'{"message":"two\\nlines\\u001b"}', "HTTP 400 two lines "),
        (401, b'{"message":"bad key sk-secret"}', "HTTP 401 bad key [key]"),
        (200, b'{"status":"error"}', 'HTTP 200 {"status": "error"}'),
        (200, b'{"status":"error","message":"no"}', 'HTTP 200 {"status": "error"} no'),
        (200, b"garbage", FOREIGN),
        (200, b"", FOREIGN),
        (200, b'{"status":"fine"}', FOREIGN),
        (302, b"", "HTTP 302, a redirect, which is not followed; is base_url right?"),
    ],
    ids=[
        "message", "issues", "repeated", "foreign", "html", "deep", "one-line", "key", "error",
        "error-message", "garbage", "empty", "other-status", "redirect",
    ],
)  # fmt: skip
def test_reason(status, body, told):
    """The server's words are told in one line, without the key, and nothing but them."""
    outcome = classify_response(status, {}, body, "sk-secret")
    assert isinstance(outcome, (Rejected, Retryable))
    assert outcome.reason == told


def test_long_message_is_cut():
    """A message is told up to 500 characters."""
    outcome = classify_response(400, {}, b'{"message":"%s"}' % (b"x" * 10_000))
    assert len(outcome.reason) < 520


@pytest.mark.parametrize(
    "value, seconds",
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("", None),
        ("soon", None),
        ("1.5", None),
        ("-3", None),
        ("²", None),
        (formatdate(1060, usegmt=True), 60.0),
        (formatdate(940, usegmt=True), 0.0),
        ("Thu Jan  1 00:17:40 1970", 60.0),
        ("Thu, 01 Jan 1970 00:17:40 -0000", 60.0),
        ("9" * 400, float("inf")),
    ],
    ids=[
        "seconds", "zero", "empty", "word", "fraction", "negative", "superscript", "date", "past",
        "asctime", "no-zone", "endless",
    ],
)  # fmt: skip
def test_retry_after(value, seconds, monkeypatch):
    """Retry-After is read as seconds or as a date in GMT; anything else is no answer."""
    monkeypatch.setattr(response_module.time, "time", lambda: 1000.0)
    assert retry_after(httpx.Headers({"Retry-After": value} if value.isascii() else {})) == seconds


@pytest.mark.parametrize(
    "error",
    [httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadTimeout, httpx.WriteTimeout,
     httpx.PoolTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError],
)  # fmt: skip
def test_no_answer(error):
    """Without an answer it may work later, and the reason names the error."""

    def fail(_request):
        raise error("boom")

    with httpx.Client(transport=httpx.MockTransport(fail)) as client:
        outcome = send(Transport(Settings(base_url=URL, http_client=client)))
    assert outcome == Retryable(f"{error.__name__}: boom", got_response=False)


def test_stale_connection_is_repeated_at_once():
    """A pooled connection that the server has closed meanwhile costs no attempt."""
    dropped = threading.Event()
    with Backend() as backend:
        transport = Transport(Settings(base_url=backend.base_url))

        def answer(post):
            if len(backend.posts) == 2:
                dropped.set()
                return None
            return OK

        backend.answer = answer
        assert transport.send(b"{}", "key-1") == Delivered()
        assert send(transport, key="key-2") == Delivered()
        assert dropped.is_set()
    assert [post.key for post in backend.posts] == ["key-1", "key-2", "key-2"]


def read_head(connection):
    """Read the head of a request, and whatever came along."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(1024)


def answer_late(connection):
    """Answer a request, but not before it is waited for."""
    read_head(connection)
    threading.Event().wait(0.02)
    connection.sendall(ANSWER)


@contextmanager
def serving(*behaviours):
    """A server that treats its connections as told, one after the other; its URL."""

    def run():
        for behave in behaviours:
            connection, _ = server.accept()
            with connection:
                behave(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api/v1"
        thread.join(HANG_GUARD)


@pytest.mark.parametrize("late", [b"HTTP/1.1 408 Late\r\n\r\n", ANSWER, b"x"])
def test_sent_over_an_idle_connection(late, monkeypatch):
    """What a server sends before it closes an idle connection is no answer to the next report."""
    monkeypatch.setattr("openpipe_report._delivery.direct_connection.TRUSTED", 0.0)
    closed = threading.Event()

    def answer_twice(connection):
        read_head(connection)
        connection.sendall(ANSWER)
        answered.wait(HANG_GUARD)
        connection.sendall(late)
        connection.shutdown(socket.SHUT_WR)
        closed.set()
        over.wait(HANG_GUARD)

    def refuse(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n")

    answered, over = threading.Event(), threading.Event()
    with serving(answer_twice, refuse) as url:
        transport = Transport(Settings(base_url=url))
        assert transport.send(b"{}", "key-1") == Delivered()
        answered.set()
        assert closed.wait(HANG_GUARD)
        over.set()
        assert send(transport, key="key-2") == Rejected("HTTP 403")


@pytest.mark.parametrize(
    "status, outcome",
    [
        ("413 Too Large", Rejected("HTTP 413")),
        ("503 Busy", Retryable("HTTP 503", got_response=True)),
    ],
)
def test_answer_before_all_was_sent(status, outcome):
    """A server that refuses a large report may answer before it has read all of it, and close."""

    def answer_early(connection):
        read_head(connection)
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    with serving(answer_early) as url:
        assert send(Transport(Settings(base_url=url)), b"x" * 2**25) == outcome


def test_success_before_all_was_sent():
    """A 200 for a report of which a part was read delivers nothing."""

    def answer_early(connection):
        read_head(connection)
        connection.sendall(ANSWER)

    with serving(answer_early, answer_early) as url:
        outcome = send(Transport(Settings(base_url=url)), b"x" * 2**25)
    assert isinstance(outcome, Retryable)
    assert outcome.reason.startswith("WriteError")


def test_refused_connection():
    """Nobody listening is a failure like any other."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/api/v1"
        outcome = send(Transport(Settings(base_url=url)))
    assert isinstance(outcome, Retryable)
    assert not outcome.got_response


@pytest.mark.parametrize(
    "base_url, address",
    [
        ("http://[::1]", ("::1", 80)),
        ("https://b\u00fccher.test", ("xn--bcher-kva.test", 443)),
        ("http://127.0.0.1:0", ("127.0.0.1", 0)),
        ("https://receiver.test:8443/api", ("receiver.test", 8443)),
    ],
)
def test_address(base_url, address, monkeypatch):
    """A connection goes to the host and port of base_url; port 0 is not the default one."""
    asked = []

    def refuse(where, timeout):
        asked.append(where)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    assert isinstance(send(Transport(Settings(base_url=base_url))), Retryable)
    assert asked == [address]


def test_black_hole():
    """A server that accepts and never answers costs the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api/v1"
        outcome = send(Transport(Settings(base_url=url, read_timeout=0.1)))
    assert outcome == Retryable("ReadTimeout: timed out", got_response=False)


def test_headers_drop_by_drop():
    """A server that sends its headers byte by byte holds a thread no longer than an attempt."""
    over = threading.Event()

    def trickle(server):
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Padding: ")
            with suppress(OSError):
                while not over.wait(0.02):
                    connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=trickle, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/api/v1"
        settings = Settings(base_url=url, read_timeout=0.3, connect_timeout=0.1)
        outcome = send(Transport(settings))
        over.set()
    assert isinstance(outcome, Retryable)
    assert outcome.reason.startswith("ReadTimeout")


def test_huge_timeouts():
    """Timeouts that the operating system has no number for are very long ones."""
    with serving(answer_late) as url:
        settings = Settings(base_url=url, connect_timeout=1e300, read_timeout=1e300)
        assert send(Transport(settings)) == Delivered()


@pytest.mark.parametrize("make_client", [None, httpx.Client])
def test_slow_upload(make_client):
    """A large report may take longer than the timeouts, since the network may be slow."""

    def read_slowly(connection):
        while not connection.recv(2**16).endswith(b"}"):
            assert not never.wait(0.005)
        connection.sendall(ANSWER)

    never = threading.Event()
    with ExitStack() as stack:
        url = stack.enter_context(serving(read_slowly))
        client = stack.enter_context(make_client()) if make_client else None
        settings = Settings(base_url=url, http_client=client, read_timeout=0.3, connect_timeout=0.1)
        assert send(Transport(settings), b"x" * 2**23 + b"}") == Delivered()


def test_answer_drop_by_drop(monkeypatch):
    """A server that sends its answer byte by byte is not read for ever."""
    more = threading.Event()

    class Drops(httpx.SyncByteStream):
        def __iter__(self):
            while not more.is_set():
                yield b" "

    monkeypatch.setattr("openpipe_report._delivery.attempt.MAX_BODY", 10**9)
    client = httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=Drops()))
    )
    transport = Transport(
        Settings(base_url=URL, http_client=client, read_timeout=0.01, connect_timeout=0.01)
    )
    assert send(transport) == Retryable(
        "ReadTimeout: the answer takes too long", got_response=False
    )


def test_endless_answer():
    """Of an answer without end only the beginning is read."""

    class Endless(httpx.SyncByteStream):
        def __iter__(self):
            while True:
                yield b" " * 1000

    client = httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=Endless()))
    )
    assert send(Transport(Settings(base_url=URL, http_client=client))) == Retryable(
        FOREIGN, got_response=True
    )


@pytest.mark.parametrize(
    "body, kind",
    [(gzip.compress(b'{"status":"ok"}'), Delivered), (b"no gzip", Retryable)],
    ids=["gzip", "broken"],
)
def test_compressed_answer(body, kind):
    """An answer that is compressed though nobody asked is understood all the same."""
    with Backend() as backend:
        backend.answer = lambda _: (200, body, {"Content-Encoding": "gzip"})
        assert isinstance(send(Transport(Settings(base_url=backend.base_url))), kind)


def test_given_client():
    """A client of the user's sends with its own headers, and stays open."""
    requests = []

    def answer(request):
        requests.append(request)
        return httpx.Response(200, json={"status": "ok"})

    client = httpx.Client(
        transport=httpx.MockTransport(answer), headers={"X-Gateway": "g", "Accept": "text/html"}
    )
    settings = Settings(base_url=URL, api_key="opk-1", http_client=client)
    assert send(Transport(settings), b"{}", "key-1") == Delivered()
    headers = requests[0].headers
    assert (headers["X-Gateway"], headers["Accept"]) == ("g", "application/json")
    assert (headers["Idempotency-Key"], headers["Authorization"]) == ("key-1", "Bearer opk-1")
    assert not client.is_closed


def retrying():
    return httpx.Client(transport=httpx.HTTPTransport(retries=2))


def following():
    return httpx.Client(follow_redirects=True)


@pytest.mark.parametrize("make_client", [None, httpx.Client, retrying, following])
def test_retries(make_client, monkeypatch):
    """With our own connections and with any client given, attempts share one Idempotency-Key."""
    monkeypatch.setattr(
        "openpipe_report._delivery.retry.wait_random_exponential", lambda **_: wait_none()
    )
    with Backend() as backend, ExitStack() as stack:
        answers = iter([(500, b"", {}), (500, b"", {"X-Hang-Up": "1"}), OK])
        backend.answer = lambda _: next(answers)
        client = stack.enter_context(make_client()) if make_client else None
        reporter = Reporter(base_url=backend.base_url, api_key="opk-1", http_client=client)
        reporter.submit(Made())
        assert reporter.flush()
        reporter.shutdown()
        assert reporter.stats().delivered == 1
    first, *more = backend.posts
    assert [(post.key, post.body) for post in more] == [(first.key, first.body)] * 2
    assert {post.headers["authorization"] for post in backend.posts} == {"Bearer opk-1"}


@pytest.mark.parametrize("make_client", [None, httpx.Client, retrying, following])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_to_another_server(status, make_client):
    """Neither the key nor the report goes where a redirect leads."""
    with Backend() as backend, Backend() as other, ExitStack() as stack:
        backend.answer = lambda _: (status, b"", {"Location": f"{other.base_url}/report"})
        client = stack.enter_context(make_client()) if make_client else None
        settings = Settings(base_url=backend.base_url, api_key="opk-1", http_client=client)
        assert isinstance(send(Transport(settings)), Rejected)
    assert len(backend.posts) == 1
    assert other.connections == 0


@pytest.mark.parametrize(
    "status, headers, outcome",
    [(400, {}, Rejected("HTTP 400")), (429, {"Retry-After": "30"}, None), (200, {}, Delivered())],
)
def test_hook_that_raises_for_status(status, headers, outcome):
    """A given client whose hook raises for the status changes nothing about what becomes of it."""
    answer = httpx.Response(status, json={"status": "ok"}, headers=headers)
    client = httpx.Client(
        transport=httpx.MockTransport(lambda _: answer),
        event_hooks={"response": [lambda response: response.raise_for_status()]},
    )
    found = Transport(Settings(base_url="http://x", http_client=client)).send(b"{}", "key")
    if status == 429:
        assert (found.reason, found.retry_after) == ("HTTP 429", 30)
    else:
        assert found == outcome


def test_hook_that_raises_after_a_stale_connection():
    """The immediate repeat on a connection that was closed is judged in the same way."""
    answers = iter([httpx.RemoteProtocolError("stale"), httpx.Response(429)])

    def answer(request):
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    client = httpx.Client(
        transport=httpx.MockTransport(answer),
        event_hooks={"response": [lambda response: response.raise_for_status()]},
    )
    found = Transport(Settings(base_url="http://x", http_client=client)).send(b"{}", "key")
    assert found == Retryable("HTTP 429", got_response=True)


@pytest.mark.parametrize("make_client", [None, httpx.Client])
@pytest.mark.parametrize("size", [10, 2**20])
def test_says_when_it_begins_to_wait(make_client, size):
    """Others may send from when the request is out, not only from when the answer has come."""
    waits = threading.Event()
    with Backend() as backend, ExitStack() as stack:
        client = stack.enter_context(make_client()) if make_client else None
        backend.answer = lambda _: OK if waits.wait(HANG_GUARD) else None
        transport = Transport(Settings(base_url=backend.base_url, http_client=client))
        body = Made("a", respPayload="x" * size).build().to_json()
        assert transport.send(body, "key", on_wait=waits.set) == Delivered()
        transport.close()


def test_closed_client():
    """A given client that was closed is named as what is wrong."""
    client = httpx.Client()
    client.close()
    found = Transport(Settings(base_url="http://x", http_client=client)).send(b"{}", "key")
    assert found == Retryable("the given http_client is closed", got_response=False)


def test_certificates_are_for_https_alone(monkeypatch):
    """A server without TLS gets reports, whatever is wrong with the certificates."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with Backend() as backend:
        assert send(Transport(Settings(base_url=backend.base_url))) == Delivered()
