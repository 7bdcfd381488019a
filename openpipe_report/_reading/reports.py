"""read_reports(): stored reports in memory, as dicts or as a table of pandas."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, overload

from openpipe_report._reading.opening import open_source

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from pandas import DataFrame

    from openpipe_report._reading.source import Row

    Time = str | float | datetime


@overload
def read_reports(
    location: str | os.PathLike[str],
    *,
    where: Mapping[str, str | float | bool] | None = None,
    since: Time | None = None,
    until: Time | None = None,
    model: str | None = None,
    endpoint: str | None = None,
    status: int | str | None = None,
    error: bool | None = None,
    text: str | None = None,
    trace: str | None = None,
    project: str | None = None,
    min_cost: float | None = None,
    min_ms: float | None = None,
    limit: int | None = None,
    payloads: bool = True,
    api_key: str | None = None,
    as_frame: Literal[False] = False,
) -> list[dict[str, Any]]: ...


@overload
def read_reports(
    location: str | os.PathLike[str],
    *,
    where: Mapping[str, str | float | bool] | None = None,
    since: Time | None = None,
    until: Time | None = None,
    model: str | None = None,
    endpoint: str | None = None,
    status: int | str | None = None,
    error: bool | None = None,
    text: str | None = None,
    trace: str | None = None,
    project: str | None = None,
    min_cost: float | None = None,
    min_ms: float | None = None,
    limit: int | None = None,
    payloads: bool = True,
    api_key: str | None = None,
    as_frame: Literal[True],
) -> DataFrame: ...


def read_reports(
    location: str | os.PathLike[str],
    *,
    where: Mapping[str, str | float | bool] | None = None,
    since: Time | None = None,
    until: Time | None = None,
    model: str | None = None,
    endpoint: str | None = None,
    status: int | str | None = None,
    error: bool | None = None,
    text: str | None = None,
    trace: str | None = None,
    project: str | None = None,
    min_cost: float | None = None,
    min_ms: float | None = None,
    limit: int | None = None,
    payloads: bool = True,
    api_key: str | None = None,
    as_frame: bool = False,
) -> Any:
    """
    Read stored reports, the oldest first.

        read_reports("openpipe-reports.db", where={"user": "u-42"}, since="7d", error=False)

    Args:
        location: The path of a database file, or the URL of a database; either needs the extra
            `server`. Or the URL of a receiver (`http://127.0.0.1:8417`), which needs no extra.
        where: Values of labels by name, all of which must hold.
        since: Not before this: an age such as `"1h"` or `"7d"`, ISO 8601 (in UTC without an
            offset), Unix milliseconds, or a datetime (in local time without an offset).
        until: Before this; as `since`.
        model: The model that was asked for, or the one that answered.
        endpoint: Such as `"chat/completions"`; `"span"` for spans.
        status: A status, or a class such as `"5xx"`.
        error: Whether the call failed.
        text: Words in prompt, answer, tool arguments or error, in any order.
        trace: A trace id.
        project: The project that they belong to; all of a database by default.
        min_cost: At least so many US dollars.
        min_ms: At least so many milliseconds.
        limit: Only the newest so many.
        payloads: Whether each report has its payloads, as `report`.
        api_key: The key for a receiver that asks for one.
        as_frame: Return a pandas DataFrame.

    Returns:
        Dicts in the shape of the receiver's API: the columns by name, the labels as `metadata`, and
        the report as it was posted as `report`. In a DataFrame, columns have types, times are in
        UTC, and each label is a column `metadata.NAME`.

    Raises:
        OpenPipeError: The reports cannot be read, or a condition is wrong.
        ModuleNotFoundError: The extra `server` is needed, or pandas for `as_frame`.

    """
    given = {
        "since": _to_text(since),
        "until": _to_text(until),
        "model": model,
        "endpoint": endpoint,
        "status": _to_text(status),
        "error": _to_text(error),
        "text": text,
        "trace": trace,
        "project": project,
        "min_cost": _to_text(min_cost),
        "min_ms": _to_text(min_ms),
        **{f"metadata.{name}": _to_text(value) for name, value in (where or {}).items()},
    }
    conditions = {name: value for name, value in given.items() if value is not None}
    make_frame = _load_make_frame() if as_frame else None
    with open_source(location, api_key=api_key) as source:
        if limit is None:
            found = source.oldest_first(conditions, payloads=payloads)
        else:
            found = source.newest(limit, conditions, payloads=payloads)
        rows: list[Row] = list(found)
    return rows if make_frame is None else make_frame(rows, payloads=payloads)


def _load_make_frame() -> Callable[..., DataFrame]:
    from openpipe_report._reading.frames import make_frame  # noqa: PLC0415 - needs pandas

    return make_frame


def _to_text(value: object) -> str | None:
    """Return a value as a query parameter has it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return str(int(value.timestamp() * 1_000))
    return json.dumps(value)
