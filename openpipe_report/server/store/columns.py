"""
Derives the columns that lists show from a report, whose payloads may be any JSON.

The functions accept any JSON value and return None for one that they cannot use. They never raise,
because a report is never refused for the content of its payloads.
"""

from __future__ import annotations

import json
import math
from typing import Any, cast

MAX_NAME = 200
"""Characters that the columns `endpoint` and `model` keep."""
MAX_ERROR = 1_000
"""Characters of an error message that the column `error` keeps; the report has the rest."""

_MAX_INTEGER = 2**63 - 1


def summarize(report: dict[str, Any]) -> dict[str, Any]:
    """
    Derive the columns of `StoredReport` from a valid report.

    Args:
        report: The report as parsed JSON, with the API's names.

    Returns:
        The value of each derived column by the name of its attribute.

    """
    tags = _object(report.get("tags"))
    request = _object(report.get("reqPayload"))
    response = _object(report.get("respPayload"))
    usage = _object(response.get("usage"))
    requested, received = _real(report.get("requestedAt")), _real(report.get("receivedAt"))
    return {
        "requested_at": requested,
        "duration_ms": _difference(received, requested),
        "endpoint": _text(tags.get("$endpoint"), MAX_NAME),
        "model": _text(response.get("model"), MAX_NAME) or _text(request.get("model"), MAX_NAME),
        "status": _integer(report.get("statusCode")),
        "prompt_tokens": _first_integer(usage, "prompt_tokens", "input_tokens"),
        "completion_tokens": _first_integer(usage, "completion_tokens", "output_tokens"),
        "total_tokens": _integer(usage.get("total_tokens")),
        "error": _text(report.get("errorMessage"), MAX_ERROR),
        "metadata_json": _labels(tags, _object(request.get("metadata"))),
    }


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _real(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _difference(later: float | None, earlier: float | None) -> float | None:
    if later is None or earlier is None:
        return None
    difference = later - earlier
    return round(difference, 3) if math.isfinite(difference) else None


def _integer(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) <= _MAX_INTEGER else None


def _first_integer(usage: dict[str, Any], *names: str) -> int | None:
    found = (_integer(usage.get(name)) for name in names)
    return next((number for number in found if number is not None), None)


def _text(value: object, longest: int) -> str | None:
    # SQLite's TEXT is UTF-8 and its functions stop at NUL, so surrogates and NUL become escapes.
    if not isinstance(value, str):
        return None
    kept = value[:longest].encode("utf-8", "backslashreplace").decode("utf-8")
    return kept.replace("\0", "\\x00")


def _labels(tags: dict[str, Any], metadata: dict[str, Any]) -> str | None:
    own = {name: value for name, value in tags.items() if not name.startswith("$")}
    labels = {**own, **metadata}
    return json.dumps(labels, separators=(",", ":")) if labels else None
