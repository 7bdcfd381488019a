"""
A stream's bytes -> the object that the same call would have returned unstreamed.

The events of a stream tell its format: the first of `FORMATS` that recognises them is used. All
functions are pure, over bytes and JSON values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from openpipe_report._report.chat_stream import assemble_chat
from openpipe_report._report.json_codec import has_infinity
from openpipe_report._report.responses_stream import (
    assemble_response,
    find_whole_response,
    is_response_event,
)
from openpipe_report._report.sse import (
    describe_error_event,
    parse_event,
    parse_events,
    split_events,
)
from openpipe_report._report.text_runs import join_runs, merge_run

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]

BATCH_SIZE = 256
"""Events that are parsed together; a broken event slows down its own batch only."""

_TERMINAL = frozenset(
    {
        "response.completed",
        "response.incomplete",
        "response.failed",
        "response.cancelled",
        "error",
    }
)
_ENDINGS = ("completed", "done", "failed", "incomplete", "cancelled", "error", "message_stop")
"""Ends of the types of terminal events, at unknown endpoints."""


_OBJECTS = ("chat.completion.chunk", "text_completion")
"""Types of chunks, which may have no choices."""


@dataclass(frozen=True, slots=True, repr=False)
class AssembledStream:
    """The answer that a stream was assembled to."""

    value: Any
    """The answer, or the received part of it."""
    complete: bool
    """Whether the terminal event, or the end of every choice, was received."""
    error: str | None = None
    """The error in the stream."""
    ended: bool = False
    """Whether the terminal event was received; without it, usage may be missing."""
    has_known_end: bool = True
    """Whether the format defines a terminal event; a vendor's own format may not."""
    is_whole: bool = False
    """Whether the terminal event contained the whole answer."""


class StreamFormat(NamedTuple):
    """A kind of stream: how it is recognised, and how its events are assembled."""

    recognises: Callable[[list[Json]], bool]
    assembles: Callable[[list[Json], int | None], tuple[Any, bool, str | None]]
    """Takes the events and the number of requested choices; returns value, complete, error."""


def assemble(
    body: bytes, n: int | None = None, *, batch_size: int = BATCH_SIZE
) -> AssembledStream | None:
    """
    Assemble the body of an event stream.

    Events after the terminal event (`[DONE]`, `response.completed` and its like, an error) are
    ignored.

    Args:
        body: The received part of the stream.
        n: The number of requested choices; None if it is unknown.
        batch_size: How many events are parsed together.

    Returns:
        The answer; None if there is no JSON event in the body.
    """
    texts, done = split_events(body)
    whole = find_whole_response(texts)
    if whole is not None:
        value, error = whole
        return AssembledStream(value, complete=True, error=error, ended=True, is_whole=True)
    events: list[Any] = []
    for batch in parse_events(join_runs(texts), batch_size):
        run = merge_run(batch) if len(batch) == batch_size else None
        events += batch if run is None else [run]
    assembled = _assemble_events(events, len(texts), done=done, n=n)
    if assembled is not None and has_infinity(assembled.value):
        assembled = _assemble_events(list(map(parse_event, texts)), len(texts), done=done, n=n)
    return assembled


def _assemble_events(
    found: list[Any], total: int, *, done: bool, n: int | None
) -> AssembledStream | None:
    for position, event in enumerate(found):
        if isinstance(event, dict) and ("error" in event or "type" in event) and is_terminal(event):
            found, done = found[: position + 1], True
            break
    events = [event for event in found if isinstance(event, dict)]
    if not events:
        return AssembledStream(None, complete=True, ended=True) if done else None
    assembles = next(known.assembles for known in FORMATS if known.recognises(events))
    value, finished, error = assembles(events, n)
    if len(events) < len(found) and error is None:
        broken = len(found) - len(events)
        error = f"{broken} of {total} events of the stream are not JSON objects"
    return AssembledStream(
        value,
        complete=done or finished,
        error=error,
        ended=done,
        has_known_end=any(map(_is_of_known_format, events)),
    )


def _is_of_known_format(event: Json) -> bool:
    return "type" in event or "choices" in event or event.get("object") in _OBJECTS


def is_terminal(event: Json) -> bool:
    """Return whether an event is the last one of its stream."""
    kind = event.get("type")
    return (isinstance(kind, str) and kind in _TERMINAL) or bool(event.get("error"))


def _is_responses(events: list[Json]) -> bool:
    return any(is_response_event(event) for event in events if "type" in event)


def _assemble_responses(events: list[Json], _n: int | None) -> tuple[Any, bool, str | None]:
    value, error = assemble_response(events)
    return value, False, error


def _is_typed(events: list[Json]) -> bool:
    return all("type" in event and "choices" not in event for event in events)


def _keep_typed(events: list[Json], _n: int | None) -> tuple[Any, bool, str | None]:
    """Return the events of other endpoints unchanged."""
    last = events[-1]
    error = last.get("error") or (last if last.get("type") == "error" else None)
    finished = str(last["type"]).endswith(_ENDINGS)
    return events, finished, describe_error_event(error) if error else None


FORMATS = (
    StreamFormat(_is_responses, _assemble_responses),
    StreamFormat(_is_typed, _keep_typed),
    StreamFormat(lambda _events: True, assemble_chat),
)
"""Every known format, in the order in which they are tried."""
