"""The filters of every command that reads, exports or erases reports, as options."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

_DOES_NOT_READ = "must be a name, = and a value, such as user=u-42"


def read_conditions(
    *,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            show_default=False,
            help="Not before this: an age such as 30m, 1h or 7d, or 2026-11-30 or "
            "2026-11-30T08:00 in local time.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", show_default=False, help="Before this; as --since."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="The model that was asked for, or the one that answered.",
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", show_default=False, help="Such as chat/completions; span for spans."
        ),
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            metavar="STATUS", show_default=False, help="A status, or a class such as 5xx."
        ),
    ] = None,
    error: Annotated[
        bool | None,
        typer.Option(
            "--error/--no-error",
            show_default=False,
            help="Only calls that failed, or only others.",
        ),
    ] = None,
    grep: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            show_default=False,
            help="Words in prompt, answer, tool arguments or error, in any order.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            show_default=False,
            help="The value of a label; may be repeated, all must hold.",
        ),
    ] = None,
    trace: Annotated[
        str | None, typer.Option(metavar="ID", show_default=False, help="A trace id.")
    ] = None,
    project: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="A project.")
    ] = None,
    min_cost: Annotated[
        float | None,
        typer.Option(min=0, metavar="USD", show_default=False, help="At least this cost."),
    ] = None,
    min_ms: Annotated[
        float | None,
        typer.Option(min=0, metavar="MS", show_default=False, help="At least this duration."),
    ] = None,
) -> Mapping[str, str]:
    """Return the conditions as the API's parameters by name; those not given are left out."""
    given = {
        "since": _time("--since", since),
        "until": _time("--until", until),
        "model": model,
        "endpoint": endpoint,
        "status": status,
        "error": None if error is None else str(error).lower(),
        "text": grep,
        "trace": trace,
        "project": project,
        "min_cost": None if min_cost is None else str(min_cost),
        "min_ms": None if min_ms is None else str(min_ms),
    }
    conditions = {name: value for name, value in given.items() if value is not None}
    return {**conditions, **_labels(where or [])}


def _time(option: str, text: str | None) -> str | None:
    """Return a time in Unix milliseconds, so that an age means the same in every query."""
    if text is None:
        return None
    from openpipe_report.server.times import read_time  # noqa: PLC0415 - slow to import

    try:
        return str(max(int(read_time(text, zone=None)), 0))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _labels(pairs: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise typer.BadParameter(_DOES_NOT_READ, param_hint="--where")
        if f"metadata.{name}" in found:
            raise typer.BadParameter(f"gives the label {name} twice", param_hint="--where")
        found[f"metadata.{name}"] = value
    return found
