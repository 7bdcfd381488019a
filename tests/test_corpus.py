"""
Recorded traffic of others, where the folder is there: what crossed the wire is in the report.

The folder lies beside the repository, or where OPENPIPE_REPORT_CORPUS says; its README tells what
an exchange is.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import zlib
from collections import defaultdict
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

import openpipe_report
from openpipe_report.testing import captured_reports

_BESIDE = Path(__file__).parent.parent.parent / "shared" / "corpus"
FOLDER = Path(os.environ.get("OPENPIPE_REPORT_CORPUS", _BESIDE))
FILES = sorted(FOLDER.glob("*.json"))

pytestmark = pytest.mark.skipif(not FILES, reason="the corpus is not here")

ENDPOINTS = "chat.completions,completions,responses,embeddings,images,audio,moderations"


@cache
def exchange(path):
    found = json.loads(path.read_text())
    body = found["response_body"] or ""
    raw = base64.b64decode(body) if found.get("response_body_base64") else body.encode()
    return found, raw


def plain_body(found, raw):
    encoded = found["response_headers"].get("content-encoding") == "gzip"
    return zlib.decompress(raw, zlib.MAX_WBITS | 16) if encoded else raw


def cut(raw, size):
    if size == "whole":
        return [raw]
    if size == "1":
        return [raw[at : at + 1] for at in range(len(raw))]
    chooser, pieces, at = random.Random(len(raw)), [], 0
    while at < len(raw):
        step = chooser.randint(1, 400)
        pieces.append(raw[at : at + step])
        at += step
    return pieces


def path_of(found):
    """The path to post to: the recorded one's end, or the endpoint of its kind."""
    kind = found["kind"].removesuffix("-stream")
    known = {"chat": "chat/completions", "error": None, "other": None}.get(kind, kind)
    return f"/{known}" if known else "/chat/completions"


def replay(library, found, raw, *, size, is_async):
    """Make the recorded request, answer it as recorded, and read all of the answer."""
    chunks = cut(raw, size)
    headers = dict(found["response_headers"])
    sent = []

    def iterate():
        yield from chunks

    async def aiterate():
        for chunk in chunks:
            yield chunk

    def answer(request):
        sent.append(request.content)
        content = aiterate() if is_async else iterate()
        return library.Response(found["status"], headers=headers, content=content)

    body = json.loads(found["request_body"]) if found["request_body"] else {"model": "none"}
    options = {"cast_to": object, "body": body}
    arguments = {
        "api_key": "sk-test",
        "max_retries": 0,
        "base_url": "http://upstream.invalid/v1",
        "openpipe": {"base_url": "http://reports.invalid", "endpoints": ENDPOINTS},
    }
    if "-stream" in found["kind"]:
        options |= {"stream": True, "stream_cls": None}
    if is_async:
        asyncio.run(_replay_async(library, arguments, answer, path_of(found), options))
    else:
        _replay_sync(library, arguments, answer, path_of(found), options)
    return body, sent[0]


def _replay_sync(library, arguments, answer, path, options):
    http_client = library.Client(transport=library.MockTransport(answer))
    with openpipe_report.OpenAI(http_client=http_client, **arguments) as client:
        if options.pop("stream", False):
            options["stream_cls"] = openpipe_report.Stream[object]
            for _ in client.post(path, stream=True, **options):
                pass
        else:
            with suppress(openpipe_report.APIStatusError, json.JSONDecodeError):
                client.post(path, **_plain(options))


async def _replay_async(library, arguments, answer, path, options):
    http_client = library.AsyncClient(transport=library.MockTransport(answer))
    async with openpipe_report.AsyncOpenAI(http_client=http_client, **arguments) as client:
        if options.pop("stream", False):
            options["stream_cls"] = openpipe_report.AsyncStream[object]
            async for _ in await client.post(path, stream=True, **options):
                pass
        else:
            with suppress(openpipe_report.APIStatusError, json.JSONDecodeError):
                await client.post(path, **_plain(options))


def _plain(options):
    return {key: value for key, value in options.items() if key != "stream_cls"}


