"""One HTTP/1.1 answer, read from bytes that may come in any pieces."""

from __future__ import annotations

import h11
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpipe_report._delivery.attempt import MAX_BODY
from openpipe_report._delivery.http_answer import Answer, read_answer

OK = b"HTTP/1.1 200 OK\r\n"
BODY = b'{"status":"ok"}'
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def pieces(wire, size):
    """Return a function that gives the bytes in pieces, and nothing at their end."""
    parts = iter([wire[i : i + size] for i in range(0, len(wire), size)])
    return lambda: next(parts, b"")


def read(wire, size=10**9):
    return read_answer(pieces(wire, size))


WHOLE = {
    "length": (OK + b"Content-Length: 15\r\n\r\n" + BODY, BODY, True),
    "chunks": (CHUNKED + b"5\r\n" + BODY[:5] + b"\r\nA;x=y\r\n" + BODY[5:] + b"\r\n0\r\n\r\n",
               BODY, True),
    "trailers": (CHUNKED + b"0f \r\n" + BODY + b"\r\n0\r\nX-Sum: 1\r\n\r\n", BODY, True),
    "to the end": (OK + b"X: y\r\n\r\n" + BODY, BODY, False),
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", b"", True),
    "closing": (OK + b"Connection: Keep, Close\r\nContent-Length: 15\r\n\r\n" + BODY, BODY, False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 15\r\n\r\n" + BODY, BODY, False),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK
                + b"Content-Length: 15\r\n\r\n" + BODY, BODY, True),
    "line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 15\n\n" + BODY, BODY, True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 15\r\n\r\n" + BODY, BODY, True),
    "length twice": (OK + b"Content-Length: 15\r\ncontent-length:15\r\n\r\n" + BODY, BODY, True),
    "empty lines": (b"\r\n\n" + OK + b"Content-Length: 15\r\n\r\n" + BODY, BODY, True),
    "many trailers": (CHUNKED + b"0\r\n" + b"X: y\r\n" * 100, b"", False),
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 3, 10**9])
@pytest.mark.parametrize("wire, body, is_reusable", WHOLE.values(), ids=WHOLE)
def test_whole(wire, body, is_reusable, size):
    """An answer is read whole in any pieces, and says whether its connection can be kept."""
    found = read(wire, size)
    assert found.body == body
    assert found.is_reusable is is_reusable


def test_more_than_asked_for():
    """A connection over which more has come than the answer is not used again."""
    found = read(OK + b"Content-Length: 15\r\n\r\n" + BODY + b"HTTP/1.1")
    assert (found.body, found.is_reusable) == (BODY, False)


def test_headers():
    """Names are in lower case, repeated and folded values are joined."""
    found = read(OK + b"X-A:  1 \r\nx-a: 2\r\nRetry-After:\t9\r\n 9\r\nContent-Length: 0\r\n\r\n")
    headers = {"x-a": "1, 2", "retry-after": "9 9", "content-length": "0"}
    assert found == Answer(200, headers, b"", is_reusable=True)


BROKEN = {
    "nothing": b"",
    "cut head": OK + b"X: y\r\n",
    "cut body": OK + b"Content-Length: 15\r\n\r\n" + BODY[:5],
    "cut chunk": CHUNKED + b"f\r\n" + BODY[:5],
    "no last chunk": CHUNKED + b"f\r\n" + BODY + b"\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x16",
    "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\n\n",
    "SSH": b"SSH-2.0-OpenSSH\r\n\r\n",
    "HTTP/2 named": b"HTTP/2 200 OK\r\n\r\n",
    "status": b"HTTP/1.1 20 OK\r\n\r\n",
    "header": OK + b"no colon\r\n\r\n",
    "space before colon": OK + b"X : y\r\n\r\n",
    "length": OK + b"Content-Length: -1\r\n\r\n",
    "long length": OK + b"Content-Length: " + b"9" * 10_000 + b"\r\n\r\n",
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunk size": CHUNKED + b"x\r\n",
    "chunk without end": CHUNKED + b"1\r\nab\r\n",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "interim only": b"HTTP/1.1 102 Processing\r\n\r\n" * 1_000,
}


