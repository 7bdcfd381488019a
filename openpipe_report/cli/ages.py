"""Reads options that are an age, such as `30d`."""

from __future__ import annotations

import typer


def read_age_option(option: str, text: str) -> float:
    """Return an age in seconds; a wrong or an empty one is an error of usage."""
    from openpipe_report.server.times import read_age  # noqa: PLC0415 - slow to import

    try:
        age = read_age(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    if not age:
        raise typer.BadParameter("must be more than nothing", param_hint=option)
    return age
