"""
Finding the error message of an answer, in the body of an error status or of a success.
"""

from __future__ import annotations

from typing import Any

from openpipe_report._report.json_codec import encode_json
from openpipe_report._report.markup import is_page, read_body, replace_page


def error_message(value: Any, status: int, content_type: str = "") -> str:
    """Return the message in the body of an error, or the title of an error page."""
    error: Any = value
    if isinstance(value, list) and value:
        error = value[0]
    if isinstance(error, dict):
        error = error.get("error") or error
    if isinstance(error, dict):
        for key in ("message", "detail", "error_description", "title"):
            if isinstance(error.get(key), str) and error[key]:
                return replace_page(error[key]) or _name_page(status)
    if isinstance(error, str) and error.strip():
        text = read_body(error, content_type) if error is value else replace_page(error)
        return " ".join(text[:4000].split())[:500] or _name_page(status)
    return f"HTTP status {status}"


def _name_page(status: int) -> str:
    return f"HTTP status {status} (an HTML page)"


def find_failure(value: Any, status: int, content_type: str = "") -> str | None:
    """
    Find an error in the body of an answer with a successful status.

    A gateway may send the status before the error occurs; a response may have failed or be
    incomplete; a choice may end with an error; a proxy may answer with a page.

    Args:
        value: The body, decoded.
        status: The answer's status.
        content_type: The answer's Content-Type.
    """
    if isinstance(value, str) and is_page(value, content_type):
        return f"the answer is a page: {error_message(value, status, content_type)}"
    if isinstance(value, list):  # Google's OpenAI-compatible endpoint puts the error into a list
        failures = (find_failure(item, status) for item in value if isinstance(item, dict))
        return next(filter(None, failures), None)
    if not isinstance(value, dict):
        return None
    choices = value.get("choices")
    for part in (value, *(choices if isinstance(choices, list) else ())):
        if isinstance(part, dict) and part.get("error"):
            message = error_message({"error": part["error"]}, status)
            if message != f"HTTP status {status}":
                return message
            return encode_json(part["error"]).decode()[:500]  # it contains no message
    if value.get("object") == "error" or value.get("type") == "error":
        return error_message(value, status)
    if value.get("object") == "response" and value.get("status") == "failed":
        return "the response failed"
    return None
