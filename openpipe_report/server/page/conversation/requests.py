"""The payload of a request to turns, parameters and tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from openpipe_report._report.json_values import get_list, get_object
from openpipe_report.server.page.conversation.contents import read_content
from openpipe_report.server.page.conversation.messages import read_items, read_messages
from openpipe_report.server.page.conversation.parts import Json, Text, Turn

if TYPE_CHECKING:
    from openpipe_report.server.page.conversation.parts import Parts

_CONTENT = {"messages", "input", "prompt", "instructions", "system", "tools", "functions"}
_SHOWN_ELSEWHERE = {*_CONTENT, "model", "metadata", "response_format"}


def read_request(payload: object, endpoint: str | None) -> list[Turn]:
    """Return the turns of a request."""
    if payload is None:
        return []
    request = get_object(payload)
    if endpoint == "span":
        given = request.get("input", request)
        return [Turn("input", [Text(given)] if isinstance(given, str) else [Json(given)])]
    turns = _instructions(request)
    if isinstance(request.get("messages"), list):
        turns += read_messages(request["messages"])
    if "input" in request:
        turns += _read_input(request["input"], endpoint)
    if "prompt" in request:
        turns += [Turn("prompt", _each_text(request["prompt"]))]
    return turns or [Turn("request", [Json(payload)])]


def read_parameters(payload: object) -> dict[str, Any]:
    """Return what a request says beside its messages, tools and labels, by name."""
    request = get_object(payload)
    return {name: value for name, value in request.items() if name not in _SHOWN_ELSEWHERE}


def read_tools(payload: object) -> list[Any]:
    """Return the tools that a request offers, as it has them."""
    request = get_object(payload)
    return [*get_list(request.get("tools")), *get_list(request.get("functions"))]


def read_format(payload: object) -> Any:
    """Return the form that a request wants the answer in; None if it says nothing."""
    request = get_object(payload)
    return request.get("response_format") or get_object(request.get("text")).get("format")


def _instructions(request: dict[str, Any]) -> list[Turn]:
    turns: list[Turn] = []
    for name in ("system", "instructions"):
        parts = read_content(request.get(name))
        if parts:
            turns.append(Turn("system", parts))
    return turns


def _read_input(given: object, endpoint: str | None) -> list[Turn]:
    is_list_of_objects = isinstance(given, list) and any(
        isinstance(one, dict) for one in cast("list[object]", given)
    )
    if endpoint in {"embeddings", "moderations"} and not is_list_of_objects:
        return [Turn("input", _each_text(given))]
    if endpoint == "moderations":
        return [Turn("input", read_content(given))]
    if isinstance(given, str) or is_list_of_objects:
        return read_items(given)
    return [Turn("input", _each_text(given))]


def _each_text(given: object) -> Parts:
    if isinstance(given, list):
        entries = cast("list[object]", given)
        if all(isinstance(one, str) for one in entries):
            return [Text(cast("str", one)) for one in entries]
        return [Json(entries)]
    return [Text(given)] if isinstance(given, str) else [Json(given)]
