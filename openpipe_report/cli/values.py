"""The values of a report as people read them."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openpipe_report._reading import Row

_SECOND = 1_000
_SHORT_ID, _LONGEST_ID = 8, 12


def get_model(row: Row) -> str | None:
    """Return the model that answered, or else the one that was asked for."""
    model: str | None = row["response_model"] or row["request_model"]
    return model


def local_time(milliseconds: float, *, seconds: bool = True) -> str:
    """Return Unix milliseconds in local time, with the year unless it is this one."""
    try:
        local = datetime.fromtimestamp(milliseconds / _SECOND, timezone.utc).astimezone()
    except (ValueError, OverflowError, OSError):
        return f"{milliseconds:.10g} ms"
    this_year = local.year == datetime.now(timezone.utc).year
    day = local.strftime("%m-%d" if this_year else "%Y-%m-%d")
    return f"{day} {local.strftime('%H:%M:%S' if seconds else '%H:%M')}"


def utc_time(milliseconds: float) -> str:
    """Return Unix milliseconds as ISO 8601 in UTC."""
    try:
        moment = datetime.fromtimestamp(milliseconds / _SECOND, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return f"{milliseconds:.10g} ms"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_duration(milliseconds: float | None) -> str:
    """Return a duration in milliseconds or seconds."""
    if milliseconds is None:
        return "-"
    if abs(milliseconds) < _SECOND:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / _SECOND:.5g} s"


def format_cost(dollars: float | None) -> str:
    """Return US dollars, to a millionth."""
    return "-" if dollars is None else f"${dollars:,.6f}"


def format_tokens(row: Row) -> str:
    """Return the tokens of prompt and answer, as `12+34`."""
    counts = (row["prompt_tokens"], row["completion_tokens"])
    known = [str(count) for count in counts if count is not None]
    if not known and row["total_tokens"] is not None:
        return str(row["total_tokens"])
    return "+".join(known) or "-"


def format_labels(row: Row) -> str:
    """Return the error of a report and its labels; controls are not escaped."""
    shown = [f"{name}={format_label(value)}" for name, value in row["metadata"].items()]
    if row["error"] is not None:
        shown.insert(0, f"! {row['error']}")
    return "  ".join(shown)


def format_label(value: Any) -> str:
    """Return the value of a label."""
    return value if isinstance(value, str) else json.dumps(value)


def shorten_id(name: str) -> str:
    """Return the first characters of a long id."""
    return name if len(name) <= _LONGEST_ID else name[:_SHORT_ID]
