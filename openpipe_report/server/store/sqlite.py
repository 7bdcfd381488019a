"""
SQLite's own: the file and its engine, transactions, and the numbers of new reports.

The file and those beside it (`-wal`, `-shm`) are readable by their owner only, as SQLite gives them
the rights of the file. Before each commit the path must name the file that was opened: after `rm`,
`mv` or a restore SQLite would go on writing to a file that nobody can find.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING
from urllib.parse import quote

from sqlalchemy import QueuePool, create_engine
from sqlalchemy.exc import DatabaseError

from openpipe_report.server.store.errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from sqlalchemy import Connection, Engine

APPLICATION_ID = int.from_bytes(b"OPRp", "big")
"""`PRAGMA application_id` of the receiver's files."""
BUSY_TIMEOUT = 5.0
"""Seconds to wait while another process writes to the same file."""
MAX_WAL_BYTES = 64 * 2**20
"""Size of the file `-wal` from which on it is emptied between two commits."""

_CACHE_KIB = 128 * 1024
_CHECKPOINT_PAGES = 6_000
"""Pages in the `-wal` before they are written back. Many pages change again and again meanwhile."""

_READER_CACHE_KIB = 8 * 1024
_POOLED = 8
_TEMPORARY = ("locked", "busy", "full", "disk i/o", "readonly", "unable to open", "out of memory")


def create_file(path: Path) -> None:
    """Create an empty file that only its owner can read, if there is none."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def make_engine(path: Path, *, read_only: bool) -> Engine:
    """
    Make the engine of a file. Its connections begin no transaction of their own.

    A file that is opened to read need not be writable, and neither need its folder.
    """

    def connect() -> sqlite3.Connection:
        connection = _connect_to_read(path) if read_only else _connect(path, "rw")
        connection.execute("PRAGMA synchronous = FULL")
        # What moves inside a page, or is deleted there, leaves no copy: otherwise rows that are
        # erased later could not be found any more to be overwritten (see `wiping`).
        connection.execute("PRAGMA secure_delete = FAST")
        connection.execute(f"PRAGMA cache_size = -{_READER_CACHE_KIB}")
        connection.execute(f"PRAGMA journal_size_limit = {MAX_WAL_BYTES}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        return connection

    # hide_parameters: the text of an error of SQLAlchemy's must not contain a report.
    return create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=_POOLED,
        max_overflow=-1,
        hide_parameters=True,
        isolation_level="AUTOCOMMIT",
    )


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # The path is made absolute: a program may change its working directory.
    name = f"file:{quote(os.path.abspath(path))}?mode={mode}"  # noqa: PTH100 - not resolve()
    return sqlite3.connect(
        name, uri=True, timeout=BUSY_TIMEOUT, check_same_thread=False, isolation_level=None
    )


def _connect_to_read(path: Path) -> sqlite3.Connection:
    connection = _connect(path, "ro")
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if not _cannot_open(error):
            raise
    else:
        connection.execute("PRAGMA query_only = ON")
        return connection
    # In WAL mode SQLite needs the files beside, or the right to create them. Without them, what the
    # file itself holds is all there is, as long as no report is left in the `-wal`.
    wal = path.with_name(f"{path.name}-wal")
    with contextlib.suppress(FileNotFoundError):
        if wal.stat().st_size:
            raise StoreError(
                f"the newest reports are in {wal}, which cannot be used where nothing can be "
                f"written: copy it together with {path.name} to a folder of yours"
            )
    return _connect(path, "ro&immutable=1")


def _cannot_open(error: sqlite3.OperationalError) -> bool:
    return "unable to open" in str(error) or "readonly" in str(error)


class FileIdentity:
    """The identity of the file that a path named when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._opened = self._now()

    def check(self) -> None:
        """Raise StoreUnavailableError if the path no longer names the file that was opened."""
        if self._opened is not None and self._now() == self._opened:
            return
        raise StoreUnavailableError(
            f"{self._path} was removed, moved or replaced while it was open: nothing is stored "
            "until it is back. Restart the receiver to use the file that is there now"
        )

    def _now(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - before each commit: half the time
        except OSError:
            return None
        return found.st_dev, found.st_ino


@contextlib.contextmanager
def transaction(
    connection: Connection, identity: FileIdentity | None = None
) -> Generator[None, None, None]:
    """
    Run the block in a transaction that may write; another process waits meanwhile, and so do we.

    Raises:
        StoreUnavailableError: The database cannot be written for now, or the file is not the one
            that was opened. Nothing of the block is stored.

    """
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield
        if identity is not None:
            identity.check()
        connection.exec_driver_sql("COMMIT")
    except BaseException as error:
        # SQLite itself rolls back after some errors, such as a full disk.
        with contextlib.suppress(DatabaseError):
            connection.exec_driver_sql("ROLLBACK")
        if isinstance(error, DatabaseError) and is_temporary(error):
            raise StoreUnavailableError(f"the database cannot be written: {error.orig}") from error
        raise


def is_temporary(error: DatabaseError) -> bool:
    """Return whether an error of SQLite's is of the moment, not of the statement or the file."""
    reason = str(error.orig).lower()
    return any(part in reason for part in _TEMPORARY)


def prepare_to_write(connection: Connection) -> None:
    """Give a connection that writes many rows a larger cache."""
    connection.exec_driver_sql(f"PRAGMA cache_size = -{_CACHE_KIB}")


@contextlib.contextmanager
def overwriting(connection: Connection) -> Generator[None, None, None]:
    """Let whole pages that the block frees be overwritten too, which takes more writes."""
    connection.exec_driver_sql("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        connection.exec_driver_sql("PRAGMA secure_delete = FAST")


def highest_id(connection: Connection) -> int:
    """Return the highest id that was ever given to a report; 0 if none was."""
    query = "SELECT seq FROM sqlite_sequence WHERE name = 'reports'"
    return connection.exec_driver_sql(query).scalar() or 0


def note_id(connection: Connection, report_id: int) -> None:
    """Give no id up to this one to a new report, inside a transaction."""
    if report_id:
        query = "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'reports'"
        if connection.exec_driver_sql(query, (report_id,)).rowcount == 0:
            query = "INSERT INTO sqlite_sequence(name, seq) VALUES ('reports', ?)"
            connection.exec_driver_sql(query, (report_id,))


def empty_wal(connection: Connection, path: Path) -> None:
    """
    Write a large `-wal` back into the file and empty it, unless somebody reads just now.

    SQLite writes it back all the time, but starts it anew only in a moment without readers.
    """
    with contextlib.suppress(OSError, DatabaseError):
        if path.with_name(f"{path.name}-wal").stat().st_size < MAX_WAL_BYTES:
            return
        connection.exec_driver_sql("PRAGMA busy_timeout = 100")
        try:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1_000)}")


def unusable(path: Path, error: DatabaseError) -> StoreError:
    """Return the error that names a file, SQLite's message about it, and the remedy."""
    reason = str(error.orig)
    if "not a database" in reason:
        return StoreError(f"{path} is not an SQLite database: give another file with --db")
    return StoreError(
        f"cannot use {path} ({reason}): check its folder, rights and disk space, "
        "or give another file with --db"
    )
