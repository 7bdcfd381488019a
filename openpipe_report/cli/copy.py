"""The command `copy`, which moves a store to another database."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from openpipe_report._reading import display_name, is_receiver
from openpipe_report.cli.options import USAGE, fail
from openpipe_report.cli.stores import open_to_write

if TYPE_CHECKING:
    from collections.abc import Generator

INTERRUPTED = 130
"""Exit status after Ctrl-C."""


def copy(
    *,
    source: Annotated[
        str, typer.Option("--from", metavar="DB", help="The store to copy: a file, or a URL.")
    ],
    target: Annotated[
        str,
        typer.Option(
            "--to", metavar="DB", help="Where to: a new file, or the URL of an empty database."
        ),
    ],
) -> None:
    """
    Copy all reports to another database, as from SQLite to PostgreSQL or back.

    Ids, keys, labels with their changes, and costs are kept. A copy that was interrupted goes on
    where it stopped when the same command runs again. Stop the receivers of both before the last
    run.
    """
    for location in (source, target):
        if is_receiver(location):
            fail(f"{display_name(location)} is a receiver: give its database", USAGE)
    if source == target:
        fail("--from and --to are the same database", USAGE)
    from openpipe_report.cli.progress import progress_bar  # noqa: PLC0415 - slow to import
    from openpipe_report.server.store import Store  # noqa: PLC0415

    with (
        _failing(),
        Store(source, read_only=True) as opened,
        open_to_write(target, create=True) as store,
        progress_bar("Copying") as progress,
    ):
        copied = store.copy_from(opened, progress=progress)
        total = store.count()
    typer.echo(f"Copied {copied:,} report(s); {display_name(target)} has all {total:,}.")


@contextmanager
def _failing() -> Generator[None, None, None]:
    from sqlalchemy.exc import DatabaseError  # noqa: PLC0415 - slow to import

    from openpipe_report.server.store import StoreError  # noqa: PLC0415

    try:
        yield
    except StoreError as error:
        fail(str(error))
    except DatabaseError as error:
        fail(f"a database cannot be read: {str(error.orig).partition(chr(10))[0]}")
    except KeyboardInterrupt:
        fail("stopped; the same command goes on where it has stopped", INTERRUPTED)
