"""Options that several commands share, the settings made of them, and how a command fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from openpipe_report._environment import Problem
    from openpipe_report._settings import Settings

DEFAULT_DB = "openpipe-reports.db"
USAGE = 2
"""Exit status after a wrong option."""

Db = Annotated[
    str,
    typer.Option(
        "--db",
        metavar="FILE",
        envvar="OPENPIPE_REPORT_DB",
        help="The SQLite file that holds the reports, or the URL of another database.",
    ),
]
Prices = Annotated[
    Path | None,
    typer.Option(
        "--prices",
        show_default=False,
        help="A JSON file of your own prices by model, which win over those of genai-prices.",
    ),
]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", help="Overrides OPENPIPE_BASE_URL.", show_default=False)
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        show_default=False,
        help="Overrides OPENPIPE_API_KEY. Prefer the variable: other users of this machine can "
        "read a command line.",
    ),
]


def read_settings_with(
    *, base_url: str | None, api_key: str | None
) -> tuple[Settings, list[Problem]]:
    """Read the settings from the environment and these options; exit with 1 if one is invalid."""
    from openpipe_report._environment import read_settings  # noqa: PLC0415 - slow to import
    from openpipe_report._errors import SettingsError  # noqa: PLC0415

    try:
        return read_settings(os.environ, {"base_url": base_url, "api_key": api_key})
    except SettingsError as error:
        fail(str(error))


def load_settings_with(*, base_url: str | None, api_key: str | None) -> Settings:
    """Like `read_settings_with()`, and exit with 1 if a variable turns reporting off."""
    settings, problems = read_settings_with(base_url=base_url, api_key=api_key)
    if wrong := "; ".join(str(problem) for problem in problems if problem.turns_off):
        fail(wrong)
    return settings


def fail(message: str, status: int = 1) -> NoReturn:
    """Print an error message in one line on stderr and exit with a status."""
    shown = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in message)
    typer.echo(f"Error: {shown}", err=True)
    raise typer.Exit(status)
