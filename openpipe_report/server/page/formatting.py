"""Numbers, times and sizes as the pages show them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_NONE = "\N{EN DASH}"
_SECOND = 1_000
_MINUTE = 60_000
_KIB = 1_024


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
    """Return US dollars with three digits that count, at least cents."""
    if dollars is None:
        return _NONE
    if dollars == 0 or abs(dollars) >= 1:
        return f"${dollars:,.2f}"
    return f"${dollars:.3g}" if abs(dollars) < 1e-4 else f"${dollars:.4f}"  # noqa: PLR2004


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


FILTERS: dict[str, Callable[..., Any]] = {
    "iso": to_iso,
    "utc": to_utc,
    "duration": to_duration,
    "count": to_count,
    "cost": to_cost,
    "size": to_size,
}
"""The filters of the templates, by name."""
