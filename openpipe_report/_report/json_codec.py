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
from openpipe_report._report.sanitizer import JsonSanitizer, name_of_key

MAX_DEPTH = 500
"""
Levels of arrays and objects in a report, the report's own included.

What is encoded here has no more, what is read here may have no more, and the receiver takes that
many: so a report that was built is never refused. Each Python version can read it back.
"""

SHALLOW = 50
"""Levels that can be encoded even where the stack has little room left."""


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


def is_too_deep(value: object, depth: int = MAX_DEPTH) -> bool:
    """Return whether arrays and objects are nested deeper than so many levels."""
    level = [value] if isinstance(value, _CONTAINERS) else []
    for _ in range(depth):
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
_CONTAINERS = (dict, list, tuple)
_CONTAINER_TYPES = {dict, list, tuple}
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


SMALL = 64 * 1024
"""Bytes that are encoded at once: for about a millisecond, in which no other thread runs."""
_CHUNK = 1024
_NUMBERS = {int, float, bool, type(None)}


class OverLimitError(Exception):
    """The JSON is longer than it may be."""


def encode_json(value: object, limit: int | None = None, *, is_small: bool = False) -> bytes:
    """
    Encode as JSON in ASCII, of no more than `MAX_DEPTH` levels.

    What JSON cannot say has its obvious form in it: the fields of a dataclass, the text of a date,
    the name of an object. What is nested deeper is named. Nothing that a value's methods raise
    comes out. A large value is encoded in pieces, between which other threads can run.

    Args:
        value: Any value.
        limit: Bytes after which to stop.
        is_small: Whether the value is known to be small.

    Raises:
        OverLimitError: There are more than `limit` bytes.
    """
    try:
        if is_small or weigh(value, SMALL) <= SMALL:
            encoded = _encode_at_once(value, MAX_DEPTH)
        else:
            encoded = _PieceEncoder(limit).encode(value)
    except OverLimitError:
        raise
    except Exception:  # noqa: BLE001 - the stack is short, or another thread changes the value
        encoded = _encode_sanitized(value, MAX_DEPTH)
    if limit is not None and len(encoded) > limit:
        raise OverLimitError
    return encoded


def copy_json(value: object) -> tuple[Any, int]:
    """Return what reading the value's JSON would give, and the bytes of memory that it takes."""
    if weigh(value, SMALL) <= SMALL:
        encoded = _encode_at_once(value, MAX_DEPTH)
        return parse_json(encoded), len(encoded)
    sanitizer = JsonSanitizer(MAX_DEPTH)
    return sanitizer.sanitize(value), sanitizer.size


class Snapshot:
    """A value as it was, for later: the JSON of a small one, a copy of a large one."""

    __slots__ = ("_copy", "_json", "size")

    def __init__(self, value: object) -> None:
        self._json, self._copy = b"", None
        if weigh(value, SMALL) <= SMALL:
            self._json = _encode_at_once(value, MAX_DEPTH)
            self.size = len(self._json)
        else:
            self._copy, self.size = copy_json(value)

    def read(self) -> Any:
        """Return the value as JSON has it."""
        return parse_json(self._json) if self._json else self._copy


def weigh(value: Any, limit: int) -> int:
    """
    Estimate the bytes of a value's JSON, as far as `limit`.

    An object that has to be opened first counts as large: nobody knows what is in it.
    """
    total = 0
    pending = [value]
    while pending and total <= limit:
        value = pending.pop()
        kind = type(value)
        if kind is str:
            total += len(value) + 3
        elif kind in _NUMBERS:
            total += 8
        elif kind in _CONTAINER_TYPES:
            total += 2 + 4 * len(value)
            if total > limit:
                break
            if kind is dict:
                try:
                    total += sum(map(len, value))
                except Exception:  # noqa: BLE001 - a key that is no string
                    return limit + 1
                pending.extend(value.values())
            else:
                pending.extend(value)
        else:
            return limit + 1
    return total


