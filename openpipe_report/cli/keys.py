"""The commands `keys create`, `keys list` and `keys revoke`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from openpipe_report.cli.ages import read_age_option
from openpipe_report.cli.options import DEFAULT_DB, USAGE, Db, fail
from openpipe_report.cli.stores import open_to_write

if TYPE_CHECKING:
    from openpipe_report.server.store.keys import ApiKey

keys = typer.Typer(
    name="keys",
    help="Make, list and revoke the API keys of a database.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Project = Annotated[
    str, typer.Option("--project", metavar="NAME", help="The project that it is for.")
]


@keys.command()
def create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What you call it, such as who has it.")
    ],
    *,
    project: Project = "default",
    scope: Annotated[
        str,
        typer.Option(
            metavar="write|read|admin",
            help="write: store reports and send feedback. read: read reports. admin: both.",
        ),
    ] = "write",
    expires: Annotated[
        str | None,
        typer.Option(metavar="AGE", show_default=False, help="Accept it for so long, such as 90d."),
    ] = None,
    db: Db = DEFAULT_DB,
) -> None:
    """
    Make a key, and print it. It is shown only this once.

    A running receiver accepts it within seconds. From the first key on, each request needs one.
    """
    seconds = None if expires is None else read_age_option("--expires", expires)
    with open_to_write(db, create=True) as store:
        from openpipe_report.server.store import StoreError  # noqa: PLC0415 - slow to import

        is_first = not store.keys.exist()
        expires_at = None if seconds is None else (time.time() + seconds) * 1_000
        try:
            row, key = store.keys.create(name, project=project, scope=scope, expires_at=expires_at)
        except ValueError as error:
            fail(str(error), USAGE)
        except StoreError as error:
            fail(str(error))
    typer.echo(_describe(row), err=True)
    if is_first:
        typer.echo(
            "It is the first: every request to a receiver of this database needs a key from now "
            "on, on this machine too.",
            err=True,
        )
    typer.echo(key)


@keys.command("list")
def list_keys(
    *,
    db: Db = DEFAULT_DB,
    project: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Only of this project.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines; times in UTC, in milliseconds.")
    ] = False,
) -> None:
    """List all keys, also those that are revoked or expired. The keys themselves are not stored."""
    from openpipe_report.cli.key_table import print_keys, to_json_line  # noqa: PLC0415
    from openpipe_report.cli.sources import failing  # noqa: PLC0415
    from openpipe_report.server.store import Store, StoreError  # noqa: PLC0415 - slow to import

    try:
        with failing(), Store(db, read_only=True) as store:
            found = [row for row in store.keys.all() if project in {None, row.project}]
    except StoreError as error:
        fail(str(error))
    if as_json:
        for row in found:
            typer.echo(to_json_line(row))
    elif found:
        print_keys(found)
    else:
        typer.echo("There are no keys.", err=True)


@keys.command()
def revoke(
    ids: Annotated[list[int], typer.Argument(metavar="ID...", help="Of keys, from `keys list`.")],
    *,
    db: Db = DEFAULT_DB,
) -> None:
    """Revoke keys for ever. A running receiver accepts them for at most five seconds more."""
    with open_to_write(db) as store:
        from openpipe_report.server.store import StoreError  # noqa: PLC0415 - slow to import

        try:
            revoked = store.keys.revoke(ids)
        except StoreError as error:
            fail(str(error))
        known = {row.id for row in store.keys.all()}
    for row in revoked:
        typer.echo(f"Revoked key {row.id}, {row.name}.")
    if unknown := sorted(set(ids) - known):
        fail(f"there is no key {', '.join(map(str, unknown))}: `keys list` lists them")
    for one in sorted(set(ids) & known - {row.id for row in revoked}):
        typer.echo(f"Key {one} was revoked before.", err=True)


def _describe(row: ApiKey) -> str:
    from openpipe_report.cli.key_table import format_time  # noqa: PLC0415 - slow to import

    until = "does not expire" if row.expires_at is None else f"until {format_time(row.expires_at)}"
    return (
        f"Made key {row.id}, {row.name}: project {row.project}, scope {row.scope}, {until}. "
        "It is not shown again:"
    )
