"""Reads values of a known type out of any JSON; what has another type is None. Nothing raises."""

from __future__ import annotations

import math
from hashlib import sha256
from typing import Any, cast

MAX_NAME = 200
"""Characters that a column of names and ids keeps."""

_MAX_INTEGER = 2**63 - 1
_NOT_POSITIVE = -10_000


def get_object(value: object) -> dict[str, Any]:
    """Return an object as it is, and an empty one for any other value."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def get_list(value: object) -> list[Any]:
    """Return an array as it is, and an empty one for any other value."""
    return value if isinstance(value, list) else []


def get_real(value: object) -> float | None:
    """Return a number as a finite double."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def get_integer(value: object) -> int | None:
    """Return a whole number of at most 64 bits."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) <= _MAX_INTEGER else None


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
