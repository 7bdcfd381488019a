"""
Copies an SQLite file that is in use, as it was at one moment. SQLite only.

Reports that come meanwhile are not in the copy, and wait for nothing. A plain copy of the file
lacks what is in the `-wal`, and may have some pages of one moment and some of another.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

from openpipe_report.server.store.errors import StoreError
from openpipe_report.server.store.sqlite import create_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection

_PAGES = 1_000


def back_up(
    connection: Connection,
    target: Path,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """
    Copy a database to a file that only its owner can read, and that is complete or not there.

    Args:
        connection: A connection to the database.
        target: The new file; it is made in its folder as `NAME.part` first.
        overwrite: Whether to replace a file of that name.
        progress: Is told how many pages are copied, and how many there are.

    Raises:
        StoreError: The file exists, or cannot be written.

    """
    partial = target.with_name(f"{target.name}.part")
    try:
        if target.is_dir() or (target.exists() and not overwrite):
            raise StoreError(f"{target} exists: name another file, or give --force")
        partial.unlink(missing_ok=True)
        create_file(partial)
        _copy(connection, partial, progress)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        _publish(partial, target, overwrite=overwrite)
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"cannot write {target} ({reason})") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _copy(
    connection: Connection, target: Path, progress: Callable[[int, int], None] | None
) -> None:
    def show(_status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(total - remaining, total)

    # Without an open transaction SQLite begins anew whenever something is stored meanwhile.
    connection.exec_driver_sql("BEGIN")
    connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").all()
    try:
        source = connection.connection.driver_connection
        if not isinstance(source, sqlite3.Connection):
            raise StoreError("only an SQLite file can be copied")
        with contextlib.closing(sqlite3.connect(target)) as copy:
            source.backup(copy, pages=_PAGES, progress=show)
    finally:
        connection.exec_driver_sql("ROLLBACK")


def _publish(partial: Path, target: Path, *, overwrite: bool) -> None:
    if overwrite:
        partial.replace(target)
        return
    # A link, unlike a rename, replaces no file that has been made meanwhile.
    os.link(partial, target)