@pytest.mark.parametrize("size", [1, 10**9])
@pytest.mark.parametrize("wire", BROKEN.values(), ids=BROKEN)
def test_broken(wire, size):
    """Anything else is an error of the server's."""
    with pytest.raises(httpx.RemoteProtocolError):
        read(wire, size)


ENDLESS = {
    "empty lines": (b"", b"\r\n" * 500),
    "head": (OK, b"X-A: 1\r\n" * 100),
    "header": (OK + b"X: ", b"x" * 1_000),
    "chunk size": (CHUNKED, b"0" * 1_000),
    "interim": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("begin, more", ENDLESS.values(), ids=ENDLESS)
def test_endless_head(begin, more):
    """What comes without end is read up to a limit, and is an error."""
    received = 0

    def receive():
        nonlocal received
        received += 1
        assert received < 1_000
        return more if received > 1 or not begin else begin

    with pytest.raises(httpx.RemoteProtocolError):
        read_answer(receive)


@pytest.mark.parametrize(
    "head, more",
    [(OK + b"\r\n", b" " * 1_000), (OK + b"Content-Length: 9999999999\r\n\r\n", b" " * 1_000),
     (CHUNKED + b"FFFFFFFFFFFF\r\n", b" " * 1_000), (CHUNKED, b"3e8\r\n" + b" " * 1_000 + b"\r\n")],
    ids=["to the end", "length", "one chunk", "chunks"],
)  # fmt: skip
def test_long_body(head, more):
    """Of a long body the beginning is read, and the connection is not used again."""
    parts = iter([head])
    found = read_answer(lambda: next(parts, more))
    assert found.body == b" " * MAX_BODY
    assert not found.is_reusable


NAMES = st.sampled_from(["X-A", "Retry-After", "Connection", "Server", "Date"])
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)


def written_by_h11(status, headers, body, by_chunks):
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    while server.next_event() not in (h11.NEED_DATA, h11.PAUSED):
        pass
    framing = ("Transfer-Encoding", "chunked") if by_chunks else ("Content-Length", str(len(body)))
    wire = server.send(h11.Response(status_code=status, headers=[*headers, framing]))
    for part in (body[:7], body[7:]):
        wire += server.send(h11.Data(part)) or b""
    return wire + server.send(h11.EndOfMessage())


@given(
    status=st.integers(200, 599),
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=5),
    body=st.binary(max_size=300),
    by_chunks=st.booleans(),
    size=st.integers(1, 400),
)
def test_what_a_server_writes(status, headers, body, by_chunks, size):
    """Whatever a server of another library writes is read back."""
    body = b"" if status in {204, 304} else body
    wire = written_by_h11(status, headers, body, by_chunks)
    found = read(wire, size)
    joined: dict[str, list[str]] = {}
    for name, value in headers:
        joined.setdefault(name.lower(), []).append(value)
    assert found.status == status
    assert found.body == body
    assert {name: ", ".join(values) for name, values in joined.items()}.items() <= (
        found.headers.items()
    )


@given(
    wire=st.binary(max_size=200).map(lambda end: OK + end)
    | st.binary(max_size=200).map(lambda end: CHUNKED + end)
    | st.binary(max_size=200)
    | st.text("HTP/1. 2304\r\n:;abcfCL-", max_size=200).map(str.encode),
    size=st.integers(1, 50),
)
def test_any_bytes(wire, size):
    """Any bytes are an answer or an error of the server's, the same in any pieces."""

    def outcome(size):
        try:
            found = read(wire, size)
        except httpx.RemoteProtocolError as error:
            return str(error)
        return (found.status, found.headers, found.body)

    assert outcome(size) == outcome(10**9)
