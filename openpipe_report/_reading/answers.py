"""Reads the answers of a receiver's API, and puts its errors into words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from openpipe_report._reading.errors import QueryError, SourceError, SourceUnavailableError

if TYPE_CHECKING:
    import httpx

_LONGEST_MESSAGE = 500

_OK, _BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 200, 400, 401, 403, 404
_TOO_MANY, _SERVER_ERRORS = 429, range(500, 600)
_REDIRECTS = range(300, 400)


def read_object(answer: httpx.Response, name: str, *, with_key: bool) -> dict[str, Any]:
    """
    Return the JSON object of a successful answer.

    Args:
        answer: The whole answer.
        name: What to call the receiver in an error.
        with_key: Whether the request had a key.

    Raises:
        SourceError: It is an error, or not the API's.

    """
    if answer.status_code != _OK:
        raise _error(answer, name, with_key=with_key)
    found = _parse(answer.content)
    if not isinstance(found, dict):
        raise _is_another(name)
    return found


def read_rows(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the reports or statistics of an answer."""
    rows = found.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _is_another(name)
    return rows


def read_count(row: dict[str, Any], field: str, name: str) -> int:
    """Return a field that is a whole number."""
    found = row.get(field)
    if not isinstance(found, int):
        raise _is_another(name)
    return found


def _is_another(name: str) -> SourceError:
    return SourceError(f"a server of another kind answers at {name}: check the URL")


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _error(answer: httpx.Response, name: str, *, with_key: bool) -> SourceError:
    status = answer.status_code
    if status == _UNAUTHORIZED:
        if with_key:
            return SourceError(f"{name} does not accept this key: give one that may read")
        return SourceError(f"{name} asks for a key: give one that may read")
    if status in _REDIRECTS:
        return SourceError(f"{name} redirects to another address, which gets no key: give that URL")
    message = _message(answer)
    if status == _BAD_REQUEST:
        return QueryError(message or f"{name} does not understand the query (HTTP 400)")
    if status == _FORBIDDEN:
        return SourceError(f"{name} does not let this key read{_because(message)}")
    if status == _NOT_FOUND:
        return SourceError(f"there are no reports to read at {name} (HTTP 404): check the URL")
    said = f"{name} answers HTTP {status}{_because(message)}"
    is_temporary = status == _TOO_MANY or status in _SERVER_ERRORS
    return SourceUnavailableError(said) if is_temporary else SourceError(said)


def _because(message: str) -> str:
    return f": {message}" if message else ""


def _message(answer: httpx.Response) -> str:
    """Return the issues of an error of the API, or else its message."""
    found = _parse(answer.content)
    if not isinstance(found, dict):
        return ""
    issues = found.get("issues")
    faults = issues if isinstance(issues, list) else []
    lines = [one.get("message") for one in faults if isinstance(one, dict)]
    texts = [line for line in lines if isinstance(line, str)]
    if not texts and isinstance(found.get("message"), str):
        texts = [found["message"]]
    return "; ".join(texts)[:_LONGEST_MESSAGE]
