"""Finds the kind of database that a path or a URL names."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from openpipe_report.server.store.errors import StoreError
from openpipe_report.server.store.sqlite_database import SQLiteDatabase

if TYPE_CHECKING:
    from os import PathLike

    from openpipe_report.server.store.database import Database

_URL = re.compile(r"[a-z][a-z0-9+.-]*://|postgres(ql)?(\+\w*)?:/", re.IGNORECASE)


def make_database(
    source: str | PathLike[str], *, read_only: bool, full_text: bool | None = None
) -> Database:
    """
    Return the database of a path or URL, before it is opened.

    Args:
        source: The path of an SQLite file, or `postgresql+psycopg://...`.
        read_only: Whether it is only read.
        full_text: Whether SQLite searches with FTS5; by default where its build has it.

    Raises:
        StoreError: The URL cannot be used, or the package `psycopg` is missing.

    """
    if not is_url(source):
        return SQLiteDatabase(Path(source), read_only=read_only, full_text=full_text)
    if not isinstance(source, str):
        raise StoreError("give the URL of a database as a string: a path loses its slashes")
    if find_spec("psycopg") is None:
        raise StoreError(
            "PostgreSQL needs one more package: pip install 'openpipe-report[postgres]'"
        )
    from openpipe_report.server.store.postgresql.database import (  # noqa: PLC0415 - an extra
        PostgreSQLDatabase,
    )

    return PostgreSQLDatabase(source, read_only=read_only)


def is_url(source: str | PathLike[str]) -> bool:
    """Return whether a source names a database server, not a file."""
    return _URL.match(str(source)) is not None
