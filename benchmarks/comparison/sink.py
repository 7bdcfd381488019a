"""
Where the tools deliver to: a cheap server in another process that answers what each of them needs.

Each variant gets a port of its own, so that what it delivered can be counted: the calls whose
prompt arrived, and whose answer did. Bodies are searched when they are counted, not on arrival.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import multiprocessing
import socket
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import zstandard

from comparison.marks import ANSWER_MARK, PROMPT_MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from multiprocessing.connection import Connection

_KEPT = 32 * 1024 * 1024
"""Bytes of bodies that are kept before they are searched."""

_LANGSMITH = {
    "version": "0.13.0",
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
        "size_limit": 100,
        "size_limit_bytes": 20_971_520,
    },
    "instance_flags": {"zstd_compression_enabled": True},
}


@dataclass
class Counts:
    """What arrived at one port since the last count."""

    requests: int = 0
    bytes: int = 0
    """Of the bodies, as sent."""
    prompts: int = 0
    """Calls whose prompt arrived, each counted once."""
    answers: int = 0
    """Occurrences of an answer."""
    decoded: int = 0
    """Of the bodies, without their compression."""


@dataclass
class Arrivals:
    """The bodies that arrived at one port."""

    bodies: list[bytes] = field(default_factory=list)
    kept: int = 0
    counts: Counts = field(default_factory=Counts)
    seen: set[bytes] = field(default_factory=set)

    def add(self, body: bytes) -> None:
        self.bodies.append(body)
        self.kept += len(body)
        if self.kept > _KEPT:
            self.search()

    def search(self) -> None:
        for body in self.bodies:
            text = decoded(body)
            self.counts.requests += 1
            self.counts.bytes += len(body)
            self.counts.decoded += len(text)
            self.counts.answers += text.count(ANSWER_MARK)
            self.seen.update(PROMPT_MARK.findall(text))
        self.bodies.clear()
        self.kept = 0

    def take(self) -> Counts:
        self.search()
        counts = self.counts
        counts.prompts = len(self.seen)
        self.counts, self.seen = Counts(), set()
        return counts


def decoded(body: bytes) -> bytes:
    """Return a body without its compression, which its first bytes tell."""
    if body.startswith(b"\x1f\x8b"):
        return gzip.decompress(body)
    if body.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return body


def _json(value: object, status: str = "200 OK") -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


_PROTOBUF = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
_FIXED = {
    "/api/v1/report": _json({"status": "ok"}),
    "/info": _json(_LANGSMITH),
    "/runs/multipart": _json({}, "202 Accepted"),
    "/v1/project": _json({"id": "project-1", "name": "peers"}),
    "/logs3": _json({"ids": []}),
    "/version": _json({}),
    "/batch": _json({"status": 1}),
    "/api/1/envelope": _json({"id": "0123456789abcdef0123456789abcdef"}),
}


def answer_to(target: str, body: bytes, port: int) -> bytes:
    """Return the answer of the service that a request is meant for."""
    path = target.partition("?")[0].rstrip("/")
    if fixed := _FIXED.get(path):
        return fixed
    if path.endswith("/v1/traces"):
        return _PROTOBUF
    url = f"http://127.0.0.1:{port}"
    if path == "/api/apikey/login":
        org = {"id": "org-1", "name": "org", "api_url": url, "proxy_url": url}
        return _json({"org_info": [org]})
    if path == "/attachment":
        return _json({"signedUrl": f"{url}/upload/attachment", "headers": {}})
    if path == "/api/public/media":
        # langfuse names a file by the hash of its bytes.
        digest = base64.b64decode(json.loads(body)["sha256Hash"])
        media = base64.urlsafe_b64encode(digest).decode()[:22]
        return _json({"mediaId": media, "uploadUrl": f"{url}/upload/{media}"}, "201 Created")
    return _json({})


class _Http(asyncio.Protocol):
    """HTTP/1.1 with bodies of a known length or in chunks, one request after the other."""

    def __init__(self, port: int, arrivals: Arrivals) -> None:
        self._port = port
        self._arrivals = arrivals
        self._received = bytearray()
        self._head: tuple[str, int | None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._head is None:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head = self._parse(bytes(self._received[:end]))
            del self._received[: end + 4]
        target, length = self._head
        body = self._chunked() if length is None else self._sized(length)
        if body is None:
            return
        self._head = None
        self._received.clear()
        self._arrivals.add(body)
        self._transport.write(answer_to(target, body, self._port))

    def _parse(self, head: bytes) -> tuple[str, int | None]:
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        if headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = None if "transfer-encoding" in headers else int(headers.get("content-length", 0))
        return first.split(" ")[1], length

    def _sized(self, length: int) -> bytes | None:
        return bytes(self._received) if len(self._received) >= length else None

    def _chunked(self) -> bytes | None:
        if not self._received.endswith(b"0\r\n\r\n"):
            return None
        rest, pieces = bytes(self._received), []
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            pieces.append(rest[: int(size, 16)])
            rest = rest[int(size, 16) + 2 :]
        return b"".join(pieces)


class _BlackHole(asyncio.Protocol):
    """Accepts connections and reads, and never answers."""


def _serve(pipe: Connection) -> None:
    arrivals: dict[int, Arrivals] = {}

    async def open_port(kind: str) -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        port = listener.getsockname()[1]
        here = arrivals[port] = Arrivals()
        factory: Callable[[], asyncio.Protocol] = (
            _BlackHole if kind == "black hole" else lambda: _Http(port, here)
        )
        await asyncio.get_running_loop().create_server(factory, sock=listener)
        return port

    async def main() -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(pipe.fileno(), readable.set)
        while True:
            await readable.wait()
            readable.clear()
            if not pipe.poll():  # the event may have been set twice for one command
                continue
            try:
                name, argument = pipe.recv()
            except EOFError:
                return  # the process that started this one is gone
            if name == "open":
                pipe.send(await open_port(argument))
            else:
                pipe.send(asdict(arrivals[argument].take()))

    asyncio.run(main())


class Sink:
    """The sink as the process sees it that started it."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def open(self, kind: str = "up") -> str:
        """Open a port that answers ("up") or never does ("black hole"); return its base URL."""
        self._pipe.send(("open", kind))
        return f"http://127.0.0.1:{self._pipe.recv()}"

    def take(self, url: str) -> Counts:
        """Return what arrived at a port since the last time."""
        self._pipe.send(("take", int(url.rpartition(":")[2])))
        return Counts(**self._pipe.recv())


@contextmanager
def running_sink() -> Generator[Sink]:
    """Run a sink in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        yield Sink(here)
    finally:
        process.terminate()
        process.join()
