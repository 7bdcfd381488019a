"""
The columns of the formats that are tables, and their values, whatever a row has in their place.

The labels are one column of JSON, as their names are not known before the last row; those of
feedback have columns of their own.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from openpipe_report._export.writing import encode_text
from openpipe_report._report.feedback_labels import COMMENT, CORRECTED, FEEDBACK
from openpipe_report._report.json_values import get_object, get_real

if TYPE_CHECKING:
    from openpipe_report._export.calls import Row

    Kind = Literal["integer", "real", "boolean", "text", "time"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MAX_INTEGER = 2**63 - 1
_MAX_TIME = 253_402_300_799_999  # the last millisecond of the year 9999


class Column(NamedTuple):
    """A column of a table."""

    name: str
    kind: Kind


COLUMNS = (
    Column("id", "integer"),
    Column("project", "text"),
    Column("stored_at", "time"),
    Column("at", "time"),
    Column("idempotency_key", "text"),
    Column("requested_at", "time"),
    Column("duration_ms", "real"),
    Column("first_byte_ms", "real"),
    Column("endpoint", "text"),
    Column("request_model", "text"),
    Column("response_model", "text"),
    Column("completion_id", "text"),
    Column("status", "integer"),
    Column("failed", "boolean"),
    Column("error", "text"),
    Column("finish_reason", "text"),
    Column("streamed", "boolean"),
    Column("span_name", "text"),
    Column("trace_id", "text"),
    Column("span_id", "text"),
    Column("parent_span_id", "text"),
    Column("prompt_tokens", "integer"),
    Column("completion_tokens", "integer"),
    Column("total_tokens", "integer"),
    Column("cached_tokens", "integer"),
    Column("cache_write_tokens", "integer"),
    Column("reasoning_tokens", "integer"),
    Column("service_tier", "text"),
    Column("cost", "real"),
    Column("price_date", "text"),
    Column("price_source", "text"),
)
"""The columns of a stored report, in the order of the API."""

LABEL_COLUMNS = tuple(Column(name, "text") for name in (FEEDBACK, COMMENT, CORRECTED, "metadata"))
"""The labels of feedback, and all labels as a JSON object."""


def read_values(row: Row) -> dict[str, Any]:
    """Return the values of all columns; one of another type is None. Times are in UTC."""
    labels = get_object(row.get("metadata"))
    values = {name: _READERS[kind](row.get(name)) for name, kind in COLUMNS}
    for name in (FEEDBACK, COMMENT, CORRECTED):
        values[name] = _read_text(labels.get(name))
    values["metadata"] = encode_text(labels)
    return values


def _read_integer(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) <= _MAX_INTEGER else None


def _read_boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _read_text(value: object) -> str | None:
    """Return a text that UTF-8 can write."""
    if not isinstance(value, str):
        return None
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _read_time(value: object) -> datetime | None:
    milliseconds = get_real(value)
    if milliseconds is None or not 0 <= milliseconds <= _MAX_TIME:
        return None
    return _EPOCH + timedelta(milliseconds=int(milliseconds))


_READERS = {
    "integer": _read_integer,
    "real": get_real,
    "boolean": _read_boolean,
    "text": _read_text,
    "time": _read_time,
}
