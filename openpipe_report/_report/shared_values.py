"""
Whether code that visits a value once for each way to it would come to an end.

Forty lists, each of which contains the one before twice, are a tree of 2**40 values for `repr()`,
for pydantic's serializer and for JSON.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_REPEATED = 100_000
"""Values in containers that were visited before, by another way: about 0.1 seconds of copying."""

_SCALARS = {str, int, float, bool, type(None)}


def is_expandable(value: object) -> bool:
    """Return whether a value has no more than `MAX_REPEATED` repeated values and no circle."""
    pending = [value]
    visited: set[int] = set()
    left = MAX_REPEATED
    while pending:
        value = pending.pop()
        inner = () if type(value) in _SCALARS else _values_in(value)
        if not inner:
            continue
        if id(value) in visited:
            left -= len(inner)
            if left < 0:
                return False
        visited.add(id(value))
        pending += inner
    return True


def _values_in(value: Any) -> Collection[Any]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    if isinstance(value, BaseModel):
        return [*value.__dict__.values(), *(value.__pydantic_extra__ or {}).values()]
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name, None) for field in fields(value)]
    return ()
