"""
What `openpipe={...}` on a call asks for. It fails closed: what is not understood is not reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from typing_extensions import TypedDict

from openpipe_report._log import log_once


class CallOptions(TypedDict, total=False):
    """
    What `openpipe={...}` on a call may hold.

        options: CallOptions = {"tags": {"prompt_id": "p1"}}
        client.responses.create(model=..., input=..., extra_body={"openpipe": options})

    A call is not reported where there is anything else in it.
    """

    log_request: bool
    """Whether the call is reported; true unless it says otherwise."""
    metadata: Mapping[str, Any]
    """Labels, as `metadata=` on the call; that wins over them."""
    tags: Mapping[str, str | int | float | bool | None]
    """Tags of the report."""


_KINDS: dict[str, tuple[type, str]] = {
    "log_request": (bool, "True or False"),
    "metadata": (Mapping, "a dict of labels"),
    "tags": (Mapping, "a dict of tags"),
}


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """The options of one call; the defaults are those of a call that gives none."""

    log_request: bool = True
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tags: Mapping[str, Any] = field(default_factory=dict[str, Any])


NONE = ReadOptions()
NOT_REPORTED = ReadOptions(log_request=False)


def read_options(given: object) -> ReadOptions:
    """
    Read `{"log_request": bool, "metadata": {...}, "tags": {...}}`; every key may be left out.

    An unknown key or a value of another type keeps the call from being reported, which is logged
    once per key: it may be a misspelt opt-out. Values are never logged.
    """
    if given is None:
        return NONE
    if not isinstance(given, Mapping):
        return _refuse("openpipe", f"must be a dict, got {type(given).__name__}")
    read: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _KINDS:
            return _refuse(f"openpipe[{name!r}]", f"is not known{_nearest(name)}")
        kind, wanted = _KINDS[name]
        if not isinstance(value, kind):
            return _refuse(f"openpipe[{name!r}]", f"must be {wanted}, got {type(value).__name__}")
        read[name] = dict(value) if isinstance(value, Mapping) else value  # the caller's may change
    return ReadOptions(**read)


def _nearest(name: object) -> str:
    nearest = get_close_matches(str(name).lower(), _KINDS, n=1)
    if nearest:
        return f" (did you mean {nearest[0]!r}?)"
    return f" (there are {', '.join(_KINDS)})"


def _refuse(what: str, problem: str) -> ReadOptions:
    log_once(f"option {what[:100]}", "%s %s. The call is not reported", what[:100], problem[:200])
    return NOT_REPORTED
