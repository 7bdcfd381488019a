"""
JSON as RFC 8259 allows it: decoding without NaN, encoding of any value.

Text is ASCII-escaped on the wire, so that lone surrogates and NUL survive every transport and
store (RFC 8259, section 7).
"""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic import BaseModel

MAX_DEPTH = 200
"""Levels of nesting that every JSON reader takes; what is deeper travels as text."""

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
    if body.count("[") + body.count("{") > MAX_DEPTH and _is_deep(value):
        raise ValueError("nested too deep")
    return value


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
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
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def encode_json(value: object) -> bytes:
    """Encode as JSON in ASCII; what JSON cannot say (NaN, objects) travels as its string."""
    try:
        return _dump(value)
    except Exception:  # noqa: BLE001 - what it is not made for, and whatever its values do
        try:
            return _dump(_JsonSanitizer().sanitize(value))
        except Exception:  # noqa: BLE001 - not even its kind can be told
            return _dump(f"<{type(value).__name__}>")


def _dump(value: object) -> bytes:
    return _ENCODER.encode(value).encode("ascii")


class _JsonSanitizer:
    """Makes a JSON value of any value: each thing that JSON cannot say becomes a string."""

    def __init__(self) -> None:
        self._left = MAX_NODES
        self._path: list[int] = []

    def sanitize(self, value: object) -> object:
        self._left -= 1
        if self._left < 0:
            return "<left out: too many values>"
        if value is None or isinstance(value, (str, bool)):
            return value
        if isinstance(value, int):
            return value if abs(value) < 10**4000 else hex(value)
        if isinstance(value, float):
            return value if math.isfinite(value) else _name_of(value)
        if id(value) in self._path:
            return "<circular>"
        if len(self._path) >= MAX_DEPTH:
            return f"<{type(value).__name__} nested deeper than {MAX_DEPTH}>"
        self._path.append(id(value))
        try:
            return self._contents(value)
        except Exception:  # noqa: BLE001 - somebody else's serializer or mapping
            return f"<{type(value).__name__}>"
        finally:
            self._path.pop()

    def _contents(self, value: object) -> object:
        if isinstance(value, dict):
            return {
                key if isinstance(key, str) else str(key): self.sanitize(item)
                for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.sanitize(item) for item in value]
        if isinstance(value, BaseModel):
            return self.sanitize(value.model_dump(mode="python", warnings=False))
        return f"<{type(value).__name__}>"


def _name_of(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
