"""
Server-sent events -> the object that the same call would have returned unstreamed.

Pure functions over bytes and JSON values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openpipe_report._report.merging import IDENTIFIERS, merge_delta, merge_last
from openpipe_report._report.model import parse_json
from openpipe_report._report.responses_stream import assemble_response, is_response_event

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

PADDING = frozenset({"obfuscation", "p"})
"""Fields that only hide the length of a chunk (OpenAI, Mistral); no unstreamed answer has them."""

_TERMINAL = (
    "response.completed",
    "response.incomplete",
    "response.failed",
    "response.cancelled",
    "error",
)
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True, repr=False)
class Assembled:
    """A stream's content: the value, whether it came to its end, and an error that it told."""

    value: Any
    complete: bool
    error: str | None = None


def assemble(body: bytes) -> Assembled | None:
    """
    Assemble the body of an event stream; None if there is no JSON event in it.

    What follows the terminal event (`[DONE]`, `response.completed` and kin, an error) is ignored.
    """
    events: list[Json] = []
    broken = 0
    done = False
    for text in iter_event_data(body):
        if text.startswith("[DONE]"):
            done = True
            break
        try:
            event = parse_json(text)
        except ValueError:
            broken += 1
            continue
        if not isinstance(event, dict):
            broken += 1
            continue
        events.append(event)
        if is_terminal(event):
            done = True
            break
    if not events:
        return Assembled(None, complete=True) if done else None
    value: Any
    if any(is_response_event(event) for event in events):
        value, error = assemble_response(events)
        finished = done
    elif all("type" in event and "choices" not in event for event in events):
        value, error, finished = events, _error_of(events[-1]), True
    else:
        value = merged = merge_chunks(events)
        error, finished = _error_of(merged), all_finished(merged)
    if broken and error is None:
        error = f"{broken} of {broken + len(events)} events of the stream are not JSON objects"
    return Assembled(value, complete=done or finished, error=error)


def iter_event_data(body: bytes) -> Iterator[str]:
    """
    Split a stream into the data of its events (HTML Living Standard, section 9.2.6).

    The last event counts without its blank line only if it is whole JSON: a cut one is not.
    """
    lines: list[str] = []
    for raw in _LINE_END.split(body.removeprefix(b"\xef\xbb\xbf")):
        if not raw:
            if lines:
                yield "\n".join(lines)
                lines.clear()
            continue
        name, _, value = raw.decode("utf-8", "replace").partition(":")
        if name == "data":
            lines.append(value.removeprefix(" "))
    last = "\n".join(lines)
    if last.startswith("[DONE]") or (last and _is_json(last)):
        yield last


def _is_json(text: str) -> bool:
    try:
        parse_json(text)
    except ValueError:
        return False
    return True


def is_terminal(event: Json) -> bool:
    """Whether nothing of the answer can follow this event."""
    return event.get("type") in _TERMINAL or bool(event.get("error"))


def _error_of(event: Json) -> str | None:
    error = event if event.get("type") == "error" else event.get("error")
    if not error:
        return None
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) and message else "an error event ended the stream"


def all_finished(value: Json) -> bool:
    """Whether every choice has its finish_reason; a stream without choices has none to miss."""
    return all(choice.get("finish_reason") is not None for choice in value.get("choices", []))


def merge_chunks(chunks: list[Json]) -> Json:
    """Merge chunks of chat or legacy completions into the completion."""
    whole: Json = {}
    choices: dict[int, Json] = {}
    has_choices = any("choices" in chunk for chunk in chunks)
    for chunk in chunks:
        for choice in _as_list(chunk.get("choices")):
            if isinstance(choice, dict):
                index = choice.get("index")
                into = choices.setdefault(index if isinstance(index, int) else 0, {})
                _merge_choice(into, choice)
        rest = {key: chunk[key] for key in chunk if key != "choices" and key not in PADDING}
        if has_choices:
            _merge_envelope(whole, rest)
        else:
            merge_delta(whole, rest)
        if "choices" in chunk:
            whole.setdefault("choices", [])
    if has_choices:
        whole["choices"] = [_finish_choice(choices[index], index) for index in sorted(choices)]
    if isinstance(whole.get("object"), str):
        whole["object"] = whole["object"].removesuffix(".chunk")
    return whole


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _merge_envelope(whole: Json, rest: Json) -> None:
    """Merge what stands beside the choices: the first real identifier, the last other value."""
    for key, new in rest.items():
        old = whole.get(key)
        if isinstance(new, dict) and isinstance(old, dict):
            merge_last(old, new)
        elif isinstance(new, list) and isinstance(old, list):
            whole[key] = new if new[: len(old)] == old else old + new
        elif new is not None and (isinstance(new, str) or key in IDENTIFIERS):
            whole[key] = old or new
        elif new is not None or key not in whole:
            whole[key] = new


def _merge_choice(into: Json, choice: Json) -> None:
    rest = {key: value for key, value in choice.items() if key not in {"delta", "text"}}
    if "delta" in choice:
        into.setdefault("delta", {})
        if isinstance(choice["delta"], dict):
            merge_delta(into["delta"], choice["delta"])
    if "text" in choice:
        merge_delta(into, {"text": choice["text"]})
    merge_last(into, rest)


def _finish_choice(choice: Json, index: int) -> Json:
    delta = choice.pop("delta", None)
    if delta is None or (not delta and "text" in choice):
        return {"index": index, **choice}
    message = choice.pop("message", None)
    if isinstance(message, dict):
        delta = {**message, **delta}
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        delta["tool_calls"] = [
            {key: call[key] for key in call if key != "index"} if isinstance(call, dict) else call
            for call in sorted(calls, key=_index_of)
        ]
    delta["role"] = delta.get("role") or "assistant"
    delta.setdefault("content", None)
    choice.setdefault("finish_reason", None)
    return {"index": index, "message": delta, **{k: v for k, v in choice.items() if k != "index"}}


def _index_of(call: Any) -> int:
    index = call.get("index") if isinstance(call, dict) else None
    return index if isinstance(index, int) else 0
