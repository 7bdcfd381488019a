"""
Cutting a report to a size limit: its values are weighed once and cut in one pass.

Every value has a share of the limit. A value that needs less than an equal share is kept whole, and
the rest of its share goes to larger values: a single long string is cut beside short ones, and of a
list of vectors each is cut. A mark in each cut value gives its original size.
"""

from __future__ import annotations

import json
from typing import Any

_SMALLEST_SHARE = 96
"""Least bytes for a useful value; with less, members are left out."""
_MARK = 64
"""Bytes for the mark of a cut value."""
_PIECE = 64 * 1024

_encode_string = json.encoder.encode_basestring_ascii


def cut_to_limit(fields: dict[str, Any], limit: int) -> dict[str, Any]:
    """
    Cut the largest values of a report's fields, so that their JSON has about `limit` bytes.

    Args:
        fields: JSON values by name; all names are kept.
        limit: Bytes.
    """
    scale = _Weigher()
    weights = {name: scale.weigh(value) for name, value in fields.items()}
    room = limit - 2 - sum(len(name) + 4 for name in fields)
    level = _level(list(weights.values()), room)
    return {name: scale.cut(value, level) for name, value in fields.items()}


def _level(weights: list[int], room: int) -> int:
    """Return the largest share that every value can have, if smaller values take what they need."""
    left = len(weights)
    for weight in sorted(weights):
        if weight * left > room:
            return max(0, room // left)
        room -= weight
        left -= 1
    return max(weights, default=0)


class _Weigher:
    """Weighs values and cuts them; it keeps the weight of each container and long string."""

    def __init__(self) -> None:
        self._weights: dict[int, int] = {}

    def weigh(self, value: Any) -> int:
        """Return the size of a value's JSON, rounded up."""
        if isinstance(value, str):
            if len(value) < _MARK:
                return len(_encode_string(value))
            weight = 2 + sum(
                len(_encode_string(value[start : start + _PIECE])) - 2
                for start in range(0, len(value), _PIECE)
            )
        elif isinstance(value, dict):
            weight = 2
            for key, item in value.items():
                weight += len(_encode_string(key)) + 2 + self.weigh(item)
        elif isinstance(value, list):
            weight = 2 + len(value)
            for item in value:
                weight += self.weigh(item)
        else:
            return _weigh_number(value)
        self._weights[id(value)] = weight
        return weight

    def _known(self, value: Any) -> int:
        found = self._weights.get(id(value))
        return self.weigh(value) if found is None else found

    def cut(self, value: Any, share: int) -> Any:
        """Return the value, or the part of it that fits into its share, and a mark."""
        if not isinstance(value, (str, dict, list)) or self._known(value) <= share:
            return value
        if isinstance(value, str):
            return _cut_string(value, share - _MARK)
        if isinstance(value, dict):
            return self._cut_members(value, share - 2)
        return self._cut_items(value, share - 2)

    def _cut_items(self, items: list[Any], room: int) -> list[Any]:
        weights = [self._known(item) + 1 for item in items]
        level = _level(weights, room)
        if level >= _SMALLEST_SHARE:
            kept: list[Any] = []
            for item in items:
                kept.append(self.cut(item, level - 1))  # noqa: PERF401
            return kept
        count, level = _first_that_fit(weights, room - _MARK)
        kept = [self.cut(item, level - 1) for item in items[:count]]
        return [*kept, f"... [cut: {count} of {len(items)} items]"]

    def _cut_members(self, members: dict[str, Any], room: int) -> dict[str, Any]:
        names = [len(_encode_string(name)) + 2 for name in members]
        weights = [self._known(item) for item in members.values()]
        level = _level(weights, room - sum(names))
        kept: dict[str, Any] = {}
        if level >= _SMALLEST_SHARE:
            for name, item in members.items():
                kept[name] = self.cut(item, level)
            return kept
        whole = [name + weight for name, weight in zip(names, weights, strict=True)]
        count, level = _first_that_fit(whole, room - _MARK)
        for (name, item), overhead in zip(list(members.items())[:count], names, strict=False):
            if overhead + _MARK < level:
                kept[name] = self.cut(item, level - overhead)
        return {**kept, "...": f"[cut: {len(kept)} of {len(members)} members]"}


def _first_that_fit(weights: list[int], room: int) -> tuple[int, int]:
    """Return how many values fit, from the first one, and the share of a large one."""
    level = max(_SMALLEST_SHARE, room // 8)
    count = 0
    for weight in weights:
        room -= min(weight, level)
        if room < 0:
            break
        count += 1
    return count, level


def _cut_string(text: str, room: int) -> str:
    length = 0
    for start in range(0, len(text), _PIECE):
        piece = text[start : start + _PIECE]
        kept = _length_that_fits(piece, room)
        length += kept
        if kept < len(piece):
            break
        room -= len(_encode_string(piece)) - 2
    return f"{text[:length]}... [cut: {length} of {len(text)} characters]"


def _length_that_fits(piece: str, room: int) -> int:
    """Return how many characters from the beginning of a piece fit into `room` bytes."""
    length = max(0, min(len(piece), room))
    while length and (weight := len(_encode_string(piece[:length])) - 2) > room:
        length = min(length - 1, length * room // weight)
    return length


def _weigh_number(value: Any) -> int:
    if isinstance(value, float):
        return 24  # digits, sign, point and exponent, at the most
    if value is None or isinstance(value, bool):
        return 5
    return 2 + value.bit_length() * 1234 // 4096 if isinstance(value, int) else _MARK
