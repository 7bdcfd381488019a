"""The command `resend`, which delivers the reports of a spool and prints the outcome."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from openpipe_report.cli.options import ApiKey, BaseUrl, fail, load_settings_with

if TYPE_CHECKING:
    from collections.abc import Generator

    from openpipe_report._settings import Settings
    from openpipe_report._spool.file import SpoolFile
    from openpipe_report._spool.rows import Destination, DestinationCounts


def resend(
    *,
    spool: Annotated[
        Path | None,
        typer.Option(envvar="OPENPIPE_REPORT_SPOOL", show_default=False, help="The spool's file."),
    ] = None,
    dead: Annotated[
        bool, typer.Option("--dead", help="Send dead letters, too: rejected or given up before.")
    ] = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """
    Deliver the reports of a spool for the server and key in force.

    Each report is tried once. Reports that running processes are about to deliver are left to
    them. Exits with 0 only if no report for this server and key is left; dead letters count only
    with --dead.
    """
    settings = load_settings_with(base_url=base_url, api_key=api_key)
    if spool is None:
        fail("no spool is given: use --spool or set OPENPIPE_REPORT_SPOOL")
    spool = spool.expanduser()
    if spool.is_dir():
        fail(f"{spool} is a folder: give the spool's file with --spool")
    if not spool.is_file():
        fail(f"there is no spool {spool}: give the file that your program uses with --spool")
    with _spool_errors(spool):
        from openpipe_report._spool.file import SpoolFile  # noqa: PLC0415

        _resend(SpoolFile(spool), settings, dead=dead)


def _resend(file: SpoolFile, settings: Settings, *, dead: bool) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.progress import Progress  # noqa: PLC0415

    from openpipe_report.cli.resending import Resending  # noqa: PLC0415

    key = settings.api_key.get_secret_value() if settings.api_key else None
    destination = file.destination(settings.report_url.removesuffix("/report"), key)
    orphaned, _, dead_letters = _counts_for(destination, file)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Sending", total=orphaned + (dead_letters if dead else 0))
        resending = Resending(file, settings, destination, lambda: progress.advance(task))
        resending.run(dead_letters=dead)
    typer.echo(f"Delivered {len(resending.delivered)} report(s) to {settings.report_url}.")
    for reason, count in resending.failed.items():
        typer.echo(f"Not delivered: {count} ({reason}).")
    for reason, count in Counter(reason for _, reason in resending.rejected).items():
        typer.echo(f"Rejected: {count} ({reason}).")
    orphaned, owned, dead_letters = _counts_for(destination, file)
    if owned:
        typer.echo(f"Running processes are about to deliver {owned} more.")
    if orphaned:
        typer.echo(f"Still to be delivered: {orphaned}; run this command again later.")
    if dead_letters:
        typer.echo(
            f"Dead letters: {dead_letters}" + ("." if dead else "; --dead sends them again.")
        )
    _print_other_destinations(destination, file)
    file.release_all()
    if orphaned or owned or resending.rejected or (dead and dead_letters):
        raise typer.Exit(1)


def _counts_for(destination: Destination, file: SpoolFile) -> tuple[int, int, int]:
    for one in _read_counts(file):
        if one.destination == destination:
            return one.orphaned, one.owned, one.dead_letters
    return 0, 0, 0


def _print_other_destinations(destination: Destination, file: SpoolFile) -> None:
    for one in _read_counts(file):
        if one.destination != destination:
            count = one.orphaned + one.owned + one.dead_letters
            typer.echo(
                f"The spool also holds {count} report(s) for {one.destination.base_url}"
                + (" with another key" if one.destination.base_url == destination.base_url else "")
                + ": give --base-url and its key to send them."
            )


def _read_counts(file: SpoolFile) -> list[DestinationCounts]:
    with file.rows() as rows:
        return rows.count_by_destination()


@contextmanager
def _spool_errors(spool: Path) -> Generator[None]:
    from openpipe_report._delivery.connection import CannotConnectError  # noqa: PLC0415
    from openpipe_report._spool.schema import SpoolError, is_corrupt  # noqa: PLC0415

    try:
        yield
    except (SpoolError, CannotConnectError) as error:
        fail(str(error))
    except (sqlite3.Error, OSError) as error:
        remedy = "the file is damaged; your program renames it and creates a new one when it runs"
        if "not a database" in str(error):
            remedy = "the file is not a spool"
        elif not is_corrupt(error):
            remedy = "check its folder, permissions and disk space, and which programs use it"
        fail(f"cannot use {spool} ({error}): {remedy}")
