"""Reports of every kind that the pages show, by the name of the kind."""

from __future__ import annotations

import base64
import struct
import zlib

FIRST = 1_700_000_000_000
TRACE = "0af7651916cd43dd8448eb211c80319c"


def png(width: int = 8, height: int = 4) -> str:
    """Return a red image as base64."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    rows = b"".join(b"\0" + b"\xcc\x33\x22" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + content).decode()


def wav() -> str:
    """Return half a second of silence as base64."""
    samples = b"\x80" * 4_000
    head = struct.pack("<IHHIIHH", 16, 1, 1, 8_000, 8_000, 1, 8)
    content = b"WAVEfmt " + head + b"data" + struct.pack("<I", len(samples)) + samples
    return base64.b64encode(b"RIFF" + struct.pack("<I", len(content)) + content).decode()


def report(request, answer, *, status=200, at=FIRST, took=1_200.0, error=None, **tags):
    """Return a report; a name of `tags` that begins with an underscore is one with a `$`."""
    made = {
        "requestedAt": at,
        "receivedAt": at + took,
        "reqPayload": request,
        "respPayload": answer,
        "tags": {f"${name[1:]}" if name[0] == "_" else name: tags[name] for name in tags},
    }
    if status is not None:
        made["statusCode"] = status
    if error is not None:
        made["errorMessage"] = error
    return made


def chat(content="Hello!", *, model="gpt-4o-mini-2024-07-18", finish_reason="stop", **message):
    """Return a chat completion."""
    said = {"role": "assistant", "content": content, **message}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "finish_reason": finish_reason, "message": said}],
        "usage": {"prompt_tokens": 1_234, "completion_tokens": 56, "total_tokens": 1_290},
    }


def asked(*messages, **fields):
    """Return a request of a chat completion; a text is the message of a user."""
    made = [{"role": "user", "content": one} if isinstance(one, str) else one for one in messages]
    return {"model": "gpt-4o-mini", "messages": made, **fields}


MARKDOWN = (
    "Some **bold** words.\n\n```python\nanswer = 42  # code\n```\n\n"
    "![picture](https://elsewhere.example/a.png) and [a link](https://elsewhere.example/b)"
)
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city":"Oslo","unit":"celsius"}'},
}
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object"}},
}
KINDS = {
    "chat": report(
        asked({"role": "system", "content": "You are terse."}, "How?", temperature=0.25),
        chat(MARKDOWN),
        app="shop",
        _time_to_first_byte_ms=300,
    ),
    "tools": report(
        asked(
            "The weather in Oslo?",
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": '{"celsius": -3}'},
            tools=[TOOL],
            response_format={"type": "json_schema", "json_schema": {"name": "weather"}},
        ),
        chat("It is cold.", reasoning_content="Below zero is cold."),
    ),
    "media": report(
        asked(
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {
                        "type": "image_url",
                        "image_url": {"url": f"data:image/png;base64,{png()}"},
                    },
                    {"type": "image_url", "image_url": {"url": "https://elsewhere.example/c.png"}},
                    {"type": "input_audio", "input_audio": {"data": wav(), "format": "wav"}},
                ],
            }
        ),
        chat(None, refusal="I will not say."),
    ),
    "error": report(asked("Again?"), None, status=429, error="Error code: 429 - slow down, please"),
    "responses": report(
        {
            "model": "o4-mini",
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Cheapest flight?"}]},
                {
                    "type": "function_call",
                    "call_id": "fc_1",
                    "name": "find_flights",
                    "arguments": '{"to": "FCO"}',
                },
                {"type": "function_call_output", "call_id": "fc_1", "output": "89 euros"},
            ],
            "reasoning": {"effort": "low"},
        },
        {
            "id": "resp_1",
            "object": "response",
            "status": "completed",
            "model": "o4-mini-2025-04-16",
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Compared."}]},
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "It costs 89 euros."}],
                },
            ],
        },
    ),
    "legacy": report(
        {"model": "gpt-3.5-turbo-instruct", "prompt": "Once upon"},
        {
            "id": "cmpl-1",
            "object": "text_completion",
            "choices": [{"text": " a time", "index": 0, "finish_reason": "length"}],
        },
    ),
    "embeddings": report(
        {"model": "text-embedding-3-small", "input": ["first text", "second text"]},
        {"object": "list", "data": [{"object": "embedding", "embedding": [0.25] * 1_536}]},
    ),
    "images": report(
        {"model": "gpt-image-1", "prompt": "A red square"},
        {"created": 1, "data": [{"b64_json": png(), "revised_prompt": "A deep red square"}]},
        _endpoint="images/generations",
    ),
    "moderations": report(
        {"model": "omni-moderation-latest", "input": "I will find you."},
        {
            "id": "modr-1",
            "results": [
                {
                    "flagged": True,
                    "categories": {"violence": False, "harassment": True},
                    "category_scores": {"violence": 0.25, "harassment": 0.75},
                }
            ],
        },
        _endpoint="moderations",
    ),
    "anthropic": report(
        {
            "model": "claude-sonnet-4-0",
            "max_tokens": 100,
            "system": "You write haiku.",
            "messages": [
                {"role": "user", "content": "Autumn"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Count first.", "signature": "x"},
                        {"type": "tool_use", "id": "tu_1", "name": "count", "input": {"of": "a"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "tu_1", "content": "5 syllables"}
                    ],
                },
            ],
        },
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-20250514",
            "content": [{"type": "text", "text": "Leaves fall one by one"}],
            "stop_reason": "end_turn",
        },
    ),
    "span": report(
        {"name": "retrieve", "input": {"k": 3}},
        {"documents": ["first document"]},
        status=None,
        _endpoint="span",
    ),
    "unknown": report(["anything"], {"what": {"is": "this"}}),
    "nothing": report(None, None, status=None),
}


def trace():
    """Return a span with a span in it, which has a failed and a good call; not in that order."""

    def ids(span_id, parent=None, **tags):
        found = {"_trace_id": TRACE, "_span_id": span_id, **tags}
        return found if parent is None else {**found, "_parent_span_id": parent}

    def span(name, at, took, **tags):
        request = {"name": name, "input": 1}
        return report(request, 2, status=None, at=at, took=took, _endpoint="span", **tags)

    return [
        report(asked("inner call"), chat(), at=FIRST + 500, took=1_000.0, **ids("c", "b")),
        report(asked("failed call"), None, status=500, at=FIRST + 100, took=300.0, **ids("d", "b")),
        span("retrieve", FIRST + 50, 1_500.0, **ids("b", "a")),
        span("answer", FIRST, 2_000.0, **ids("a")),
    ]
