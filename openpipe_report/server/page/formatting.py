"""Numbers, times and sizes as the pages show them."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from openpipe_report.server.store.labels import to_string

if TYPE_CHECKING:
    from collections.abc import Callable

_SYMBOLS = {code: 0x2400 + code for code in range(32)}
_NONE = "\N{EN DASH}"
_SECOND = 1_000
_MINUTE = 60_000
_KIB = 1_024
_LEAST_COST = 0.0001


def to_iso(milliseconds: float) -> str:
    """Return Unix time in milliseconds as ISO 8601 in UTC, for `<time datetime>`."""
    return _to_datetime(milliseconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_utc(milliseconds: float) -> str:
    """Return Unix time in milliseconds as a date and time that says UTC."""
    return f"{_to_datetime(milliseconds):%Y-%m-%d %H:%M:%S} UTC"


def to_duration(milliseconds: float | None) -> str:
    """Return milliseconds in the unit that fits."""
    if milliseconds is None:
        return _NONE
    if abs(milliseconds) < _SECOND:
        return f"{milliseconds:.0f} ms"
    if abs(milliseconds) < _MINUTE:
        return f"{milliseconds / _SECOND:.2f} s"
    return f"{milliseconds / _MINUTE:,.1f} min"


def to_count(number: float | None) -> str:
    """Return a whole number with separators."""
    return _NONE if number is None else f"{number:,}"


def to_cost(dollars: float | None) -> str:
    """Return US dollars: cents, or four digits below a dollar."""
    if dollars is None:
        return _NONE
    if dollars == 0 or abs(dollars) >= 1:
        return f"${dollars:,.2f}"
    return "<$0.0001" if 0 < dollars < _LEAST_COST else f"${dollars:.4f}"


def to_size(count: int) -> str:
    """Return bytes or characters in KiB or MiB."""
    if count < _KIB:
        return f"{count} B"
    if count < _KIB * _KIB:
        return f"{count / _KIB:,.0f} KiB"
    return f"{count / _KIB / _KIB:,.1f} MiB"


def _to_datetime(milliseconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(milliseconds / _SECOND, timezone.utc)
    except (OverflowError, ValueError, OSError):  # a client's clock may say anything
        return datetime.fromtimestamp(0, timezone.utc)


def to_value(value: object) -> str:
    """Return a value on one line: a string as it is, another as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def to_short(text: object, longest: int) -> str:
    """Return the first characters of a text; control characters are shown as symbols."""
    found = str(text)
    kept = found if len(found) <= longest else f"{found[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"
    return kept.translate(_SYMBOLS)


def is_web(url: str) -> bool:
    """Whether a URL is one of the web."""
    return url.lower().startswith(("http://", "https://"))


FILTERS: dict[str, Callable[..., Any]] = {
    "iso": to_iso,
    "utc": to_utc,
    "duration": to_duration,
    "count": to_count,
    "cost": to_cost,
    "size": to_size,
    "value": to_value,
    "label": to_string,
    "short": to_short,
    "is_web": is_web,
}
"""The filters of the templates, by name."""
