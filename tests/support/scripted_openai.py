"""
A scripted OpenAI: real HTTP/1.1 on loopback, which answers what a test has queued.

    with ScriptedOpenAI() as server:
        server.json(chat_completion("Hello"))
        client = openai.OpenAI(base_url=server.base_url, api_key="sk-test")
        client.chat.completions.create(...)
        assert server.requests[0].json() == {...}

Replies are used up in order of arrival; `otherwise` answers when none is left. A reply is a list
of steps: a dict is sent as one server-sent event, bytes as they are, each in a network write (and
an HTTP chunk) of its own; a `threading.Event` holds the reply until the test sets it; a `Fault`
ends the connection. A request that finds no reply gets a 500, and fails the test on leaving.
"""

from __future__ import annotations

import contextlib
import enum
import json
import socket
import struct
import threading
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Self

Headers = Sequence[tuple[str, str]]

_GZIP = 16 + zlib.MAX_WBITS
_POLL = 0.02


class Fault(enum.Enum):
    """How a connection ends in the middle."""

    CLOSE = "closed in order, but too early"
    RESET = "reset: nothing more arrives, not even what was sent just before"


Step = dict[str, Any] | bytes | threading.Event | Fault


@dataclass(frozen=True)
class Request:
    """A request as it came: nothing is decoded, joined or put in order."""

    method: str
    target: str
    """The path with its query."""
    headers: list[tuple[str, str]]
    body: bytes
    connection: int
    """The number of the connection it came on, from 0."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """The first header of this name, in any case."""
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """One answer. Without `length` the body goes out in HTTP chunks; else it must fit."""

    steps: Sequence[Step] = ()
    status: int = 200
    headers: Headers = ()
    length: int | None = None
    gzip: bool = False
    after: Sequence[threading.Event | Fault] = ()
    """Steps before the status line: events to wait for, or the fault that comes instead."""


@dataclass
class ScriptedOpenAI:
    """The server, as a context manager; see the module's text."""

    otherwise: Reply | Callable[[Request], Reply] | None = None
    requests: list[Request] = field(default_factory=list)
    unexpected: list[Request] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._replies: deque[Reply] = deque()
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._closing = threading.Event()
        self._open: dict[socket.socket, threading.Thread] = {}

    @property
    def base_url(self) -> str:
        return f"{self.root}/v1"

    @property
    def root(self) -> str:
        host, port = self._listener.getsockname()
        return f"http://{host}:{port}"

    def json(
        self,
        body: object,
        status: int = 200,
        headers: Headers = (),
        *,
        gzip: bool = False,
        after: Sequence[threading.Event | Fault] = (),
    ) -> None:
        """Queue a JSON answer."""
        self.raw(json.dumps(body).encode(), status, headers, gzip=gzip, after=after)

    def raw(
        self,
        body: bytes,
        status: int = 200,
        headers: Headers = (),
        *,
        content_type: str | None = "application/json",
        gzip: bool = False,
        after: Sequence[threading.Event | Fault] = (),
    ) -> None:
        """Queue an answer of these bytes, with a Content-Length; gzip=True packs them."""
        if gzip:
            packer = zlib.compressobj(wbits=_GZIP)
            body = packer.compress(body) + packer.flush()
            headers = [*headers, ("Content-Encoding", "gzip")]
        if content_type is not None:
            headers = [("Content-Type", content_type), *headers]
        self.reply(Reply([body], status, headers, length=len(body), after=after))

    def stream(
        self,
        steps: Iterable[Step],
        status: int = 200,
        headers: Headers = (),
        *,
        done: bool | None = None,
        gzip: bool = False,
        after: Sequence[threading.Event | Fault] = (),
    ) -> None:
        """
        Queue server-sent events.

        Args:
            done: Whether `data: [DONE]` ends the stream; by default as OpenAI does: after chunks
                (dicts with `choices`), not after the events of a response.
        """
        steps = list(steps)
        if done is None:
            done = any(isinstance(step, dict) and "choices" in step for step in steps)
        if done:
            steps.append(b"data: [DONE]\n\n")
        headers = [("Content-Type", "text/event-stream; charset=utf-8"), *headers]
        self.reply(Reply(steps, status, headers, gzip=gzip, after=after))

    def redirect(self, location: str, status: int = 307) -> None:
        """Queue a redirect."""
        self.reply(Reply(status=status, headers=[("Location", location)], length=0))

    def fault(self, fault: Fault, after: Sequence[threading.Event] = ()) -> None:
        """Queue an end of the connection in place of an answer."""
        self.reply(Reply(after=[*after, fault]))

    def silence(self) -> threading.Event:
        """Queue no answer at all; setting the event that is returned closes the connection."""
        release = threading.Event()
        self.fault(Fault.CLOSE, after=[release])
        return release

    def reply(self, reply: Reply) -> None:
        """Queue any reply."""
        self._replies.append(reply)

    def wait_for_requests(self, count: int, timeout: float = 10) -> list[Request]:
        """Return the requests once there are `count`, answered or not."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= count, timeout):
                raise AssertionError(f"{len(self.requests)} requests came, not {count}")
            return list(self.requests)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()
        if kind is None and self.unexpected:
            lines = [f"{request.method} {request.target}" for request in self.unexpected]
            raise AssertionError(f"no reply was queued for {', '.join(lines)}")

    def close(self) -> None:
        """Stop: cut all connections, whatever they wait for, and end all threads."""
        if self._closing.is_set():
            return
        self._closing.set()
        with contextlib.suppress(OSError):
            socket.create_connection(self._listener.getsockname()).close()
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            left = dict(self._open)
        for connection, thread in left.items():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                continue
            if self._closing.is_set():
                connection.close()
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            arguments = (connection, self.connections)
            thread = threading.Thread(target=self._converse, args=arguments, daemon=True)
            self.connections += 1
            with self._lock:
                self._open[connection] = thread
            thread.start()

    def _converse(self, connection: socket.socket, number: int) -> None:
        try:
            with contextlib.suppress(OSError), connection.makefile("rb") as reader:
                while (request := _read_request(reader, number)) is not None:
                    reply = self._take(request)
                    if not self._send(connection, reply):
                        break
        finally:
            with self._lock:
                self._open.pop(connection, None)
            connection.close()

    def _take(self, request: Request) -> Reply:
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()
            if self._replies:
                return self._replies.popleft()
            if isinstance(self.otherwise, Reply):
                return self.otherwise
            if self.otherwise is None:
                self.unexpected.append(request)
                body = b'{"error": {"message": "no reply was queued"}}'
                headers = [("Content-Type", "application/json"), ("x-should-retry", "false")]
                return Reply([body], 500, headers, length=len(body))
        return self.otherwise(request)

    def _send(self, connection: socket.socket, reply: Reply) -> bool:
        """Send a reply; return whether the connection can be used again."""
        for step in reply.after:
            if not self._pause(step, connection):
                return False
        chunked = reply.length is None
        connection.sendall(_head(reply))
        packer = zlib.compressobj(wbits=_GZIP) if reply.gzip and chunked else None
        for step in reply.steps:
            if isinstance(step, (threading.Event, Fault)):
                if not self._pause(step, connection):
                    return False
                continue
            piece = step if isinstance(step, bytes) else encode_event(step)
            if packer is not None:
                piece = packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)
            connection.sendall(_chunk(piece) if chunked else piece)
        if packer is not None:
            connection.sendall(_chunk(packer.flush()))
        if chunked:
            connection.sendall(b"0\r\n\r\n")
        return True

    def _pause(self, step: threading.Event | Fault, connection: socket.socket) -> bool:
        """Wait for an event, or end the connection; return whether to go on."""
        if isinstance(step, Fault):
            if step is Fault.RESET:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return False
        while not step.wait(_POLL):
            if self._closing.is_set():
                return False
        return True


def encode_event(event: dict[str, Any]) -> bytes:
    """One server-sent event as OpenAI writes it; those of responses are named."""
    kind = event.get("type")
    name = f"event: {kind}\n" if isinstance(kind, str) and "choices" not in event else ""
    text = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    return f"{name}data: {text}\n\n".encode()


def _head(reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} Scripted"]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    if reply.length is None:
        lines.append("Transfer-Encoding: chunked")
        if reply.gzip:
            lines.append("Content-Encoding: gzip")
    else:
        lines.append(f"Content-Length: {reply.length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _chunk(piece: bytes) -> bytes:
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if piece else b""


def _read_request(reader: IO[bytes], number: int) -> Request | None:
    line = reader.readline().decode("latin-1").split()
    if len(line) != 3:
        return None
    headers = []
    while (header := reader.readline().decode("latin-1").strip("\r\n")) != "":
        name, _, value = header.partition(":")
        headers.append((name, value.strip()))
    request = Request(line[0], line[1], headers, b"", number)
    if (request.header("transfer-encoding") or "").lower() == "chunked":
        body = b"".join(_read_chunks(reader))
    else:
        body = reader.read(int(request.header("content-length") or 0))
    return Request(request.method, request.target, headers, body, number)


def _read_chunks(reader: IO[bytes]) -> Iterable[bytes]:
    while size := int(reader.readline().partition(b";")[0], 16):
        yield reader.read(size)
        reader.readline()
    while reader.readline().strip():
        pass
