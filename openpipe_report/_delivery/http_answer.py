"""
Reads one HTTP/1.1 answer from a stream of bytes (RFC 9112).

It takes what servers send in fact: interim answers, chunks, folded headers, bare line feeds, a body
that ends with the connection. Anything else is an error, and the connection is not used again.
Every length is bounded; the body is read up to `MAX_BODY` bytes, since no answer of the API's is
longer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from openpipe_report._delivery.attempt import MAX_BODY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAX_HEAD = 64 * 1024
_MAX_LINE = 4 * 1024
_MAX_MORE = 20
"""Interim answers (1xx) before the final one, empty lines before a head, and trailers."""

_STATUS_LINE = re.compile(r"HTTP/1\.(\d) (\d{3})(?: .*)?")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?")
_WITHOUT_BODY = frozenset({204, 304})


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    """By names in lower case; values of a repeated name are joined by commas."""
    body: bytes
    """The body as it was sent, or its beginning."""
    is_reusable: bool = False
    """Whether another request may be sent over the connection."""


def read_answer(receive: Callable[[], bytes]) -> Answer:
    """
    Read the next answer.

    Args:
        receive: Returns the next bytes of the connection; none at its end.

    Raises:
        httpx.RemoteProtocolError: It is not an HTTP/1 answer, or ends too early.
        Exception: Whatever `receive` raises.
    """
    stream = _Stream(receive)
    for _ in range(_MAX_MORE):
        minor, status, headers = _parse_head(stream.read_head())
        if status < 200:  # noqa: PLR2004 - interim
            if status == 101:  # noqa: PLR2004 - nobody has asked for another protocol
                break
            continue
        body, is_whole = _read_body(stream, status, headers)
        closes = "close" in _tokens(headers.get("connection", ""))
        is_reusable = is_whole and minor != "0" and not closes and not stream.rest
        return Answer(status, headers, body, is_reusable)
    raise httpx.RemoteProtocolError("the server sends no final answer")


def _parse_head(head: bytes) -> tuple[str, int, dict[str, str]]:
    first, *lines = re.split("\r?\n", head.decode("latin-1"))
    found = _STATUS_LINE.fullmatch(first)
    if found is None:
        raise httpx.RemoteProtocolError("the server does not speak HTTP/1.1")
    headers: dict[str, str] = {}
    name = ""
    for line in lines:
        if line[:1] in {" ", "\t"} and name:  # folded
            headers[name] += f" {line.strip()}"
            continue
        written, colon, value = line.partition(":")
        if not colon or _NAME.fullmatch(written) is None:
            raise httpx.RemoteProtocolError("a header of the answer is malformed")
        name = written.lower()
        value = value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return found[1], int(found[2]), headers


def _read_body(stream: _Stream, status: int, headers: Mapping[str, str]) -> tuple[bytes, bool]:
    """Return the body, or its beginning, and whether it was read to an end that is known."""
    if status in _WITHOUT_BODY:
        return b"", True
    if "transfer-encoding" in headers:
        if _tokens(headers["transfer-encoding"]) != {"chunked"}:
            raise httpx.RemoteProtocolError("the answer has an unknown transfer-encoding")
        return _read_chunks(stream)
    if "content-length" not in headers:
        return stream.read_to_end(), False
    lengths = _tokens(headers["content-length"])
    length = next(iter(lengths), "")
    if len(lengths) != 1 or not (length.isascii() and length.isdigit()) or len(length) > 20:  # noqa: PLR2004
        raise httpx.RemoteProtocolError("the answer's content-length is not a number")
    body = stream.read(min(int(length), MAX_BODY))
    return body, len(body) == int(length)


def _read_chunks(stream: _Stream) -> tuple[bytes, bool]:
    body = b""
    while len(body) < MAX_BODY:
        found = _CHUNK_SIZE.fullmatch(stream.read_line())
        if found is None:
            raise httpx.RemoteProtocolError("a chunk of the answer is malformed")
        size = int(found[1], 16)
        if not size:
            for _ in range(_MAX_MORE):
                if not stream.read_line():  # after the trailers
                    return body, True
            break
        body += stream.read(min(size, MAX_BODY))
        if size > MAX_BODY:
            break
        if stream.read_line():
            raise httpx.RemoteProtocolError("a chunk of the answer is malformed")
    return body[:MAX_BODY], False


def _tokens(value: str) -> set[str]:
    return {token.strip().lower() for token in value.split(",")}


class _Stream:
    """The bytes of a connection, as lines and lengths."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self.rest = b""
        """Bytes that were received and are not read yet."""

    def _more(self) -> None:
        received = self._receive()
        if not received:
            raise httpx.RemoteProtocolError(
                "the server closed the connection before the end of its answer"
            )
        self.rest += received

    def read_head(self) -> bytes:
        """Read up to the next empty line, without it and without empty lines before it."""
        for _ in range(_MAX_MORE):
            if line := self.read_line():
                self.rest = line + b"\n" + self.rest
                break
        searched = 0
        while (found := _find_empty_line(self.rest, searched)) is None:
            if len(self.rest) > _MAX_HEAD:
                raise httpx.RemoteProtocolError("the head of the answer is too long")
            searched = max(0, len(self.rest) - 3)
            self._more()
        head, self.rest = self.rest[: found[0]], self.rest[found[1] :]
        return head

    def read_line(self) -> bytes:
        """Read a line, without its end."""
        searched = 0
        while (end := self.rest.find(b"\n", searched)) < 0:
            if len(self.rest) > _MAX_LINE:
                raise httpx.RemoteProtocolError("a line of the answer is too long")
            searched = len(self.rest)
            self._more()
        line, self.rest = self.rest[:end], self.rest[end + 1 :]
        return line.removesuffix(b"\r")

    def read(self, length: int) -> bytes:
        """Read `length` bytes."""
        while len(self.rest) < length:
            self._more()
        taken, self.rest = self.rest[:length], self.rest[length:]
        return taken

    def read_to_end(self) -> bytes:
        """Read until the connection ends, or `MAX_BODY` bytes."""
        while len(self.rest) < MAX_BODY and (received := self._receive()):
            self.rest += received
        taken, self.rest = self.rest[:MAX_BODY], b""
        return taken


def _find_empty_line(text: bytes, start: int) -> tuple[int, int] | None:
    """Find where a head ends, and where what comes after its empty line begins."""
    found = _EMPTY_LINE.search(text, start)
    return None if found is None else found.span()


_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")
