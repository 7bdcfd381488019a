"""
The values that labels may have: strings, finite numbers, booleans, and None for none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

LabelValue = str | int | float | bool | None


def check_values(what: str, values: Mapping[str, Any]) -> dict[str, LabelValue]:
    """
    Copy metadata or tags, whose values are strings, finite numbers, booleans or None.

    Raises:
        TypeError: A value is of another kind; the message names its key, never the value.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{what} must be a mapping, got {type(values).__name__}")
    for key, value in values.items():
        if not isinstance(key, str):
            raise TypeError(f"{what} must have strings as keys, got {key!r}")
        if not (value is None or isinstance(value, (str, int, float))):
            raise TypeError(
                f"{what}[{key!r}] must be a string, number, boolean or None, "
                f"got {type(value).__name__}"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise TypeError(f"{what}[{key!r}] must be a finite number")
    return dict(values)


def to_text(value: LabelValue) -> str | None:
    """Return the string that a label's value is compared as: numbers and booleans as in JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value)
