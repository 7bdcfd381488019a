"""
Reads a point in time as a person or a program writes it in a query.

    1700000000000                    Unix time in milliseconds
    2026-11-30, 2026-11-30T08:00Z    ISO 8601; in the API UTC where no offset is given
    90s, 30m, 1h, 7d, 2w             so long ago
"""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone, tzinfo

from pydantic import TypeAdapter, ValidationError

FORMS = "Unix milliseconds, an ISO 8601 time, or an age such as 30m, 1h or 7d"

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_MILLISECONDS = re.compile(r"[0-9]{1,15}")
_AGE = re.compile(r"([0-9]{1,6})([smhdw])")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*")
_LOST_PLUS = re.compile(r"(.*[0-9]:[0-9]{2}\S*) ([0-9]{2}:?[0-9]{2})")
_READER = TypeAdapter(datetime)


def read_age(text: str) -> float:
    """
    Return the seconds of an age such as `30d`.

    Raises:
        ValueError: The text has another form.

    """
    age = _AGE.fullmatch(text)
    if age is None:
        raise ValueError("must be a number and s, m, h, d or w, such as 30d")
    return float(int(age[1]) * _UNITS[age[2]])


def read_time(text: str, zone: tzinfo | None = timezone.utc) -> float:
    """
    Return Unix time in milliseconds.

    Args:
        text: The time as it is written.
        zone: Of a time without an offset; None for local time.

    Raises:
        ValueError: The text has none of the forms.

    """
    if _MILLISECONDS.fullmatch(text):
        return float(text)
    if _AGE.fullmatch(text):
        return time.time() * 1_000 - read_age(text) * 1_000
    if not _DATE.fullmatch(text):
        raise ValueError(f"must be {FORMS}")
    # A + that is not escaped in a URL is a space.
    text = _LOST_PLUS.sub(r"\1+\2", text)
    try:
        found = _READER.validate_python(text)
    except ValidationError:
        raise ValueError(f"must be {FORMS}") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=zone)
    try:
        return found.timestamp() * 1_000
    except (OverflowError, OSError):  # a local time that this machine cannot compute
        raise ValueError(f"must be {FORMS}") from None
