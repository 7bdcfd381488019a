"""The filter that a bar or a legend entry of a chart stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openpipe_report.server.charts.timeline import Group, Timeline

_CONDITIONS = {
    "model": "model",
    "request_model": "model",
    "response_model": "model",
    "endpoint": "endpoint",
    "status": "status",
    "failed": "error",
    "trace_id": "trace",
}
_OF_LABEL = "metadata."


def condition_of_group(by: str | None, group: Group) -> tuple[str, str] | None:
    """Return the query parameter that finds the reports of a group; None if there is none."""
    if by is None or group.is_others or group.value is None:
        return None
    name = by if by.startswith(_OF_LABEL) else _CONDITIONS.get(by)
    if name is None or (group.value == "" and not by.startswith(_OF_LABEL)):
        return None
    value = group.value
    return name, str(bool(value)).lower() if name == "error" else str(value)


def conditions_of_time(timeline: Timeline, time: int) -> tuple[tuple[str, str], ...]:
    """Return the query parameters that find the reports of a time bucket."""
    return (("since", str(time)), ("until", str(time + timeline.length)))
