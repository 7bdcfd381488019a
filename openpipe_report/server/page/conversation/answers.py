"""The payload of an answer to turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from openpipe_report._report.json_values import get_list, get_object, get_real
from openpipe_report.server.page.conversation.contents import image_of_base64, read_image
from openpipe_report.server.page.conversation.messages import read_items, read_message
from openpipe_report.server.page.conversation.parts import Json, Scores, Text, Turn, Vector

if TYPE_CHECKING:
    from openpipe_report.server.page.conversation.parts import Part, Parts

_SHOWN_NUMBERS = 8
_FIELDS_OF_ERROR = {"message", "code", "type", "param"}


def read_answer(payload: object, endpoint: str | None) -> list[Turn]:
    """Return the turns of an answer."""
    if payload is None:
        return []
    answer = get_object(payload)
    if endpoint == "span":
        return [Turn("output", _of_any(payload))]
    choices = get_list(answer.get("choices"))
    if choices:
        return [
            _read_choice(one, place if len(choices) > 1 else None)
            for place, one in enumerate(choices)
        ]
    if isinstance(answer.get("output"), list):
        return read_items(answer["output"])
    if answer.get("type") == "message" and "content" in answer:
        return [_with_note(read_message({"role": "assistant", **answer}), answer)]
    parts = _of_results(answer)
    return [Turn("answer", parts or _of_any(payload))]


def _of_any(payload: object) -> Parts:
    return [Text(payload)] if isinstance(payload, str) else [Json(payload)]


def _read_choice(choice: object, place: int | None) -> Turn:
    """Return the turn of a choice; its place is given where there are several."""
    entries = get_object(choice)
    message = entries.get("message")
    if isinstance(message, dict):
        turn = read_message({"role": "assistant", **cast("dict[str, Any]", message)})
    elif isinstance(entries.get("text"), str):
        turn = Turn("assistant", [Text(entries["text"])])
    else:
        turn = Turn("assistant", [Json(choice)])
    if place is not None:
        number = entries.get("index")
        turn.name = f"choice {number if isinstance(number, int) else place}"
    return _with_note(turn, entries)


def _with_note(turn: Turn, entries: dict[str, Any]) -> Turn:
    reason = entries.get("finish_reason") or entries.get("stop_reason")
    turn.note = reason if isinstance(reason, str) else None
    return turn


def _of_results(answer: dict[str, Any]) -> Parts:
    """Return the parts of embeddings, images, moderations and transcripts."""
    parts: list[Part] = []
    for one in get_list(answer.get("data")):
        parts += _read_entry(get_object(one))
    parts += [
        _read_scores(get_object(one))
        for one in get_list(answer.get("results"))
        if "flagged" in get_object(one)
    ]
    if not parts and isinstance(answer.get("text"), str):
        parts.append(Text(answer["text"]))
    return parts


def _read_entry(entry: dict[str, Any]) -> Parts:
    vector = entry.get("embedding")
    if isinstance(vector, list):
        numbers = cast("list[object]", vector)
        return [Vector(len(numbers), numbers[:_SHOWN_NUMBERS])]
    if isinstance(vector, str):
        return [Vector(len(vector) * 3 // 16, [])]
    image = image_of_base64(entry.get("b64_json")) or read_image(entry.get("url"))
    if image is None:
        return []
    prompt = entry.get("revised_prompt")
    return [image, Text(prompt)] if isinstance(prompt, str) else [image]


def _read_scores(result: dict[str, Any]) -> Scores:
    scores = get_object(result.get("category_scores"))
    flags = get_object(result.get("categories"))
    found = [(name, flags.get(name) is True, get_real(scores.get(name))) for name in flags]
    found.sort(key=lambda one: -(one[2] or 0))
    return Scores(result.get("flagged") is True, found)
