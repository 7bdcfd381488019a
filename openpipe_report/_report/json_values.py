"""Reads values of a known type out of any JSON; what has another type is None. Nothing raises."""

from __future__ import annotations

import math
from typing import Any, cast

_MAX_INTEGER = 2**63 - 1


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
