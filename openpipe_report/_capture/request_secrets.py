"""
The keys in a request, which errors and answers may quote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openpipe_report._report.describe import describe_error

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIN_LENGTH = 8
"""Shortest header or query value that is masked as a secret, in characters."""


def describe_without_secrets(error: BaseException, request: Any) -> str:
    """
    Describe an error without the keys that were sent.

    httpx quotes a header that it refuses, and `raise_for_status()` the URL with its query.

    Args:
        error: The error.
        request: The request, of either httpx; None if there was none.
    """
    text = describe_error(error)
    query = getattr(getattr(request, "url", None), "query", b"").decode("ascii", "replace")
    if query:
        text = text.replace(query, "[query]")
    for secret in _find_secrets(request):
        text = text.replace(secret, "[key]")
    return text


def mask_secrets_of(request: Any, content: bytes) -> bytes:
    """Mask the keys that were sent in an answer: some servers quote the key that they refuse."""
    for secret in _find_secrets(request):
        content = content.replace(secret.encode(), b"[key]")
    return content


def _find_secrets(request: Any) -> Iterator[str]:
    url = getattr(request, "url", None)
    for name, value in url.params.items() if url is not None and url.query else ():
        # Azure's answers contain its api-version.
        if len(value) >= _MIN_LENGTH and name != "api-version":
            yield value
    headers = getattr(request, "headers", {})
    for name in ("authorization", "api-key", "x-api-key"):
        for secret in headers.get(name, "").split():
            if len(secret) >= _MIN_LENGTH:
                yield secret
