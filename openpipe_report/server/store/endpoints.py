"""
Says which endpoint a report is of.

Our own client names it in the tag `$endpoint`. Reports of other clients, such as the openpipe SDK,
are told apart by the shape of their payloads, the answer's first: it names its type.
"""

from __future__ import annotations

from typing import Any

from openpipe_report._report.json_values import get_list, get_object
from openpipe_report.server.store.values import get_text

_BY_OBJECT = {
    "chat.completion": "chat/completions",
    "chat.completion.chunk": "chat/completions",
    "text_completion": "completions",
    "response": "responses",
    "response.compaction": "responses/compact",
}
_OF_EMBEDDINGS = {"encoding_format", "dimensions"}
_OF_ANTHROPIC = {"system", "stop_sequences", "anthropic_version", "top_k"}


def find_endpoint(
    tags: dict[str, Any], request: dict[str, Any], response: dict[str, Any]
) -> str | None:
    """Return the tag `$endpoint`, or else the endpoint whose payloads look like these, or None."""
    named = get_text(tags.get("$endpoint"))
    return named or _of_answer(response) or _of_request(request)


def _of_answer(response: dict[str, Any]) -> str | None:
    kind = response.get("object")
    if isinstance(kind, str) and kind in _BY_OBJECT:
        return _BY_OBJECT[kind]
    if response.get("type") == "message" and "content" in response:
        return "messages"
    first = get_object(next(iter(get_list(response.get("data"))), None))
    if first.get("object") == "embedding":
        return "embeddings"
    if "b64_json" in first or "revised_prompt" in first:
        return "images/generations"
    if "flagged" in get_object(next(iter(get_list(response.get("results"))), None)):
        return "moderations"
    return None


def _of_request(request: dict[str, Any]) -> str | None:
    if isinstance(request.get("messages"), list):
        return "messages" if _OF_ANTHROPIC & request.keys() else "chat/completions"
    if "input" in request:
        model = request.get("model")
        if "embedding" in model if isinstance(model, str) else False:
            return "embeddings"
        if _OF_EMBEDDINGS & request.keys():
            return "embeddings"
        return "responses" if model is not None else None
    return "completions" if "prompt" in request and "model" in request else None
