"""Opens the store of a command that changes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from openpipe_report._reading import is_url
from openpipe_report.cli.options import fail

if TYPE_CHECKING:
    from openpipe_report.server.store import Store


def open_to_write(db: str, prices: Path | None = None, *, create: bool = False) -> Store:
    """
    Open a store; an older one is upgraded, with a bar on a terminal. Exits with 1 if that fails.

    Args:
        db: Its file, or the URL of its database.
        prices: A file of own prices.
        create: Whether to create a file, or tables, that are missing.

    """
    from openpipe_report.cli.progress import progress_bar  # noqa: PLC0415 - slow to import
    from openpipe_report.server.store import Store, StoreError  # noqa: PLC0415

    if not create and not is_url(db) and not Path(db).exists():
        fail(f"there is no database at {db}: give another file with --db")
    try:
        with progress_bar("Upgrading the database") as progress:
            return Store(db, prices=prices, progress=progress, create=create)
    except StoreError as error:
        fail(str(error))
