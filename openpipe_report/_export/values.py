"""Reads values of a known type out of any JSON."""

from __future__ import annotations

from typing import Any, cast

from openpipe_report._export.reasons import LeftOutError, Reason

Json = dict[str, Any]


def get_text(value: object) -> str | None:
    """Return a string as it is, and None for any other value."""
    return value if isinstance(value, str) else None


def need_object(value: object) -> Json:
    """Return an object, or leave the report out."""
    if not isinstance(value, dict):
        raise LeftOutError(Reason.UNREADABLE)
    return cast("Json", value)


def need_list(value: object) -> list[Any]:
    """Return an array, or leave the report out."""
    if not isinstance(value, list):
        raise LeftOutError(Reason.UNREADABLE)
    return value


def need_text(value: object) -> str:
    """Return a string, or leave the report out."""
    if not isinstance(value, str):
        raise LeftOutError(Reason.UNREADABLE)
    return value


def pick(value: Json, *names: str) -> Json:
    """Return the members with these names that are not null."""
    return {name: value[name] for name in names if value.get(name) is not None}
