"""
The spool's schema: its tables, its migrations, and the check that a file is a spool.

A row with `rejected_at` is a dead letter, which only `resend --dead` sends; any other row is still
to be delivered. The file never holds an API key: `key_hash` is an HMAC of the key, made with the
file's own random salt.
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
"""The statements that migrate a file from each version to the next; the newest is their number."""

PAGE = 4096
"""Bytes of a page of the file."""
_WAL_LIMIT = 32 * 1024 * 1024
"""Size of the write-ahead log, in bytes, at which a commit empties it if no checkpoint has."""


class SpoolError(OpenPipeError):
    """A file cannot serve as the spool and was left unchanged; the message names the remedy."""


def prepare(connection: sqlite3.Connection, path: str, max_bytes: int | None) -> None:
    """
    Check a file, create the tables in an empty one, and migrate an older one in one transaction.

    Raises:
        SpoolError: The file belongs to another program, or a newer version has written it.
    """
    # A commit then survives the death of the process, not that of the machine.
    connection.execute("PRAGMA synchronous = NORMAL")
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
    """Return the schema version of a file; 0 for an empty file."""
    version = integer(connection, "PRAGMA user_version")
    is_empty = not integer(connection, "SELECT count(*) FROM sqlite_master")
    if not is_empty and integer(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise SpoolError(
            f"{path} is the SQLite database of another program: set spool to another file"
        )
    if version > len(MIGRATIONS):
        raise SpoolError(
            f"{path} was written by a newer openpipe-report (schema {version}, this one knows "
            f"{len(MIGRATIONS)}): upgrade with `pip install -U openpipe-report`, or set spool to "
            "another file"
        )
    return version


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait (its busy handler is not called) when several processes switch at once.
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
    """Run the block in one transaction with the write lock; an exception rolls it back."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # when the disk is full, SQLite has rolled back already
            connection.execute("ROLLBACK")
        raise


def integer(connection: sqlite3.Connection, query: str, *values: object) -> int:
    """Return the single number that a query yields."""
    return int(connection.execute(query, values).fetchone()[0])


def is_corrupt(error: Exception) -> bool:
    """Whether the error says that the content of the file is damaged or no database."""
    # Python 3.10 has no error codes. The texts are those of SQLITE_CORRUPT and SQLITE_NOTADB.
    message = str(error)
    return isinstance(error, sqlite3.DatabaseError) and (
        "malformed" in message or "not a database" in message
    )


def is_full(error: Exception) -> bool:
    """Whether the error says that the disk is full, or the file at its maximum size."""
    return isinstance(error, sqlite3.OperationalError) and "full" in str(error)
