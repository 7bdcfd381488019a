"""
What went wrong, in the upstream's own words: in an error's body, or in the body of a success.
"""

from __future__ import annotations

import re
from typing import Any

from openpipe_report._report.json_codec import encode_json

_MARKUP = re.compile(r"(?i)<(?:!doctype|html|head|title|body|center|h1|div|p|\?xml)\b")


def error_message(value: Any, status: int) -> str:
    """Find the upstream's own words in an error's body."""
    error: Any = value
    if isinstance(value, list) and value:
        error = value[0]
    if isinstance(error, dict):
        error = error.get("error") or error
    if isinstance(error, dict):
        for key in ("message", "detail", "error_description", "title"):
            if isinstance(error.get(key), str) and error[key]:
                return _without_markup(error[key], status)
    if isinstance(error, str) and error.strip():
        return _without_markup(" ".join(error[:4000].split())[:500], status)
    return f"HTTP status {status}"


def _without_markup(text: str, status: int) -> str:
    """Say that it is a page, where a proxy answered with one; the record has the page itself."""
    return f"HTTP status {status} (an HTML page)" if _MARKUP.search(text[:1000]) else text


def find_failure(value: Any, status: int) -> str | None:
    """
    Find the error that the body of a success tells.

    A gateway that had sent its status before it knew, a response that failed or is incomplete for
    an error, a choice that ends with one.
    """
    if not isinstance(value, dict):
        return None
    choices = value.get("choices")
    for part in (value, *(choices if isinstance(choices, list) else ())):
        if isinstance(part, dict) and part.get("error"):
            message = error_message({"error": part["error"]}, status)
            # Without any words in it, the error's own JSON is what there is.
            return (
                encode_json(part["error"]).decode()[:500] if message.startswith("HTTP") else message
            )
    if value.get("object") == "error" or value.get("type") == "error":
        return error_message(value, status)
    if value.get("object") == "response" and value.get("status") == "failed":
        return "the response failed"
    return None
