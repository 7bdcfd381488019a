"""
A server that takes as little time from its clients as possible: fixed answers in another process.

A path may begin with a latency: `/50ms/v1/chat/completions`. A request for a stream gets one of
`CHUNKS` chunks, each in an HTTP chunk of its own; any other request gets an answer of 5 KB. A
request to a path that ends in `/report` gets an acknowledgement.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator
    from multiprocessing.connection import Connection

CHUNKS = 200
_WORDS = ("the ", "quick ", "brown ", "fox ", "jumps ", "over ", "the ", "lazy ", "dog. ")


def text_of(size: int) -> str:
    """Return `size` characters of plain text."""
    sentence = "".join(_WORDS)
    return (sentence * (size // len(sentence) + 1))[:size]


def chat_answer(size: int) -> bytes:
    """Return a chat completion of about `size` bytes."""
    frame: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "", "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 12,
            "total_tokens": 21,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }
    frame["choices"][0]["message"]["content"] = text_of(size - len(json.dumps(frame)))
    return json.dumps(frame).encode()


def chat_events(chunks: int = CHUNKS) -> list[bytes]:
    """Return the events of a streamed chat completion, without the final `[DONE]`."""
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": _WORDS[i % len(_WORDS)]}, None) for i in range(chunks - 2)]
    deltas.append(({}, "stop"))
    events = [
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": "gpt-4o-mini-2024-07-18",
            "service_tier": "default",
            "system_fingerprint": "fp_1",
            "choices": [
                {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
            ],
        }
        for delta, finish_reason in deltas
    ]
    return [
        b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n" for event in events
    ]


def _plain(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"x-request-id: req_1\r\n\r\n" + body


def _stream(events: list[bytes]) -> bytes:
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
        b"x-request-id: req_1\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    pieces = [*events, b"data: [DONE]\n\n", b""]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


class _Server(asyncio.Protocol):
    plain = _plain(chat_answer(5_000))
    stream = _stream(chat_events())
    acknowledgement = _plain(b'{"status":"ok"}')

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if not blank or len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        path = head.split(b" ", 2)[1].decode()
        if path.endswith("/report"):
            answer = self.acknowledgement
        else:
            answer = self.stream if b'"stream":true' in body else self.plain
        latency = re.match(r"/(\d+)ms/", path)
        if latency and latency[1] != "0":
            asyncio.get_running_loop().call_later(int(latency[1]) / 1000, self._answer, answer)
        else:
            self._answer(answer)

    def _answer(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


def _run(parent: Connection) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Server, "127.0.0.1", 0)
        parent.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(main())


@contextmanager
def loopback_server() -> Generator[str]:
    """Run the server in a process of its own; yield `http://host:port`."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_run, args=(there,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()
