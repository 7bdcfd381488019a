"""The commands `erase` and `prune`, which erase stored reports for ever."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from openpipe_report._reading import Parameters  # noqa: TC001 - typer reads the annotations
from openpipe_report.cli.ages import read_age_option
from openpipe_report.cli.filtering import read_conditions
from openpipe_report.cli.options import DEFAULT_DB, USAGE, Db, fail
from openpipe_report.cli.sharing import share_options
from openpipe_report.cli.sources import failing
from openpipe_report.cli.stores import open_to_write

if TYPE_CHECKING:
    from openpipe_report.server.store import Filter, Store

Vacuum = Annotated[
    bool | None,
    typer.Option(
        "--vacuum/--no-vacuum",
        show_default="only a file of up to 128 MB",
        help="Write the file anew, which makes it smaller. Nothing is stored meanwhile.",
    ),
]


@share_options(where=read_conditions)
def erase(
    *,
    db: Db = DEFAULT_DB,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    vacuum: Vacuum = None,
    where: Parameters,
) -> None:
    """
    Erase the reports that match for ever, with their labels; the number is shown first.

    A receiver may run meanwhile. Copies, such as those of `backup`, still have the reports.
    """
    if not where:
        fail("say which reports to erase, such as with --where user=u-42", USAGE)
    with open_to_write(db) as store:
        wanted = _read_filter(where)
        count = _count(store, wanted)
        if count:
            typer.echo(f"{count:,} report(s) match.", err=True)
            if not yes:
                _ask()
        _erase(store, wanted, count, vacuuming=vacuum)


def prune(
    *,
    older_than: Annotated[
        str, typer.Option(metavar="AGE", show_default=False, help="Such as 30d.")
    ],
    project: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Only of this project.")
    ] = None,
    db: Db = DEFAULT_DB,
    vacuum: Vacuum = None,
) -> None:
    """
    Erase reports of calls that are older than this, without asking. A receiver may run meanwhile.

    `serve --keep AGE` does it all the time.
    """
    until = time.time() - read_age_option("--older-than", older_than)
    with open_to_write(db) as store:
        from openpipe_report.server.store import Filter  # noqa: PLC0415 - slow to import

        wanted = Filter(until=until * 1_000, project=project)
        _erase(store, wanted, _count(store, wanted), vacuuming=vacuum)


def _read_filter(where: Parameters) -> Filter:
    from openpipe_report._reading.local import read_filter  # noqa: PLC0415 - slow to import

    with failing():
        return read_filter(where)


def _count(store: Store, wanted: Filter) -> int:
    from sqlalchemy.exc import DatabaseError  # noqa: PLC0415 - slow to import

    try:
        return store.queries.count(wanted)
    except DatabaseError as error:
        fail(f"cannot read {store.name}: {error.orig}")


def _ask() -> None:
    if not sys.stdin.isatty():
        fail("there is no terminal to ask on: give --yes", USAGE)
    if not typer.confirm("Erase them for ever?", err=True):
        raise typer.Exit(1)


def _erase(store: Store, wanted: Filter, count: int, *, vacuuming: bool | None) -> None:
    from openpipe_report.cli.progress import progress_bar  # noqa: PLC0415 - slow to import
    from openpipe_report.server.store import StoreError  # noqa: PLC0415

    try:
        with progress_bar("Erasing") as show:
            erased = store.erase(
                wanted,
                progress=lambda done: None if show is None else show(done, max(count, done)),
            )
        left = store.wipe(vacuuming=vacuuming)
    except StoreError as error:
        fail(f"not all is erased, run it again: {error}")
    typer.echo(f"Erased {erased:,} report(s).")
    for note in left:
        typer.echo(note, err=True)
