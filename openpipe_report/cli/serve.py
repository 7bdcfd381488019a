"""The command `serve`, which receives reports and stores them."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openpipe_report._reading import display_name, is_url
from openpipe_report.cli.ages import read_age_option
from openpipe_report.cli.options import DEFAULT_DB, Db, Prices, fail
from openpipe_report.cli.stores import open_to_write

if TYPE_CHECKING:
    from socket import socket

DEFAULT_PORT = 8417


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
            help="A key with full access to the project default, beside those of `keys create`. "
            "Prefer the environment variable: other users of this machine can read a command line.",
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
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="AGE",
            show_default=False,
            help="Erase reports of calls that are older than this, such as 30d, all the time.",
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
    from openpipe_report.cli.console import make_console  # noqa: PLC0415 - slow to import
    from openpipe_report.cli.live_line import LiveLine  # noqa: PLC0415
    from openpipe_report.server.app import ANY_HOST, create_app  # noqa: PLC0415
    from openpipe_report.server.http import base_url, is_loopback  # noqa: PLC0415
    from openpipe_report.server.http import serve as serve_app  # noqa: PLC0415
    from openpipe_report.server.keeping import Keeper  # noqa: PLC0415
    from openpipe_report.server.store.keys import PREFIX as KEY_PREFIX  # noqa: PLC0415

    key, has_keys = api_key.strip(), _has_keys(db)
    if key.startswith(KEY_PREFIX):
        if not has_keys:
            fail(
                f"OPENPIPE_API_KEY has a key of `keys create`, and {display_name(db)} has no keys: "
                "unset it, or give the --db that the key was made in"
            )
        key = ""  # it keeps its own project and scope
    kept = None if keep is None else read_age_option("--keep", keep)
    with (
        _listen(host, port, with_key=bool(key) or has_keys, local_only=local_testing) as listener,
        open_to_write(db, prices, create=True) as store,
        Keeper(store, kept) if kept else nullcontext(),
    ):
        store.start()
        with_key = bool(key) or store.keys.exist()
        hosts = [host, *(allow_host or [])] if is_loopback(host) else ANY_HOST
        app = create_app(store, api_key=key, allowed_hosts=hosts, local_testing=local_testing)
        with LiveLine(make_console(), app.traffic) as line:
            serve_app(
                app,
                listener,
                on_ready=lambda: _announce(base_url(listener, host), db, with_key=with_key),
                on_second=line.update,
            )
    typer.echo("Stopped. Every acknowledged report is stored.")


def _listen(host: str, port: int, *, with_key: bool, local_only: bool) -> socket:
    from openpipe_report.server.http import is_loopback, listen  # noqa: PLC0415

    try:
        if local_only and not is_loopback(host):
            fail(f"other machines can reach {host}: --local-testing is for loopback only")
        if not with_key and not is_loopback(host):
            fail(
                f"other machines can reach {host}: set OPENPIPE_API_KEY to a key that clients "
                "must send, make keys with `openpipe-report keys create`, or listen on 127.0.0.1"
            )
        return listen(host, port)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not an address"
        fail(
            f"cannot listen on {host}, port {port} ({reason}): choose others with --host and --port"
        )


def _has_keys(db: str) -> bool:
    from sqlalchemy.exc import DatabaseError  # noqa: PLC0415 - slow to import

    from openpipe_report.server.store import Store, StoreError  # noqa: PLC0415

    try:
        with Store(db, read_only=True) as store:
            return store.keys.exist()
    except (StoreError, DatabaseError):  # opening it to write will tell the reason
        return False


def _announce(url: str, db: str, *, with_key: bool) -> None:
    lines = [
        f"Listening on {url}",
        f"Storing in {display_name(db) if is_url(db) else Path(db).absolute()}",
        "",
        "Set this where your program runs:",
        f"  export OPENPIPE_BASE_URL={url}",
    ]
    if with_key:
        lines.append(
            "  export OPENPIPE_API_KEY=...   # the key given here, or one of `keys create`"
        )
    else:
        lines.append(
            "  export OPENPIPE_API_KEY=any   # the openpipe SDK reports nothing without one"
        )
    typer.echo("\n".join([*lines, "", "Press Ctrl-C to stop."]))
