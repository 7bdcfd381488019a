"""The commands that look after delivery: `resend` and `doctor`."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Generator

    from openpipe_report._settings import Settings
    from openpipe_report._spool.file import SpoolFile
    from openpipe_report._spool.rows import Destination, Holding

BaseUrl = Annotated[
    str | None, typer.Option("--base-url", help="Instead of OPENPIPE_BASE_URL.", show_default=False)
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        show_default=False,
        help="Instead of OPENPIPE_API_KEY; that is better, since others on this machine can read "
        "a command line.",
    ),
]


def resend(
    *,
    spool: Annotated[
        Path | None,
        typer.Option(envvar="OPENPIPE_REPORT_SPOOL", show_default=False, help="The spool's file."),
    ] = None,
    dead: Annotated[
        bool, typer.Option("--dead", help="Try what was rejected or given up, too.")
    ] = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """
    Deliver what a spool holds for the server and key in force.

    Each report is tried once. What running processes are about to deliver is left to them. Exits
    with 0 only if nothing is left for this server and key; dead letters count with --dead only.
    """
    settings = _settings(base_url=base_url, api_key=api_key)
    if spool is None:
        fail("which spool? Give --spool, or set OPENPIPE_REPORT_SPOOL")
    spool = spool.expanduser()
    if spool.is_dir():
        fail(f"{spool} is a folder: give the spool's file with --spool")
    if not spool.is_file():
        fail(f"there is no spool {spool}: give the file of your programs' setting with --spool")
    with _spool_errors(spool):
        from openpipe_report._spool.file import SpoolFile  # noqa: PLC0415

        _resend(SpoolFile(spool), settings, dead=dead)


def _resend(file: SpoolFile, settings: Settings, *, dead: bool) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.progress import Progress  # noqa: PLC0415

    from openpipe_report.cli.resend import Resending  # noqa: PLC0415

    key = settings.api_key.get_secret_value() if settings.api_key else None
    there = file.destination(settings.report_url.removesuffix("/report"), key)
    waiting, _, letters = _held_for(there, file)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Sending", total=waiting + (letters if dead else 0))
        resending = Resending(file, settings, there, lambda: progress.advance(task))
        resending.run(dead_letters=dead)
    typer.echo(f"Delivered {len(resending.delivered)} report(s) to {settings.report_url}.")
    for reason, count in resending.failed.items():
        typer.echo(f"Not delivered: {count} ({reason}).")
    for reason, count in Counter(reason for _, reason in resending.buried).items():
        typer.echo(f"Rejected: {count} ({reason}).")
    waiting, held, letters = _held_for(there, file)
    if held:
        typer.echo(f"Running processes are about to deliver {held} more.")
    if waiting:
        typer.echo(f"Still waiting: {waiting}; try again later.")
    if letters:
        typer.echo(f"Dead letters: {letters}" + ("." if dead else "; --dead tries them again."))
    _name_others(there, file)
    file.leave()
    if waiting or held or resending.buried or (dead and letters):
        raise typer.Exit(1)


def _held_for(there: Destination, file: SpoolFile) -> tuple[int, int, int]:
    for one in _holdings(file):
        if one.destination == there:
            return one.waiting, one.held, one.dead
    return 0, 0, 0


def _name_others(there: Destination, file: SpoolFile) -> None:
    for one in _holdings(file):
        if one.destination != there:
            count = one.waiting + one.held + one.dead
            typer.echo(
                f"The spool also holds {count} report(s) for {one.destination.base_url}"
                + (" with another key" if one.destination.base_url == there.base_url else "")
                + ": give --base-url and its key to send them."
            )


def _holdings(file: SpoolFile) -> list[Holding]:
    with file.rows() as rows:
        return rows.holdings()


@contextmanager
def _spool_errors(spool: Path) -> Generator[None]:
    from openpipe_report._delivery.transport import CannotConnectError  # noqa: PLC0415
    from openpipe_report._spool.schema import SpoolError, is_corrupt  # noqa: PLC0415

    try:
        yield
    except (SpoolError, CannotConnectError) as error:
        fail(str(error))
    except (sqlite3.Error, OSError) as error:
        remedy = "it is damaged; keep it, and let your program begin a new one"
        if "not a database" in str(error):
            remedy = "it is no spool"
        elif not is_corrupt(error):
            remedy = "check its folder, rights and disk space, and who uses it"
        fail(f"cannot use {spool} ({error}): {remedy}")


def doctor(
    *,
    send: Annotated[bool, typer.Option("--send", help="Post one test report.")] = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """
    Show the settings in force and where they come from, and say what is wrong.

    Exits with 0 only if reporting is on and, with --send, the test report was taken.
    """
    from openpipe_report.cli import doctor as diagnosis  # noqa: PLC0415 - slow to import

    typer.echo(diagnosis.versions())
    settings = _settings(base_url=base_url, api_key=api_key)
    given = {"base_url": base_url, "api_key": api_key}
    rows = diagnosis.describe_settings(settings, given)
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, source in rows:
        typer.echo(f"  {name:<{widths[0]}}  {value:<{widths[1]}}  {source}")
    if problem := diagnosis.why_off(settings):
        typer.echo(f"Reporting is off: {problem}")
        raise typer.Exit(1)
    typer.echo(f"Reporting is on, to {settings.report_url}")
    if proxy := diagnosis.proxy_in_use(settings):
        typer.echo(f"through the proxy {proxy}, as the environment says.")
    if not send:
        typer.echo("Nothing was sent; --send posts a test report.")
    elif problem := diagnosis.send_test(settings):
        typer.echo(f"The test report was not delivered: {problem}")
        raise typer.Exit(1)
    else:
        typer.echo("The server took the test report.")


def _settings(*, base_url: str | None, api_key: str | None) -> Settings:
    from openpipe_report._errors import SettingsError  # noqa: PLC0415
    from openpipe_report._settings import load_settings  # noqa: PLC0415

    try:
        return load_settings(os.environ, {"base_url": base_url, "api_key": api_key})
    except SettingsError as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """Say what went wrong, and end with 1."""
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(1)