def events_of(raw):
    """The stream's JSON events, read in the simplest way."""
    lines = raw.decode().replace("\r\n", "\n").split("\n")
    data = [line[5:] for line in lines if line.startswith("data:")]
    return [json.loads(text) for text in data if "[DONE]" not in text]


def expected_choices(events):
    """What can be said of the choices without merging by rule: text, calls, reasons."""
    texts, calls, reasons = defaultdict(str), defaultdict(dict), {}
    for event in events:
        for choice in event.get("choices", []):
            index = choice.get("index", 0)
            delta = choice.get("delta") or {}
            texts[index] += delta.get("content") or choice.get("text") or ""
            for call in delta.get("tool_calls") or []:
                one = calls[index].setdefault(call["index"], {"id": "", "name": "", "args": ""})
                one["id"] = one["id"] or call.get("id")
                one["name"] = one["name"] or call["function"].get("name")
                one["args"] += call["function"].get("arguments") or ""
            if choice.get("finish_reason"):
                reasons[index] = choice["finish_reason"]
    return texts, calls, reasons


def keys_of(value, prefix=""):
    """Every path of keys in a JSON value; list entries share one."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{prefix}.{key}"
            yield from keys_of(inner, f"{prefix}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner, f"{prefix}[]")


def check_stream(found, events, value):
    if found["kind"].startswith("responses"):
        assert value == events[-1]["response"]
        return
    texts, calls, reasons = expected_choices(events)
    if not texts:  # chunks of a shape of their own
        assert value == {"value": "".join(event["value"] for event in events)}
        return
    for choice in value["choices"]:
        index, message = choice["index"], choice.get("message", choice)
        assert (message.get("content") or choice.get("text") or "") == texts[index]
        assert choice["finish_reason"] == reasons.get(index)
        made = [
            {
                "id": call["id"],
                "name": call["function"]["name"],
                "args": call["function"]["arguments"] or "",
            }
            for call in message.get("tool_calls") or []
        ]
        assert made == [calls[index][number] for number in sorted(calls[index])]
    assert [choice["index"] for choice in value["choices"]] == sorted(texts)
    usages = [event["usage"] for event in events if event.get("usage")]
    assert value.get("usage") == (usages[-1] if usages else value.get("usage"))
    for name in ("id", "model"):
        assert value[name] == next(event[name] for event in events if event.get(name))
    assert value["object"] in {"chat.completion", "text_completion"}
    deltas = ".message" if value["object"] == "chat.completion" else ""
    seen = {path.replace(".delta", deltas) for event in events for path in keys_of(event)}
    left_out = {".obfuscation", ".p", ".choices[]", ".choices[].message.tool_calls[].index"}
    assert seen - left_out <= set(keys_of(value))


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("size", ["whole", "random", "1"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem[-40:])
def test_recorded_exchange(library, path, size, is_async):
    """The report has the recorded request and answer, however the network cuts it."""
    found, raw = exchange(path)
    with captured_reports() as reports:
        body, sent = replay(library, found, raw, size=size, is_async=is_async)
    [report] = reports
    wire = report.to_wire()
    metadata = body.pop("metadata", None) if not body.get("store") else None
    expected = json.loads(sent)
    assert {k: v for k, v in wire["reqPayload"].items() if k != "metadata"} == {
        k: v for k, v in expected.items() if k != "metadata"
    }
    if metadata:
        assert wire["reqPayload"]["metadata"] == metadata
    assert wire["statusCode"] == found["status"]
    plain = plain_body(found, raw)
    if "-stream" in found["kind"]:
        check_stream(found, events_of(plain), wire["respPayload"])
        assert "errorMessage" not in wire
        return
    try:
        answer = json.loads(plain)
    except ValueError:
        answer = plain.decode()
    assert wire["respPayload"] == answer
    if found["status"] >= 400:
        error = answer if isinstance(answer, str) else answer.get("error", answer)
        message = error["message"] if isinstance(error, dict) else error
        assert wire["errorMessage"] == message.strip()
