"""The commands of the command line. Each imports what it needs when it runs, to start quickly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from openpipe_report._version import VERSION
from openpipe_report.cli.doctor import doctor
from openpipe_report.cli.options import DEFAULT_DB, Db, fail
from openpipe_report.cli.resend import resend

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

    from openpipe_report.server.store import Store

DEFAULT_PORT = 8417
DEFAULT_LIMIT = 20

Prices = Annotated[
    Path | None,
    typer.Option(
        "--prices",
        show_default=False,
        help="A JSON file of your own prices by model, which win over those of genai-prices.",
    ),
]

_Found = TypeVar("_Found")

commands = typer.Typer(
    name="openpipe-report",
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


@commands.command()
def serve(
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen on; one beyond loopback needs an API key.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free port.")
    ] = DEFAULT_PORT,
    db: Db = DEFAULT_DB,
    api_key: Annotated[
        str,
        typer.Option(
            envvar="OPENPIPE_API_KEY",
            show_default=False,
            help="Key that clients must send; empty for none. Prefer the environment variable: "
            "other users of this machine can read a command line.",
        ),
    ] = "",
    prices: Prices = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Name that clients may give as Host beside loopback's, as behind a proxy; may be "
            "repeated.",
        ),
    ] = None,
    local_testing: Annotated[
        bool,
        typer.Option(
            "--local-testing",
            help="Let programs on this machine read the newest report, for tests of clients; on "
            "loopback only.",
        ),
    ] = False,
) -> None:
    """
    Receive reports and store them, until Ctrl-C.

    The file is created if it is missing; one of an older version is upgraded, with a backup beside
    it. A report is acknowledged once it is on disk.
    """
    from openpipe_report.cli.formatting import make_console  # noqa: PLC0415 - slow to import
    from openpipe_report.cli.live_line import LiveLine  # noqa: PLC0415
    from openpipe_report.server.app import ANY_HOST, create_app  # noqa: PLC0415
    from openpipe_report.server.http import base_url, is_loopback  # noqa: PLC0415
    from openpipe_report.server.http import serve as serve_app  # noqa: PLC0415

    key = api_key.strip()
    with (
        _listen(host, port, with_key=bool(key), local_only=local_testing) as listener,
        _open_to_write(db, prices) as store,
    ):
        store.start()
        hosts = [host, *(allow_host or [])] if is_loopback(host) else ANY_HOST
        app = create_app(store, api_key=key, allowed_hosts=hosts, local_testing=local_testing)
        with LiveLine(make_console(), app.traffic) as line:
            serve_app(
                app,
                listener,
                on_ready=lambda: _announce(base_url(listener, host), db, with_key=bool(key)),
                on_second=line.update,
            )
    typer.echo("Stopped. Every acknowledged report is stored.")


@commands.command()
def logs(
    *,
    db: Db = DEFAULT_DB,
    limit: Annotated[
        int, typer.Option("-n", "--limit", min=0, help="Number of newest reports; 0 for all.")
    ] = DEFAULT_LIMIT,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines: one object per report, times in UTC.")
    ] = False,
) -> None:
    """
    List stored reports, the newest last.

    Tokens are shown as prompt+completion. An error message of a failed call begins with "!".
    """
    from openpipe_report.cli.formatting import (  # noqa: PLC0415 - slow to import
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
    """Print one report as JSON; to a pipe or file as ASCII."""
    from openpipe_report.cli.formatting import make_console, print_json  # noqa: PLC0415

    whole = _read(db, lambda store: store.report(report_id))
    if whole is None:
        fail(f"no report {report_id} in {db}: `openpipe-report logs --db {db}` lists them")
    print_json(whole, make_console())


@commands.command()
def reprice(*, db: Db = DEFAULT_DB, prices: Prices = None) -> None:
    """
    Compute the cost of every stored report again.

    After a change of the file of your own prices, or an upgrade of the package genai-prices.
    """
    from openpipe_report.server.store import StoreError  # noqa: PLC0415 - slow to import

    if not db.exists():
        fail(f"there is no database at {db}: give another file with --db")
    with _open_to_write(db, prices) as store:
        try:
            changed = store.reprice().result()
        except StoreError as error:
            fail(str(error))
    typer.echo(f"Changed the cost of {changed} report(s).")


commands.command()(resend)
commands.command()(doctor)


def _listen(host: str, port: int, *, with_key: bool, local_only: bool) -> socket:
    from openpipe_report.server.http import is_loopback, listen  # noqa: PLC0415

    try:
        if local_only and not is_loopback(host):
            fail(f"other machines can reach {host}: --local-testing is for loopback only")
        if not with_key and not is_loopback(host):
            fail(
                f"other machines can reach {host}: set OPENPIPE_API_KEY to a key that clients "
                "must send, or listen on 127.0.0.1"
            )
        return listen(host, port)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not an address"
        fail(
            f"cannot listen on {host}, port {port} ({reason}): choose others with --host and --port"
        )


def _open_to_write(db: Path, prices: Path | None) -> Store:
    from openpipe_report.cli.upgrading import upgrade_bar  # noqa: PLC0415 - slow to import
    from openpipe_report.server.store import Store, StoreError  # noqa: PLC0415

    try:
        with upgrade_bar() as progress:
            return Store(db, prices=prices, progress=progress)
    except StoreError as error:
        fail(str(error))


def _open_to_read(db: Path) -> Store:
    from openpipe_report.server.store import Store, StoreError  # noqa: PLC0415 - slow to import

    try:
        return Store(db, read_only=True)
    except StoreError as error:
        fail(str(error))


def _read(db: Path, query: Callable[[Store], _Found]) -> _Found:
    from sqlalchemy.exc import DatabaseError  # noqa: PLC0415

    with _open_to_read(db) as store:
        try:
            return query(store)
        except DatabaseError as error:
            fail(f"cannot read {db}: {error.orig}")


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
    else:
        lines.append(
            "  export OPENPIPE_API_KEY=any   # the openpipe SDK reports nothing without one"
        )
    typer.echo("\n".join([*lines, "", "Press Ctrl-C to stop."]))
