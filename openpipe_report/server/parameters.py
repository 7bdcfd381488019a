"""The query parameters of the API: how each is read, and how `/openapi.json` describes it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from openpipe_report.server.store.labels import MAX_VALUE
from openpipe_report.server.store.queries import MAX_LIMIT
from openpipe_report.server.store.statistics import BUCKETS, GROUPS
from openpipe_report.server.store.values import MAX_NAME, storable
from openpipe_report.server.times import FORMS, read_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_LIMIT = 50
MAX_LABELS = 20
"""Most labels that one request filters by."""
LABEL = "metadata."
"""How the name of a label begins as a parameter, and as a value of `by`."""
LABEL_PATTERN = f"^metadata\\.[\\s\\S]{{1,{MAX_NAME}}}$"
"""`LABEL` and the name, as a regular expression."""

_MAX_TEXT = 1_000
_NUMBER = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
_STATUS = re.compile(r"[0-9]{1,9}|[1-9][xX]{2}")
_CURSOR = re.compile(r"[0-9]{1,18}")
_BOOLEANS = {"true": True, "false": False}


class Parameter(NamedTuple):
    """One query parameter."""

    read: Callable[[str], Any]
    """Returns its value; raises ValueError that says what it must be."""
    schema: dict[str, Any]
    """Its JSON schema."""
    description: str


def _text(longest: int, description: str) -> Parameter:
    def read(text: str) -> str:
        if not 0 < len(text) <= longest:
            raise ValueError(f"must have 1 to {longest:,} characters")
        return text

    return Parameter(read, {"type": "string", "minLength": 1, "maxLength": longest}, description)


def _name(description: str) -> Parameter:
    text = _text(MAX_NAME, description)
    return text._replace(read=lambda given: storable(text.read(given)))


def _time(description: str) -> Parameter:
    forms = [
        {"type": "integer", "minimum": 0, "maximum": 10**15 - 1},
        {"type": "string", "format": "date-time"},
        {"type": "string", "pattern": "^[0-9]{1,6}[smhdw]$"},
    ]
    return Parameter(read_time, {"anyOf": forms}, f"{description}: {FORMS}")


def _number(description: str) -> Parameter:
    def read(text: str) -> float:
        number = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(number):
            raise ValueError("must be a number that is not negative")
        return number

    return Parameter(read, {"type": "number", "minimum": 0}, description)


def _choice(values: Mapping[str, Any], schema: dict[str, Any], description: str) -> Parameter:
    def read(text: str) -> Any:
        if text not in values:
            raise ValueError(f"must be one of {', '.join(values)}")
        return values[text]

    return Parameter(read, schema, description)


def _read_status(text: str) -> str:
    if not _STATUS.fullmatch(text):
        raise ValueError("must be a status such as 429, or a class such as 5xx")
    return text


def _read_limit(text: str) -> int:
    if not (_CURSOR.fullmatch(text) and 1 <= int(text) <= MAX_LIMIT):
        raise ValueError(f"must be a whole number from 1 to {MAX_LIMIT:,}")
    return int(text)


def _read_cursor(text: str) -> str:
    if not _CURSOR.fullmatch(text):
        raise ValueError("must be the `next` of the page before")
    return text


def _read_by(text: str) -> str:
    is_label = text.startswith(LABEL) and 0 < len(text) - len(LABEL) <= MAX_NAME
    if text not in GROUPS and not is_label:
        raise ValueError(f"must be {', '.join(GROUPS)} or {LABEL}NAME")
    return text


def _read_label(text: str) -> str:
    if len(text) > MAX_VALUE:
        raise ValueError(f"must have at most {MAX_VALUE:,} characters")
    return text


_BOOLEAN = {"type": "boolean"}
_STATUSES = [
    {"type": "integer", "minimum": 0, "maximum": 10**9 - 1},
    {"type": "string", "pattern": "^[1-9][xX]{2}$"},
]
_BY = [
    {"type": "string", "enum": list(GROUPS)},
    {"type": "string", "pattern": LABEL_PATTERN},
]

FILTERS = {
    "project": _name("A project; a key finds reports of its own one only"),
    "since": _time("Not earlier than this"),
    "until": _time("Earlier than this"),
    "model": _name("The model that was asked for, or the one that answered"),
    "endpoint": _name("Such as `chat/completions`; `span` for spans"),
    "status": Parameter(_read_status, {"anyOf": _STATUSES}, "A status, or a class such as `5xx`"),
    "error": _choice(_BOOLEANS, _BOOLEAN, "Whether the call failed"),
    "trace": _name("A trace id"),
    "text": _text(_MAX_TEXT, "Words in the prompt, answer, tool arguments or error, in any order"),
    "min_cost": _number("US dollars that the call cost at least"),
    "min_ms": _number("Milliseconds that the call took at least"),
}
"""The conditions of `Filter` by name, except `metadata`."""
LABEL_VALUE = Parameter(
    _read_label, {"type": "string", "maxLength": MAX_VALUE}, "The value of the label NAME"
)
"""The parameter `metadata.NAME`."""
PAGE = {
    "limit": Parameter(
        _read_limit,
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        "Most reports of the page",
    ),
    "after": Parameter(
        _read_cursor, {"type": "string", "pattern": "^[0-9]{1,18}$"}, "`next` of the page before"
    ),
    "order": _choice(
        {"newest": False, "oldest": True},
        {"type": "string", "enum": ["newest", "oldest"], "default": "newest"},
        "Which report is the first",
    ),
    "payloads": _choice(_BOOLEANS, {**_BOOLEAN, "default": False}, "Whether to add `report`"),
}
GROUPING = {
    "by": Parameter(_read_by, {"anyOf": _BY}, "A column or label, one group for each value"),
    "bucket": _choice(
        {name: name for name in BUCKETS},
        {"type": "string", "enum": list(BUCKETS)},
        "Length of the time buckets, which begin in UTC",
    ),
}
