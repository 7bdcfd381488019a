"""Answers in OpenAI's own shapes, written by hand from its API reference; always the same."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

MODEL = "gpt-4o-mini-2024-07-18"
CREATED = 1_700_000_000
FINGERPRINT = "fp_test"


def usage(prompt: int = 9, completion: int = 12) -> Json:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def tool_call(name: str = "weather", arguments: str = '{"city":"Oslo"}', number: int = 0) -> Json:
    return {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def chat_completion(
    text: str | None = "Hello!",
    *,
    n: int = 1,
    finish_reason: str = "stop",
    tool_calls: list[Json] | None = None,
    refusal: str | None = None,
    **fields: Any,
) -> Json:
    message: Json = {"role": "assistant", "content": text, "refusal": refusal, "annotations": []}
    if tool_calls:
        message |= {"content": None, "tool_calls": tool_calls}
        finish_reason = "tool_calls"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": CREATED,
        "model": MODEL,
        "choices": [
            {
                "index": index,
                "message": dict(message),
                "logprobs": None,
                "finish_reason": finish_reason,
            }
            for index in range(n)
        ],
        "usage": usage(),
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
        **fields,
    }


def chat_chunk(*choices: Json, **fields: Any) -> Json:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": MODEL,
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
        "choices": list(choices),
        **fields,
    }


def delta(index: int = 0, finish_reason: str | None = None, **fields: Any) -> Json:
    return {"index": index, "delta": fields, "logprobs": None, "finish_reason": finish_reason}


def chat_chunks(
    text: str = "Hello!",
    *,
    n: int = 1,
    finish_reason: str = "stop",
    usage: Json | None = None,
) -> list[Json]:
    """A streamed answer, one chunk a word; `usage` comes last, in a chunk without choices."""
    chunks = [
        chat_chunk(delta(index, role="assistant", content="", refusal=None)) for index in range(n)
    ]
    chunks += [chat_chunk(delta(index, content=word)) for word in words(text) for index in range(n)]
    chunks += [chat_chunk(delta(index, finish_reason)) for index in range(n)]
    return _with_usage(chunks, usage)


def refusal_chunks(refusal: str = "I cannot help with that.") -> list[Json]:
    chunks = [chat_chunk(delta(role="assistant", content=None, refusal=""))]
    chunks += [chat_chunk(delta(refusal=word)) for word in words(refusal)]
    return [*chunks, chat_chunk(delta(finish_reason="stop"))]


def tool_call_chunks(*calls: Json, usage: Json | None = None) -> list[Json]:
    """Calls made by `tool_call()`, streamed: the head of each, then its arguments in pieces."""
    calls = calls or (tool_call(),)
    chunks = [chat_chunk(delta(role="assistant", content=None, refusal=None))]
    for index, call in enumerate(calls):
        arguments = call["function"]["arguments"]
        head = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        chunks.append(chat_chunk(delta(tool_calls=[head])))
        for start in range(0, len(arguments), 5):
            piece = {"index": index, "function": {"arguments": arguments[start : start + 5]}}
            chunks.append(chat_chunk(delta(tool_calls=[piece])))
    chunks.append(chat_chunk(delta(finish_reason="tool_calls")))
    return _with_usage(chunks, usage)


def completion(text: str = " there was", *, finish_reason: str = "length", **fields: Any) -> Json:
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": CREATED,
        "model": "gpt-3.5-turbo-instruct",
        "choices": [_text_choice(text, finish_reason)],
        "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6},
        **fields,
    }


def completion_chunks(
    text: str = " there was", *, finish_reason: str = "length", usage: Json | None = None
) -> list[Json]:
    frame = completion()
    del frame["usage"]
    chunks = [{**frame, "choices": [_text_choice(word, None)]} for word in words(text)]
    chunks.append({**frame, "choices": [_text_choice("", finish_reason)]})
    return _with_usage(chunks, usage)


def response(text: str = "Hello!", *, status: str = "completed", **fields: Any) -> Json:
    done = status == "completed"
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": MODEL,
        "output": [_message(text)] if done else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": response_usage() if done else None,
        "user": None,
        **fields,
    }


def response_usage(prompt: int = 9, completion: int = 12) -> Json:
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + completion,
    }


def response_events(text: str = "Hello!", **fields: Any) -> list[Json]:
    """The events of one streamed message; `fields` go into the response."""
    began = response(status="in_progress", **fields)
    item: Json = {**_message(""), "status": "in_progress", "content": []}
    part: Json = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events: list[Json] = [
        {"type": "response.created", "response": began},
        {"type": "response.in_progress", "response": began},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **at, "part": part},
        *(
            {"type": "response.output_text.delta", **at, "delta": word, "logprobs": []}
            for word in words(text)
        ),
        {"type": "response.output_text.done", **at, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": {**part, "text": text}},
        {"type": "response.output_item.done", "output_index": 0, "item": _message(text)},
        {"type": "response.completed", "response": response(text, **fields)},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def api_error(
    message: str = "The model `gpt-9` does not exist",
    *,
    type: str = "invalid_request_error",  # noqa: A002 - the field's own name
    param: str | None = None,
    code: str | None = "model_not_found",
) -> Json:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def words(text: str) -> list[str]:
    """Pieces that give the text when joined: words with the space before them."""
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)]


def _with_usage(chunks: list[Json], usage: Json | None) -> list[Json]:
    if usage is None:
        return chunks
    asked = [{**chunk, "usage": None} for chunk in chunks]
    return [*asked, {**chunks[-1], "choices": [], "usage": usage}]


def _text_choice(text: str, finish_reason: str | None) -> Json:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish_reason}


def _message(text: str) -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    }
