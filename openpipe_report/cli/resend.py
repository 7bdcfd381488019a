"""The command `resend`, which delivers the reports of a spool and prints the outcome."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from openpipe_report.cli.options import ApiKey, BaseUrl, fail, load_settings_with

if TYPE_CHECKING:
    from collections.abc import Generator

    from openpipe_report._settings import Settings
    from openpipe_report._spool.file import SpoolFile
    from openpipe_report.cli.resending import FoundFiles


def resend(
    *,
    spool: Annotated[
        Path | None,
        typer.Option(
            envvar="OPENPIPE_REPORT_SPOOL", show_default=False, help="The spool's folder."
        ),
    ] = None,
    dead: Annotated[
        bool, typer.Option("--dead", help="Send dead letters, too: rejected or given up before.")
    ] = False,
    adopt: Annotated[
        bool,
        typer.Option("--adopt", help="Send what lies there for other servers or keys to this one."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --adopt.")] = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """
    Deliver the reports of a spool for the server and key in force.

    Each report is tried once. Reports of running processes are left to them. Exits with 0 only if
    no report for this server and key is left; dead letters count only with --dead, those for
    others only with --adopt.
    """
    settings = load_settings_with(base_url=base_url, api_key=api_key)
    if spool is None:
        fail("no spool is given: use --spool or set OPENPIPE_REPORT_SPOOL")
    spool = spool.expanduser()
    if spool.is_file():
        fail(f"{spool} is a file: give the spool's folder with --spool")
    if not spool.is_dir():
        fail(f"there is no spool {spool}: give the folder that your program uses with --spool")
    with _spool_errors(spool):
        from openpipe_report.cli.resending import find_files  # noqa: PLC0415

        found = find_files(spool, settings)
        try:
            adopted = _ask_to_adopt(found, settings, yes=yes) if adopt else []
            is_left = _resend(found, adopted, settings, dead=dead)
        finally:
            found.close()
    if is_left:
        raise typer.Exit(1)


def _ask_to_adopt(found: FoundFiles, settings: Settings, *, yes: bool) -> list[SpoolFile]:
    if found.others:
        _print_others(found, settings, "")
        question = f"Send all of them to {settings.report_url}?"
        if not yes and not typer.confirm(question, err=True):
            raise typer.Exit(1)
    return found.others


def _resend(found: FoundFiles, adopted: list[SpoolFile], settings: Settings, *, dead: bool) -> bool:
    """Send, and print what became of it; return whether anything is left."""
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.progress import Progress  # noqa: PLC0415

    from openpipe_report.cli.resending import Resending, total  # noqa: PLC0415

    files = [*found.mine, *adopted]
    waiting, dead_letters = total(files)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Sending", total=waiting + (dead_letters if dead else 0))
        resending = Resending(settings, lambda: progress.advance(task))
        resending.run(files, dead_letters=dead)
    typer.echo(f"Delivered {resending.delivered} report(s) to {settings.report_url}.")
    for reason, count in resending.failed.items():
        typer.echo(f"Not delivered: {count} ({reason}).")
    for reason, count in resending.rejected.items():
        typer.echo(f"Rejected: {count} ({reason}).")
    waiting, dead_letters = total(files)
    if found.in_use:
        typer.echo(f"Running processes are about to deliver {found.in_use} more file(s).")
    if waiting:
        typer.echo(f"Still to be delivered: {waiting}; run this command again later.")
    if dead_letters:
        typer.echo(
            f"Dead letters: {dead_letters}" + ("." if dead else "; --dead sends them again.")
        )
    for problem in found.problems:
        typer.echo(f"Not read: {problem}.")
    if not adopted:
        _print_others(found, settings, ": give --base-url and its key to send them, or --adopt.")
    is_left = waiting or found.in_use or found.problems or resending.rejected
    return bool(is_left or (dead and dead_letters))


def _print_others(found: FoundFiles, settings: Settings, remedy: str) -> None:
    for line in found.others_by_url(settings):
        typer.echo(line + remedy)


@contextmanager
def _spool_errors(spool: Path) -> Generator[None]:
    from openpipe_report._delivery.connections import CannotConnectError  # noqa: PLC0415
    from openpipe_report._spool.locked_database import SpoolError  # noqa: PLC0415

    try:
        yield
    except (SpoolError, CannotConnectError) as error:
        fail(str(error))
    except (sqlite3.Error, OSError) as error:
        fail(f"cannot use {spool} ({error}): check the folder, its permissions, and disk space")
