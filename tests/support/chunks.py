"""Streams of chat chunks, written for one case, and what they assemble to."""

from __future__ import annotations

from support.scripted_openai import encode_event
from support.shapes import delta

from openpipe_report._report.stream_formats import assemble

FRAME = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def assembled(*chunks, done=True, **options):
    """What a stream of these chunks assembles to."""
    body = b"".join(map(encode_event, chunks)) + (b"data: [DONE]\n\n" if done else b"")
    return assemble(body, **options)


def message_of(*deltas):
    """The message that a stream of these deltas gives."""
    chunks = [{**FRAME, "choices": [{"index": 0, "delta": piece}]} for piece in deltas]
    [choice] = assembled(*chunks).value["choices"]
    return choice["message"]


def text_chunk(text):
    """A chunk with a piece of text."""
    return {**FRAME, "choices": [delta(content=text)]}


def call(index=None, call_id=None, name=None, arguments=None):
    """A piece of a tool call; what is None is left out."""
    function = {"name": name, "arguments": arguments}
    entry = {"index": index, "id": call_id, "type": "function" if call_id else None}
    entry["function"] = {key: value for key, value in function.items() if value is not None}
    return {key: value for key, value in entry.items() if value is not None}
