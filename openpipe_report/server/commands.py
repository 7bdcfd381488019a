"""The command line, as typer commands; what only one of them needs is imported there."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

from openpipe_report._version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from socket import socket

    from openpipe_report._settings import Settings
    from openpipe_report._spool_file import SpoolFile
    from openpipe_report._spool_rows import Destination, Holding
    from openpipe_report.server.store import Store

DEFAULT_DB = Path("openpipe-reports.db")
DEFAULT_PORT = 8417
DEFAULT_LIMIT = 20

_Found = TypeVar("_Found")

commands = typer.Typer(
    name="openpipe-report",
    help="Keep every OpenAI call of your programs in a database of your own.",
    epilog="Start with `openpipe-report serve`; it says what to set in your program.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Db = Annotated[Path, typer.Option("--db", help="The SQLite file that holds the reports.")]
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
    """Take the options that stand before a command."""


@commands.command()
def serve(
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but a loopback one needs an API key.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")
    ] = DEFAULT_PORT,
    db: Db = DEFAULT_DB,
    api_key: Annotated[
        str,
        typer.Option(
            envvar="OPENPIPE_API_KEY",
            show_default=False,
            help="Key that clients must send; empty: none. Better set in the environment, since "
            "others on this machine can read a command line.",
        ),
    ] = "",
) -> None:
    """
    Receive reports and store them, until Ctrl-C.

    The file is made if it is missing. A report is answered only once it is on disk.
    """
    from openpipe_report.server.app import create_app  # noqa: PLC0415 - slow to import
    from openpipe_report.server.serving import base_url  # noqa: PLC0415
    from openpipe_report.server.serving import serve as serve_app  # noqa: PLC0415

    key = api_key.strip()
    with _listen(host, port, with_key=bool(key)) as listener, _open(db) as store:
        serve_app(
            create_app(store, api_key=key),
            listener,
            on_ready=lambda: _announce(base_url(listener, host), db, with_key=bool(key)),
        )
    typer.echo("Stopped. Every report that was answered is stored.")


@commands.command()
def logs(
    *,
    db: Db = DEFAULT_DB,
    limit: Annotated[
        int, typer.Option("-n", "--limit", min=0, help="How many of the newest; 0 for all.")
    ] = DEFAULT_LIMIT,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines: one object a report, times in UTC.")
    ] = False,
) -> None:
    """
    List stored reports, the newest last.

    Tokens are prompt+completion. What follows "!" is the error of a call that failed.
    """
    from openpipe_report.server.listing import (  # noqa: PLC0415 - slow to import
        make_console,
        print_reports,
        to_json_line,
    )

    found = _read(db, lambda store: store.recent(limit or None))
    if as_json:
        for report in found:
            typer.echo(to_json_line(report))
    elif found:
        print_reports(found, make_console())
    else:
        typer.echo(f"No reports in {db} yet.", err=True)


@commands.command()
def show(
    report_id: Annotated[int, typer.Argument(metavar="ID", help="The report's id, from `logs`.")],
    *,
    db: Db = DEFAULT_DB,
) -> None:
    """Print one whole report as JSON; piped, as ASCII."""
    from openpipe_report.server.listing import make_console, print_json  # noqa: PLC0415

    whole = _read(db, lambda store: store.report(report_id))
    if whole is None:
        _fail(f"no report {report_id} in {db}: `openpipe-report logs --db {db}` lists them")
    print_json(whole, make_console())


@commands.command()
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
    with 0 only if nothing is left for this server and key.
    """
    settings = _settings(base_url=base_url, api_key=api_key)
    if spool is None:
        _fail("which spool? Give --spool, or set OPENPIPE_REPORT_SPOOL")
    if not spool.is_file():
        _fail(f"there is no spool {spool}: give the file of your programs' setting with --spool")
    with _spool_errors(spool):
        from openpipe_report._spool_file import SpoolFile  # noqa: PLC0415

        _resend(SpoolFile(spool), settings, dead=dead)


def _resend(file: SpoolFile, settings: Settings, *, dead: bool) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.progress import Progress  # noqa: PLC0415

    from openpipe_report.server.resending import Resending  # noqa: PLC0415

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
    if waiting or held or letters:
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
    from openpipe_report._spool_schema import SpoolError, is_corrupt  # noqa: PLC0415

    try:
        yield
    except SpoolError as error:
        _fail(str(error))
    except (sqlite3.Error, OSError) as error:
        remedy = "it is damaged; keep it, and let your program begin a new one"
        if not is_corrupt(error):
            remedy = "check its folder, rights and disk space, and who uses it"
        _fail(f"cannot use {spool} ({error}): {remedy}")


@commands.command()
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
    from openpipe_report.server import diagnosis  # noqa: PLC0415 - slow to import

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
        _fail(str(error))


def _listen(host: str, port: int, *, with_key: bool) -> socket:
    from openpipe_report.server.serving import is_loopback, listen  # noqa: PLC0415

    try:
        if not with_key and not is_loopback(host):
            _fail(
                f"other machines can reach {host}: set OPENPIPE_API_KEY to a key that clients "
                "must send, or listen on 127.0.0.1"
            )
        return listen(host, port)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not an address"
        _fail(f"cannot listen on {host}, port {port} ({reason}): choose with --host and --port")


def _open(db: Path, *, read_only: bool = False) -> Store:
    from openpipe_report.server.schema import StoreError  # noqa: PLC0415
    from openpipe_report.server.store import Store  # noqa: PLC0415

    try:
        return Store(db, read_only=read_only)
    except StoreError as error:
        _fail(str(error))


def _read(db: Path, query: Callable[[Store], _Found]) -> _Found:
    from sqlalchemy.exc import DatabaseError  # noqa: PLC0415

    with _open(db, read_only=True) as store:
        try:
            return query(store)
        except DatabaseError as error:
            _fail(f"cannot read {db}: {error.orig}")


def _announce(url: str, db: Path, *, with_key: bool) -> None:
    lines = [
        f"Listening on {url}",
        f"Storing in {db.absolute()}",
        "",
        "Set this where your program runs:",
        f"  export OPENPIPE_BASE_URL={url}",
    ]
    if with_key:
        lines.append("  export OPENPIPE_API_KEY=...   # the key given here")
    typer.echo("\n".join([*lines, "", "Ctrl-C stops it."]))


def _fail(message: str) -> NoReturn:
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(1)
