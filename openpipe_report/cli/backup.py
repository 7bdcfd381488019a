"""The command `backup`, which copies a database that is in use."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from openpipe_report._reading import display_name
from openpipe_report.cli.options import DEFAULT_DB, Db, fail


def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The copy that is made.")],
    *,
    db: Db = DEFAULT_DB,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
) -> None:
    """
    Copy the database as it is now, while a receiver runs.

    A copy of the file alone is no backup: the newest reports are in another file beside it.
    """
    from sqlalchemy.exc import DatabaseError  # noqa: PLC0415 - slow to import

    from openpipe_report.cli.progress import progress_bar  # noqa: PLC0415
    from openpipe_report.server.store import Store, StoreError  # noqa: PLC0415

    try:
        with Store(db, read_only=True) as store, progress_bar("Copying pages") as progress:
            store.back_up(target, overwrite=force, progress=progress)
    except StoreError as error:
        fail(str(error))
    except DatabaseError as error:
        fail(f"cannot read {display_name(db)}: {error.orig}")
    typer.echo(f"Copied {display_name(db)} to {target}.")
