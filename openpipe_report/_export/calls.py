"""
Reads the example of a report: finds out what was called, and whether its answer is whole.

A corrected answer takes the place of the model's, also where that was cut, refused or failed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from openpipe_report._export import chat_calls, completion_calls, responses_calls
from openpipe_report._export.prompt import Example, Prompt
from openpipe_report._export.reasons import LeftOutError, Reason
from openpipe_report._export.values import Json, get_text, need_object
from openpipe_report._report.feedback_labels import CORRECTED
from openpipe_report._report.json_values import get_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    Row = Mapping[str, Any]
    """A stored report as `GET /api/v1/reports?payloads=true` has it."""

FIRST_ERROR = 400
"""The lowest status of a failed call."""

_MARK = re.compile(r"\.\.\. \[cut: \d+ of \d+ (?:characters|items|members)\]\Z")
_MARK_LENGTH = 80


class _Reader(Protocol):
    def read_prompt(self, request: Json, /) -> Prompt: ...
    def read_answer(self, response: Json, /) -> Json: ...


_READERS: dict[str, _Reader] = {
    "chat/completions": chat_calls,
    "completions": completion_calls,
    "responses": responses_calls,
}


def read_prompt(row: Row) -> Prompt:
    """Return what the model was asked; raises LeftOutError."""
    report = get_object(row.get("report"))
    reader = _find_reader(row, report)
    prompt = reader.read_prompt(need_object(report.get("reqPayload")))
    if not prompt.messages:
        raise LeftOutError(Reason.NO_PROMPT)
    _check_whole([prompt.messages, prompt.options(), prompt.response_format])
    return prompt


def read_answer(row: Row) -> Json:
    """Return the answer that the model gave, as a message; raises LeftOutError."""
    report = get_object(row.get("report"))
    reader = _find_reader(row, report)
    failed, status = _has_failed(row, report), report.get("statusCode")
    if failed and isinstance(status, (int, float)) and status >= FIRST_ERROR:
        raise LeftOutError(Reason.FAILED)
    try:
        answer = reader.read_answer(need_object(report.get("respPayload")))
    except LeftOutError as error:
        # A stream that was left early has an error message too.
        if failed and error.reason != Reason.UNFINISHED.value:
            raise LeftOutError(Reason.FAILED) from None
        raise
    if failed:
        raise LeftOutError(Reason.FAILED)
    _check_whole(answer)
    return answer


def read_correction(row: Row) -> Json | None:
    """Return the corrected answer as a message, or None if there is none."""
    text = get_text(get_object(row.get("metadata")).get(CORRECTED))
    return {"role": "assistant", "content": text} if text else None


def read_example(row: Row) -> Example:
    """Return prompt and answer of a report; raises LeftOutError."""
    answer = read_correction(row) or read_answer(row)
    return Example(read_prompt(row), answer)


def _find_reader(row: Row, report: Json) -> _Reader:
    endpoint = row.get("endpoint") or get_object(report.get("tags")).get("$endpoint")
    if isinstance(endpoint, str):
        name = endpoint.strip("/")
    else:
        name = _guess_endpoint(get_object(report.get("reqPayload")))
    if name not in _READERS:
        raise LeftOutError(Reason.OTHER_ENDPOINT if name else Reason.UNREADABLE)
    return _READERS[name]


def _guess_endpoint(request: Json) -> str:
    members = {"messages": "chat/completions", "input": "responses", "prompt": "completions"}
    return next((members[name] for name in members if name in request), "")


def _has_failed(row: Row, report: Json) -> bool:
    return bool(row.get("failed")) or report.get("errorMessage") is not None


def _check_whole(value: object) -> None:
    """Leave a report out that was cut to `max_report_bytes`: its values end with a mark."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, str) and one.endswith("]") and _MARK.search(one[-_MARK_LENGTH:]):
            raise LeftOutError(Reason.SHORTENED)
