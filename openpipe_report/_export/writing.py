"""What a format writes its items with, and lines of JSON, which most formats are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from openpipe_report._report.json_codec import encode_json

if TYPE_CHECKING:

    class Sink(Protocol):
        """Where bytes go: a file that is open for binary writing, or a pipe."""

        def write(self, content: bytes, /) -> object: ...


class Writer(Protocol):
    """Writes the items of one format to one sink."""

    def write(self, value: Any, /) -> None:
        """Write one item, or keep it until there are enough."""

    def close(self) -> None:
        """Write what is left; the sink stays open."""


class LineWriter:
    """Writes each item as a line of JSON in ASCII, in which every text can be written."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, value: Any) -> None:
        """Write a line."""
        self._sink.write(encode_line(value))

    def close(self) -> None:
        """Do nothing: each line is whole."""


def encode_line(value: object) -> bytes:
    """Return a value as a line of JSON."""
    return encode_text(value).encode("ascii") + b"\n"


def encode_text(value: object) -> str:
    """Return a value as JSON in ASCII."""
    try:
        return json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError):  # what this Python cannot write as it is
        return encode_json(value).decode("ascii")
