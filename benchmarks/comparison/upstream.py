"""
The server of the calls, inside the process: a transport of httpx that answers from a few dozen
canned answers.
"""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from itertools import cycle
from typing import TYPE_CHECKING, Any

import openai
from loopback import CHUNKS, chat_answer, chat_events

from comparison.marks import ANSWER_MARK
from comparison.text import text_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

http: Any = import_module("httpx2" if int(openai.__version__.partition(".")[0]) > 2 else "httpx")
"""The library that openai sends its requests with: httpx2 from openai 3 on."""

_ANSWERS = 32
_SIZE = 5_000


def _answer(number: int) -> bytes:
    answer = json.loads(chat_answer(_SIZE))
    message = answer["choices"][0]["message"]
    size = len(message["content"]) - len(ANSWER_MARK) - 1
    message["content"] = f"{ANSWER_MARK.decode()} {text_at(number, size)}"
    return json.dumps(answer).encode()


def _events(number: int) -> list[bytes]:
    """Return the events of a stream: the mark in the first piece of text, words in the others."""
    words = [ANSWER_MARK.decode(), *text_at(number, CHUNKS * 12).split()]
    events = []
    for event in chat_events():
        chunk = json.loads(event.removeprefix(b"data: "))
        if chunk["choices"][0]["delta"].get("content"):
            chunk["choices"][0]["delta"]["content"] = words.pop(0) + " "
        events.append(b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n")
    return [*events, b"data: [DONE]\n\n"]


_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-request-id", b"req_1"),
]


class _Body(http.SyncByteStream, http.AsyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


def _headers(body: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", b"req_1"),
    ]


def _plain_answers() -> Any:
    answers = [_answer(number) for number in range(_ANSWERS)]
    return cycle([(_headers(answer), [answer]) for answer in answers])


class Upstream(http.BaseTransport):
    """Answers at once: a stream of 200 chunks, or an answer of 5 KB."""

    def __init__(self, *, stream: bool) -> None:
        streams = [(_STREAM_HEADERS, _events(number)) for number in range(_ANSWERS)]
        self._answers = cycle(streams) if stream else _plain_answers()

    def handle_request(self, request: Any) -> Any:
        del request
        headers, pieces = next(self._answers)
        return http.Response(200, headers=headers, stream=_Body(pieces))


class AsyncUpstream(http.AsyncBaseTransport):
    """Answers with 5 KB after `latency` seconds."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._answers = _plain_answers()

    async def handle_async_request(self, request: Any) -> Any:
        del request
        await asyncio.sleep(self._latency)
        headers, pieces = next(self._answers)
        return http.Response(200, headers=headers, stream=_Body(pieces))
