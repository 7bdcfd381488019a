"""JSON as RFC 8259 allows it: decoding without NaN, encoding and copying of any value."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, TypeVar

from openpipe_report._report.json_pieces import (
    OverLimitError,
    encode_at_once,
    encode_in_pieces,
    is_small,
)
from openpipe_report._report.sanitizer import JsonSanitizer

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MAX_DEPTH = 500
"""
Levels of arrays and objects in a report, the report's own included.

What is encoded here has no more, what is read here may have no more, and the receiver takes that
many: so a report that was built is never refused. Each Python version can read it back.
"""


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


def has_infinity(value: object) -> bool:
    """Return whether a number is out of range; `parse_json` would return it as a string."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, (dict, list)):
            inner = value.values() if isinstance(value, dict) else value
            pending += [item for item in inner if isinstance(item, (dict, list, float))]
        elif isinstance(value, float) and math.isinf(value):
            return True
    return False


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


def encode_json(value: object, limit: int | None = None, *, at_once: bool = False) -> bytes:
    """
    Encode as JSON in ASCII, of no more than `MAX_DEPTH` levels.

    What JSON cannot say has its obvious form in it: the fields of a dataclass, the text of a date,
    the name of an object. What is nested deeper is named. Nothing that a value's methods raise
    comes out. A large value is encoded in pieces, between which other threads can run.

    Args:
        value: Any value.
        limit: Bytes after which to stop.
        at_once: Whether the value is known to be small, so that it need not be weighed.

    Raises:
        OverLimitError: There are more than `limit` bytes.
    """
    encoded = _encode_small(value) if at_once or is_small(value) else None
    if encoded is None:
        return within_stack(lambda depth: encode_in_pieces(sanitize(value, depth), limit))
    if limit is not None and len(encoded) > limit:
        raise OverLimitError
    return encoded


def sanitize(value: object, depth: int = MAX_DEPTH) -> Any:
    """Return a value as a tree that JSON can say, of no more than so many levels."""
    return JsonSanitizer(depth).sanitize(value)


def within_stack(work: Callable[[int], T]) -> T:
    """
    Do work with as many levels as the stack has room for: `MAX_DEPTH`, half of it, and so on.

    Python 3.11 counts each level of JSON that its C code writes as a frame of the stack.
    """
    depth = MAX_DEPTH
    while True:
        try:
            return work(depth)
        except RecursionError:
            if not depth:
                raise
            depth //= 2


def copy_json(value: object) -> tuple[Any, int]:
    """Return what reading the value's JSON would give, and the bytes of memory that it takes."""
    snapshot = Snapshot(value)
    return snapshot.read(), snapshot.size


class Snapshot:
    """A value as it was, for later: the JSON of a small one, a copy of a large one."""

    __slots__ = ("_copy", "_json", "size")

    def __init__(self, value: object) -> None:
        self._copy: Any = None
        self._json = _encode_small(value) if is_small(value) else None
        if self._json is None:
            sanitizer = JsonSanitizer(MAX_DEPTH)
            self._copy, self.size = sanitizer.sanitize(value), sanitizer.size
        else:
            self.size = len(self._json)

    def read(self) -> Any:
        """Return the value as JSON has it."""
        return self._copy if self._json is None else parse_json(self._json)


def _encode_small(value: object) -> bytes | None:
    """Encode a small value as it is; None if it has to be looked through."""
    try:
        encoded = encode_at_once(value)
    except Exception:  # noqa: BLE001 - what JSON cannot say, and whatever the value's methods do
        return None
    if encoded.count(b"[") + encoded.count(b"{") > MAX_DEPTH and is_too_deep(value):
        return None
    return encoded
