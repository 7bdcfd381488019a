"""
Derives the labels of a report, and puts them into the form of the table `labels` and back.

A label is one of the report's `tags` whose name does not begin with `$`, or a name of
`reqPayload.metadata`, which wins. Values are compared as strings: a string as it is, any other
value as JSON writes it. A null is no label.
"""

from __future__ import annotations

import json
from typing import Any

from openpipe_report._report.json_values import get_object
from openpipe_report.server.store.values import MAX_NAME, storable

MAX_LABELS = 500
"""Most labels of one report; the report has the others."""
MAX_VALUE = 1_000
"""Characters that are kept of a value of the report, and compared; the report has the rest."""
MAX_CHANGED_VALUE = 200_000
"""Most characters of a value that a change sets, such as a corrected answer: it is kept whole."""


def derive_labels(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the labels of a report as `{"name": str, "value": str, "is_text": bool}`."""
    tags = get_object(report.get("tags"))
    own = {name: value for name, value in tags.items() if not name.startswith("$")}
    given = {**own, **get_object(get_object(report.get("reqPayload")).get("metadata"))}
    found: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        if value is not None and len(found) < MAX_LABELS:
            kept = storable_name(name)
            found[kept] = {"name": kept, **to_columns(value)}
    return list(found.values())


def storable_name(name: str) -> str:
    """Return a label's name as it is stored: its first `MAX_NAME` characters."""
    return storable(name[:MAX_NAME])


def to_columns(value: object, longest: int = MAX_VALUE) -> dict[str, Any]:
    """Return the columns `value` and `is_text` of a label's value, of which so much is kept."""
    if isinstance(value, str):
        return {"value": storable(value[:longest]), "is_text": True}
    text = to_string(value)
    return {"value": text[:longest], "is_text": len(text) > longest}


def to_string(value: object) -> str:
    """Return the string that a label's value is compared as."""
    if isinstance(value, str):
        return storable(value[:MAX_VALUE])
    return json.dumps(value, separators=(",", ":"))


def from_columns(value: str, *, is_text: bool) -> Any:
    """Return a label's value as it was given."""
    return value if is_text else json.loads(value)
