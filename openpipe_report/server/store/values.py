"""Text and orders of magnitude as a database can hold them. Nothing raises."""

from __future__ import annotations

import math
from hashlib import sha256

MAX_NAME = 200
"""Characters that a column of names and ids keeps."""

_NOT_POSITIVE = -10_000


def get_text(value: object, longest: int = MAX_NAME) -> str | None:
    """Return the first `longest` characters of a string, as a database can hold them."""
    return storable(value[:longest]) if isinstance(value, str) else None


def get_key(value: str) -> str:
    """Return an `Idempotency-Key` as a database can hold and index it: a long one as its digest."""
    key = storable(value)
    return key if len(key) <= MAX_NAME else f"sha256:{sha256(key.encode()).hexdigest()}"


def get_class(value: float | None) -> int | None:
    """Return the order of magnitude of a value, a power of two: never less for a greater value."""
    if value is None:
        return None
    return math.frexp(value)[1] if value > 0 else _NOT_POSITIVE


def storable(text: str) -> str:
    """Return a text in which lone surrogates and NUL are escapes: no database can hold them."""
    if text.isascii():
        return text.replace("\0", "\\x00") if "\0" in text else text
    kept = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return kept.replace("\0", "\\x00")
