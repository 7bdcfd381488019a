"""
The spool's schema: which files may be opened, and what brings an older one up to date.

A report's row is waiting until `rejected_at` is set, then a dead letter; nobody sends it unless
asked. What the file must never hold is an API key: `key_hash` is an HMAC of it with the file's own
random salt.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from openpipe_report._errors import OpenPipeError

if TYPE_CHECKING:
    from collections.abc import Generator

APPLICATION_ID = int.from_bytes(b"OPRs", "big")

_OWNERS = """
CREATE TABLE owners (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started TEXT NOT NULL,
    heartbeat REAL NOT NULL
)"""

_REPORTS = """
CREATE TABLE reports (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    base_url TEXT NOT NULL,
    key_hash TEXT NOT NULL,
    owner TEXT,
    created_at REAL NOT NULL,
    rejected_at REAL,
    reason TEXT,
    body BLOB NOT NULL
)"""

MIGRATIONS: list[list[str]] = [
    [
        "CREATE TABLE salt (value BLOB NOT NULL)",
        "INSERT INTO salt VALUES (randomblob(16))",
        _OWNERS,
        _REPORTS,
        "CREATE INDEX reports_by_owner ON reports (owner) WHERE rejected_at IS NULL",
    ],
]
"""The statements that bring a file from each version to the next; their number is the newest."""

PAGE = 4096
_WAL_LIMIT = 32 * 1024 * 1024
"""Bytes of the write-ahead log at which SQLite is to empty it within a commit, if need be."""


class SpoolError(OpenPipeError):
    """A spool file is not for us; the message names it and the remedy. It was not touched."""


def prepare(connection: sqlite3.Connection, path: str, max_bytes: int | None) -> None:
    """
    Check a file, make an empty one ours, and migrate an older one in one transaction.

    Raises:
        SpoolError: The file is another program's, or of a newer version.
    """
    connection.execute("PRAGMA synchronous = NORMAL")  # survives the end of a process
    if _check(connection, path) < len(MIGRATIONS):
        connection.execute(f"PRAGMA page_size = {PAGE}")
        with transaction(connection):
            for statements in MIGRATIONS[_check(connection, path) :]:
                for statement in statements:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    if max_bytes is not None:
        connection.execute(f"PRAGMA max_page_count = {max(max_bytes // PAGE, 16)}")
    _switch_to_wal(connection)
    connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_LIMIT // PAGE}")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")


def _check(connection: sqlite3.Connection, path: str) -> int:
    """Return the file's version; 0 for an empty one."""
    version = integer(connection, "PRAGMA user_version")
    is_empty = not integer(connection, "SELECT count(*) FROM sqlite_master")
    if not is_empty and integer(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise SpoolError(
            f"{path} is the SQLite database of another program: give another file as spool"
        )
    if version > len(MIGRATIONS):
        raise SpoolError(
            f"{path} was written by a newer openpipe-report (schema {version}, this one knows "
            f"{len(MIGRATIONS)}): upgrade with `pip install -U openpipe-report`, or give another "
            "file as spool"
        )
    return version


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    # No busy handler is called where several processes want to switch at once.
    for attempt in range(20):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(0.005 * attempt)
        else:
            return


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[sqlite3.Connection]:
    """Write all of it or nothing; others write before or after."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back when the disk is full
            connection.execute("ROLLBACK")
        raise


def integer(connection: sqlite3.Connection, query: str, *values: object) -> int:
    """Return the one number that a query finds."""
    return int(connection.execute(query, values).fetchone()[0])


def is_corrupt(error: Exception) -> bool:
    """Whether SQLite cannot read the file, whatever the reason."""
    # Python 3.10 has no error codes; these two are SQLITE_CORRUPT and SQLITE_NOTADB.
    told = str(error)
    return isinstance(error, sqlite3.DatabaseError) and (
        "malformed" in told or "not a database" in told
    )


def is_full(error: Exception) -> bool:
    """Whether there is no room, on the disk or within `max_bytes`."""
    return isinstance(error, sqlite3.OperationalError) and "full" in str(error)
