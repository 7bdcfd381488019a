"""
Any value -> a tree that JSON can say, of bounded depth and size, whatever the value's methods do.

A value that several places share is copied for each of them. Forty lists, each of which contains
the one before twice, are a tree of a million million lists: so such copies are bounded further
than the values that are in memory.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from openpipe_report._report.python_values import name_of_type, open_value
from openpipe_report._report.shared_values import MAX_REPEATED

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_NODES = 2_000_000
"""Values in one tree; with more, a report is larger than its default limit, 16 MiB."""

_REST = "<left out: too many values>"
_REPEATED = "<left out: repeated too often>"
_HUGE = 2**2000
"""Every Python reads shorter integers, whatever `sys.set_int_max_str_digits()` is set to."""
_NUMBERS = {int, float}
_plain_text: Callable[[Any], str] = str.__str__
"""Returns the text of a string, without calling methods of its class."""
_MANY = 16


class JsonSanitizer:
    """Makes a JSON value of any value; exceptions of its methods never come out."""

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._left = MAX_NODES
        self._repeats_left = MAX_REPEATED
        self._characters = 0
        self._path: set[int] = set()
        self._copied: set[int] = set()
        self._opened: list[object] = []
        """Values that exist for the copy alone, kept so that no other one gets the id of theirs."""

    @property
    def size(self) -> int:
        """Return about how many bytes of memory the values take."""
        return self._characters + 32 * (MAX_NODES - self._left)

    def sanitize(self, value: object) -> object:  # noqa: PLR0912 - one frame a level
        """Return a JSON value. Each level takes one frame of the stack."""
        self._left -= 1
        kind = type(value)
        if issubclass(kind, str):
            text = _plain_text(value)
            self._characters += len(text)
            return text
        if value is None or kind is bool or (kind is float and math.isfinite(value)):  # type: ignore[arg-type]
            return value
        if kind is int and -_HUGE < value < _HUGE:  # type: ignore[operator]
            return value
        me = id(value)
        if me in self._path:
            return "<circular>"
        self._path.add(me)
        try:
            if issubclass(kind, (int, float)):  # a mock says that it is anything
                return sanitize_scalar(value)
            if len(self._path) > self._max_depth:
                return f"<{name_of_type(value)} nested deeper than {self._max_depth}>"
            opened: Any = value if kind is dict or kind is list else open_value(value)
            if isinstance(opened, (dict, list, tuple)):
                if opened is not value:
                    self._opened.append(opened)
                if me in self._copied:
                    if len(opened) > self._repeats_left:
                        return _REPEATED
                    self._repeats_left -= len(opened)
                self._copied.add(me)
            if isinstance(opened, dict):
                members: dict[str, object] = {}
                for key, item in opened.items():
                    name = key if type(key) is str else name_of_key(key)
                    members[name] = self.sanitize(item) if self._left > 0 else _REST
                    if self._left <= 0:
                        break
                return members
            if isinstance(opened, (list, tuple)):
                items: list[object] = []
                if len(opened) > _MANY and (numbers := self._numbers(opened)) is not None:
                    return numbers
                for item in opened:
                    items.append(self.sanitize(item) if self._left > 0 else _REST)
                    if self._left <= 0:
                        break
                return items
            return sanitize_scalar(opened) if opened is not value else f"<{name_of_type(value)}>"
        except Exception:  # noqa: BLE001 - somebody else's serializer, mapping or attribute
            return f"<{name_of_type(value)}>"
        finally:
            self._path.discard(me)

    def _numbers(self, values: list[object] | tuple[object, ...]) -> list[object] | None:
        """Copy a list of finite numbers; None if it contains other values."""
        if not set(map(type, values)) <= _NUMBERS or len(values) > self._left:
            return None
        try:
            if not all(map(math.isfinite, values)):  # type: ignore[arg-type]
                return None
        except OverflowError:  # an integer out of a float's range
            return None
        self._left -= len(values)
        return list(values)


def sanitize_scalar(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < _HUGE else hex(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else _name_of(value)
    if issubclass(type(value), str):
        return _plain_text(value)
    opened = open_value(value)  # the opened value is not JSON either, as with an Enum of dates
    return opened if isinstance(opened, str) else f"<{name_of_type(value)}>"


def name_of_key(key: Any) -> str:
    """Return the name of a member as `json` does, or the JSON form of its key."""
    if issubclass(type(key), str):
        return str.__str__(key)
    try:
        if key is None or issubclass(type(key), (int, float)):
            return json.dumps(sanitize_scalar(key)).strip('"')
        if isinstance(key, tuple):
            return str(key)
        return str(sanitize_scalar(open_value(key)))
    except Exception:  # noqa: BLE001 - its own methods
        return f"<{name_of_type(key)}>"


def _name_of(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
