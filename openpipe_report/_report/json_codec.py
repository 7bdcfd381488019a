"""
JSON as RFC 8259 allows it: decoding without NaN, encoding of any value.

Text is ASCII-escaped on the wire, so that lone surrogates and NUL survive every transport and
store (RFC 8259, section 7).
"""

from __future__ import annotations

import json
import math
from typing import Any

from openpipe_report._report.python_values import name_of_type, open_value

MAX_DEPTH = 500
"""
Levels of arrays and objects in a report, the report's own included.

What is encoded here has no more, what is read here may have no more, and the receiver takes that
many: so a report that was built is never refused. Each Python version can read it back.
"""

_SHALLOW = 50
"""Levels that can be encoded even where the stack has little room left."""

MAX_NODES = 1_000_000
"""Values in one payload, where it has to be looked through one by one."""


def parse_json(body: bytes | str) -> Any:
    """
    Decode JSON; NaN, Infinity and numbers out of range become the string they were written as.

    Raises:
        ValueError: It is not JSON, not text, or nested too deep to read.
    """
    try:
        if isinstance(body, bytes):
            body = body.decode(json.detect_encoding(body), "surrogatepass")
        try:
            value = _DECODER.decode(body)
        except json.JSONDecodeError:
            raise
        except ValueError:  # an integer longer than sys.get_int_max_str_digits()
            value = _HUGE_INT_DECODER.decode(body)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if body.count("[") + body.count("{") > MAX_DEPTH and is_too_deep(value):
        raise ValueError("nested too deep")
    return value


def is_too_deep(value: object) -> bool:
    """Return whether arrays and objects are nested deeper than `MAX_DEPTH` levels."""
    level = [value] if isinstance(value, _CONTAINERS) else []
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, _CONTAINERS)
        ]
        if not level:
            return False
    return True


def _parse_float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _parse_int(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


_DECODER = json.JSONDecoder(parse_constant=str, parse_float=_parse_float)
_HUGE_INT_DECODER = json.JSONDecoder(
    parse_constant=str, parse_float=_parse_float, parse_int=_parse_int
)
_REST = "<left out: too many values>"
_HUGE = 2**2000
"""Shorter integers are read by every Python, whatever `sys.set_int_max_str_digits()` was told."""
_CONTAINERS = (dict, list, tuple)
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def encode_json(value: object) -> bytes:
    """
    Encode as JSON in ASCII, of no more than `MAX_DEPTH` levels.

    What JSON cannot say has its obvious form in it: the fields of a dataclass, the text of a date,
    the name of an object. What is nested deeper is named. Nothing that a value's methods raise
    comes out.
    """
    try:
        encoded = _dump(value)
        if encoded.count(b"[") + encoded.count(b"{") <= MAX_DEPTH or not is_too_deep(value):
            return encoded
    except Exception:  # noqa: BLE001, S110 - what it is not made for, and whatever its values do
        pass
    for depth in (MAX_DEPTH, _SHALLOW):
        try:
            return _dump(_JsonSanitizer(depth).sanitize(value))
        except Exception:  # noqa: BLE001, S112 - a RecursionError, or a hostile value
            continue
    return _dump(f"<{name_of_type(value)}>")


def _dump(value: object) -> bytes:
    return _ENCODER.encode(value).encode("ascii")


class _JsonSanitizer:
    """Makes a JSON value of any value, and raises nothing of its methods' making."""

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._left = MAX_NODES
        self._path: set[int] = set()

    def sanitize(self, value: object) -> object:
        """Return a JSON value; takes one frame of the stack for each level."""
        self._left -= 1
        if value is None or type(value) is str or type(value) is bool:
            return value
        me = id(value)
        if me in self._path:
            return "<circular>"
        self._path.add(me)
        try:
            if issubclass(type(value), (str, int, float)):  # a mock says that it is anything
                return _sanitize_scalar(value)
            if len(self._path) > self._max_depth:
                return f"<{name_of_type(value)} nested deeper than {self._max_depth}>"
            opened = open_value(value)
            if isinstance(opened, dict):
                members: dict[str, object] = {}
                for key, item in opened.items():
                    members[_name_of_key(key)] = self.sanitize(item) if self._left > 0 else _REST
                    if self._left <= 0:
                        break
                return members
            if isinstance(opened, (list, tuple)):
                items: list[object] = []
                for item in opened:
                    items.append(self.sanitize(item) if self._left > 0 else _REST)
                    if self._left <= 0:
                        break
                return items
            return _sanitize_scalar(opened) if opened is not value else f"<{name_of_type(value)}>"
        except Exception:  # noqa: BLE001 - somebody else's serializer, mapping or attribute
            return f"<{name_of_type(value)}>"
        finally:
            self._path.discard(me)


def _sanitize_scalar(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < _HUGE else hex(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else _name_of(value)
    if issubclass(type(value), str):
        return value
    opened = open_value(value)  # what stood for it is no JSON either: an Enum of dates
    return opened if isinstance(opened, str) else f"<{name_of_type(value)}>"


def _name_of_key(key: object) -> str:
    """Name a member as `json` does; where that has no name, by its value."""
    if issubclass(type(key), str):
        return str.__str__(key)
    if key is None or issubclass(type(key), (int, float)):
        return str(_ENCODER.encode(_sanitize_scalar(key))).strip('"')
    if isinstance(key, tuple):
        return str(key)
    try:
        return str(_sanitize_scalar(open_value(key)))
    except Exception:  # noqa: BLE001 - its own methods
        return f"<{name_of_type(key)}>"


def _name_of(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