def _encode_at_once(value: object, depth: int) -> bytes:
    try:
        encoded = _ENCODER.encode(value).encode("ascii")
        if encoded.count(b"[") + encoded.count(b"{") <= depth or not is_too_deep(value, depth):
            return encoded
    except Exception:  # noqa: BLE001, S110 - what it is not made for, and whatever its values do
        pass
    return _encode_sanitized(value, depth)


def _encode_sanitized(value: object, depth: int) -> bytes:
    for levels in (depth, min(depth, SHALLOW)):
        try:
            return _ENCODER.encode(JsonSanitizer(levels).sanitize(value)).encode("ascii")
        except Exception:  # noqa: BLE001, S112 - a RecursionError
            continue
    return _ENCODER.encode(f"<{name_of_type(value)}>").encode("ascii")


def _to_plain_container(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(value.items())
    return list(value) if isinstance(value, (list, tuple)) else value


class _PieceEncoder:
    """Encodes a large value in pieces that take a few milliseconds at the most."""

    def __init__(self, limit: int | None) -> None:
        self._left = limit
        self._pieces: list[bytes] = []
        self._path: set[int] = set()

    def encode(self, value: object) -> bytes:
        self._add(value)
        return b"".join(self._pieces)

    def _put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise OverLimitError

    def _add(self, value: object) -> None:
        depth = MAX_DEPTH - len(self._path)
        if type(value) is str:
            self._put(b'"')
            for start in range(0, len(value), SMALL):
                self._put(_ENCODER.encode(value[start : start + SMALL])[1:-1].encode("ascii"))
            self._put(b'"')
            return
        me = id(value)
        opened: Any = value
        if me in self._path:
            opened = "<circular>"
        elif not depth:
            opened = f"<{name_of_type(value)} nested deeper than {MAX_DEPTH}>"
        elif type(value) not in _CONTAINER_TYPES:
            try:
                opened = _to_plain_container(open_value(value))
            except Exception:  # noqa: BLE001 - its own methods
                opened = f"<{name_of_type(value)}>"
        self._path.add(me)
        if type(opened) is dict:
            self._add_members(opened)
        elif type(opened) is list or type(opened) is tuple:
            self._add_items(opened)
        else:
            self._put(_encode_at_once(opened, depth))
        self._path.discard(me)

    def _add_items(self, values: Any) -> None:
        mark = b"["
        for start in range(0, len(values), _CHUNK):
            chunk = values[start : start + _CHUNK]
            if set(map(type, chunk)) <= _NUMBERS:
                mark = self._put_group(mark, list(chunk))
                continue
            group: list[Any] = []
            weight = 0
            for item in chunk:
                weight += (added := weigh(item, SMALL))
                if added <= SMALL:
                    group.append(item)
                if weight > SMALL:
                    mark = self._put_group(mark, group)
                    group, weight = [], 0
                if added > SMALL:
                    self._put(mark)
                    mark = b","
                    self._add(item)
            mark = self._put_group(mark, group)
        self._put(b"[]" if mark == b"[" else b"]")

    def _add_members(self, values: dict[Any, Any]) -> None:
        mark = b"{"
        group: dict[Any, Any] = {}
        weight = 0
        for key, item in values.items():
            weight += (added := weigh(item, SMALL)) + 8
            if added <= SMALL:
                group[key] = item
            if weight > SMALL:
                mark = self._put_group(mark, group)
                group, weight = {}, 0
            if added > SMALL:
                self._put(mark + _ENCODER.encode(name_of_key(key)).encode("ascii") + b":")
                mark = b","
                self._add(item)
        mark = self._put_group(mark, group)
        self._put(b"{}" if mark == b"{" else b"}")

    def _put_group(self, mark: bytes, group: Any) -> bytes:
        """Put some items or members after the mark; return the mark for what follows."""
        if not group:
            return mark
        encoded = _encode_at_once(group, MAX_DEPTH - len(self._path) + 1)
        if encoded[:1] in {b"[", b"{"}:
            self._put(mark + encoded[1:-1])
        else:  # the group is named as a whole
            self._put(mark + (b'"...":' if isinstance(group, dict) else b"") + encoded)
        return b","
