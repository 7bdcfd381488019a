"""
JSON that stands in a report as it crossed the wire: it is read, and not written anew.

Writing JSON takes three times as long as reading it. Only strict JSON qualifies (RFC 8259 in UTF-8,
numbers within the range of a double, no lone surrogate, at most 200 levels); anything else is read
and written by `json_codec`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from openpipe_report._report.json_codec import encode_json, has_infinity

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class SentJson:
    """The JSON of one payload."""

    body: bytes
    """Strict JSON, as it was sent or received."""
    metadata: Mapping[str, Any] | None = None
    """Labels that are added to an object which has no member of this name."""

    def read(self) -> Any:
        """Decode the payload again."""
        value = read_strictly(self.body)
        return {**value, "metadata": self.metadata} if self.metadata else value

    def pieces(self) -> list[bytes | memoryview]:
        """Return the JSON in pieces to be joined."""
        if not self.metadata:
            return [self.body]
        end = self.body.rindex(b"}")
        begin = memoryview(self.body)[:end]
        mark = b"," if self.body.find(b":", 0, end) >= 0 else b""
        return [begin, mark, b'"metadata":', encode_json(self.metadata), b"}"]


def read_strictly(body: bytes) -> Any:
    """
    Decode JSON.

    Raises:
        ValueError: It is not strict JSON.
    """
    value = from_json(body, allow_inf_nan=False)
    if has_infinity(value):  # 1e400
        raise ValueError("a number is out of range")
    return value


def join_sent(wire: Mapping[str, Any], sent: Mapping[str, SentJson], limit: int) -> bytes | None:
    """
    Encode a report around the payloads that stand in it as they were sent.

    Args:
        wire: The report as `Report.to_wire()` gives it; at least one field is not in `sent`.
        sent: Such payloads, by the names of their fields.
        limit: Bytes.

    Returns:
        The JSON; None if it has more than `limit` bytes.

    Raises:
        OverLimitError: The rest alone has more.
    """
    if sum(len(payload.body) for payload in sent.values()) > limit:
        return None
    rest = encode_json({name: value for name, value in wire.items() if name not in sent}, limit)
    pieces: list[bytes | memoryview] = [memoryview(rest)[:-1]]
    for name, payload in sent.items():
        pieces += [b',"%b":' % name.encode(), *payload.pieces()]
    pieces.append(b"}")
    body = b"".join(pieces)
    return body if len(body) <= limit else None
