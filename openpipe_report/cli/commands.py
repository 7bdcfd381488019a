"""The commands of the command line. Each imports what it needs when it runs, to start quickly."""

from __future__ import annotations

from typing import Annotated

import typer

from openpipe_report._version import VERSION
from openpipe_report.cli.backup import backup
from openpipe_report.cli.command_group import CommandGroup
from openpipe_report.cli.copy import copy
from openpipe_report.cli.doctor import doctor
from openpipe_report.cli.erase import erase, prune
from openpipe_report.cli.export import export
from openpipe_report.cli.keys import keys
from openpipe_report.cli.logs import logs
from openpipe_report.cli.reprice import reprice
from openpipe_report.cli.resend import resend
from openpipe_report.cli.serve import serve
from openpipe_report.cli.show import show
from openpipe_report.cli.stats import stats

commands = typer.Typer(
    name="openpipe-report",
    cls=CommandGroup,
    help="Record every OpenAI call of your programs in a database of your own.",
    epilog="Start with `openpipe-report serve`; it prints the setting for your program.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # its boxes crop names on a narrow terminal
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        typer.echo(f"openpipe-report {VERSION}")
        raise typer.Exit


@commands.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Accept the options that come before a command."""


for command in (
    serve,
    logs,
    show,
    stats,
    export,
    reprice,
    backup,
    prune,
    erase,
    copy,
    resend,
    doctor,
):
    commands.command()(command)
commands.add_typer(keys)
