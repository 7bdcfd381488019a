"""
One file of a spool: reports for one destination, in a database that only this process has open.
"""

from __future__ import annotations

import hmac
import os
import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from openpipe_report._spool.locked_database import (
    PAGE,
    LockedDatabase,
    SpoolError,
    is_inherited,
    sqlite_lock,
    transaction,
)
from openpipe_report._spool.schema import (
    APPLICATION_ID,
    SCHEMA,
    VERSION,
    VERSION_WITHOUT_PATHS,
    Counts,
    SpooledReport,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from typing_extensions import Self

PATTERN = "reports-*.spool"
"""The names of a spool's files."""

_ROWS_PER_STATEMENT = 100
_ATTEMPTS = 3
"""How often to try to make a file."""
_BEING_MADE = 60.0
"""Seconds after which a file without tables is one whose process died while it made the file."""


class SpoolFile(LockedDatabase):
    """
    One file. Safe to use from any thread; each method is one transaction.

    Args:
        path: Where it is.
        max_bytes: Its size at the most, not counting the write-ahead log. None for no limit.
    """

    def __init__(self, path: Path, max_bytes: int | None = None) -> None:
        super().__init__(path, max_bytes)
        self._next_number = 1
        self._path_column = "path"
        self.base_url = ""
        self._salt = b""
        self._key_hash = ""

    @classmethod
    def create(cls, folder: Path, base_url: str, api_key: str | None, max_bytes: int) -> Self:
        """
        Make a new file in a folder, which is made as well where it does not exist.

        Raises:
            SpoolError: The folder is a file.
            sqlite3.Error: SQLite cannot write it.
            OSError: The folder or the file cannot be made.
        """
        if folder.is_file():
            raise SpoolError(f"{folder} is a file: set spool to a folder")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        attempts = 0
        while True:
            attempts += 1
            try:
                return cls._create(folder, base_url, api_key, max_bytes)
            except sqlite3.OperationalError:  # another process looked into it before it was ours
                if attempts == _ATTEMPTS:
                    raise

    @classmethod
    def _create(cls, folder: Path, base_url: str, api_key: str | None, max_bytes: int) -> Self:
        file = cls(folder / f"reports-{uuid4().hex}.spool", max_bytes)
        # Made with mode 0600 before SQLite sees it; SQLite gives its log the same.
        os.close(os.open(file.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with sqlite_lock:
            try:
                file._make(base_url, api_key)
            except BaseException:
                file.disconnect()
                file.unlink()
                raise
        return file

    def _make(self, base_url: str, api_key: str | None) -> None:
        self.connect()
        with self.use() as connection:
            connection.execute(f"PRAGMA page_size = {PAGE}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(SCHEMA)
            self._salt, self.base_url = os.urandom(16), base_url
            self._key_hash = self._hash(api_key)
            connection.execute(
                "INSERT INTO destination VALUES (?, ?, ?)", (base_url, self._salt, self._key_hash)
            )

    @classmethod
    def take_over(cls, path: Path) -> Self | None:
        """
        Open a file whose process has ended; None where it is in use, or there is nothing in it.

        Raises:
            SpoolError: It is no file of a spool, or one of another version.
            sqlite3.Error: SQLite cannot read it; see `is_corrupt()`.
        """
        if is_inherited(path):
            return None
        file = cls(path)
        with sqlite_lock:
            try:
                file.connect()
                if file._load_destination():
                    return file
            except sqlite3.OperationalError as error:
                file.disconnect()
                if "locked" in str(error) or not path.exists():
                    return None
                raise
            except BaseException:
                file.disconnect()
                raise
            file.close()
            return None

    def _load_destination(self) -> bool:
        """Read whose reports it holds; False where its process died before it had any."""
        with self.use() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                if time.time() - self.path.stat().st_mtime > _BEING_MADE:
                    self.unlink()
                return False
            if application != APPLICATION_ID or version not in {VERSION, VERSION_WITHOUT_PATHS}:
                raise SpoolError(
                    f"{self.path} is not of this version's spool: set spool to another folder"
                )
            if version == VERSION_WITHOUT_PATHS:
                self._path_column = "'report'"
            row = connection.execute("SELECT base_url, salt, key_hash FROM destination").fetchone()
            if row is None:
                return False
            self.base_url, self._salt, self._key_hash = row
            newest = connection.execute("SELECT max(number) FROM reports").fetchone()[0]
            self._next_number = (newest or 0) + 1
            return True

    def is_for(self, base_url: str, api_key: str | None) -> bool:
        """Whether its reports are to be sent to this server with this key."""
        return self.base_url == base_url and hmac.compare_digest(
            self._hash(api_key), self._key_hash
        )

    def _hash(self, api_key: str | None) -> str:
        return hmac.new(self._salt, api_key.encode(), "sha256").hexdigest() if api_key else ""

    def add(self, added: Sequence[tuple[str, int, bytes, str]]) -> range:
        """
        Store reports - Idempotency-Key, tag, body, path -, all or none; return their numbers.

        Speed matters, because a report is not sent before. SQLite releases the interpreter's lock
        at each step of a statement, and a thread that computes then keeps it for 5 ms. So one
        statement adds many rows, and a single one goes without a transaction around it.
        """
        numbers = range(self._next_number, self._next_number + len(added))
        rows = [(number, *row) for number, row in zip(numbers, added, strict=True)]
        batches = [
            rows[start : start + _ROWS_PER_STATEMENT]
            for start in range(0, len(rows), _ROWS_PER_STATEMENT)
        ]
        with self.use() as connection, transaction(connection, is_needed=len(batches) > 1):
            for batch in batches:
                connection.execute(
                    "INSERT INTO reports (number, idempotency_key, tag, body, path) VALUES "  # noqa: S608
                    + ", ".join(["(?, ?, ?, ?, ?)"] * len(batch)),
                    [value for row in batch for value in row],
                )
        self._next_number = numbers.stop
        return numbers

    def resolve(
        self, removed: Sequence[int] = (), dead_letters: Sequence[tuple[str, int]] = ()
    ) -> None:
        """
        Record the ends of reports.

        Args:
            removed: The numbers of those that were delivered.
            dead_letters: Why they are kept as dead letters, and the numbers.
        """
        with self.use() as connection, transaction(connection):
            connection.executemany(
                "DELETE FROM reports WHERE number = ?", ((number,) for number in removed)
            )
            connection.executemany("UPDATE reports SET reason = ? WHERE number = ?", dead_letters)

    def load(
        self, after: int, reports: int, size: int, *, dead_letters: bool = False
    ) -> list[SpooledReport]:
        """
        Read reports, the oldest first.

        Args:
            after: The number of the last one that was read before.
            reports: How many at the most.
            size: Bytes at the most; the first one may be larger.
            dead_letters: Whether to read dead letters as well.
        """
        columns = f"number, idempotency_key, tag, body, {self._path_column}"
        query = f"SELECT {columns} FROM reports WHERE number > ?"  # noqa: S608 - columns of ours
        if not dead_letters:
            query += " AND reason IS NULL"
        loaded: list[SpooledReport] = []
        with (
            self.use() as connection,
            closing(connection.execute(f"{query} ORDER BY number", (after,))) as rows,
        ):
            for row in rows:
                report = SpooledReport(*row)
                size -= len(report.body)
                if loaded and size < 0:
                    break
                loaded.append(report)
                if len(loaded) >= reports:
                    break
        return loaded

    def counts(self) -> Counts:
        """Count its reports."""
        with self.use() as connection:
            query = "SELECT sum(reason IS NULL), count(reason) FROM reports"
            waiting, dead_letters = connection.execute(query).fetchone()
        return Counts(waiting or 0, dead_letters)

    def delete_dead_letters(self, size: int) -> int:
        """Delete the oldest dead letters, of so many bytes; return how many."""
        doomed: list[tuple[int]] = []
        with self.use() as connection, transaction(connection):
            query = "SELECT number, length(body) FROM reports WHERE reason IS NOT NULL"
            for number, length in connection.execute(f"{query} ORDER BY number"):
                doomed.append((number,))
                size -= length
                if size <= 0:
                    break
            connection.executemany("DELETE FROM reports WHERE number = ?", doomed)
        return len(doomed)

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the file, now rather than in the midst of a commit."""
        with self.use() as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """Close it, so that another process may take it over; remove it if it is empty."""
        with sqlite_lock:
            if not self.is_open:
                return
            is_empty = False
            with suppress(sqlite3.Error), self.use() as connection:
                query = "SELECT count(*) FROM reports"
                is_empty = not connection.execute(query).fetchone()[0]
            if is_empty:
                self.unlink()  # before the lock is given up
            self.disconnect()
            if is_empty:
                self.unlink()  # where an open file cannot be removed

    def quarantine(self) -> str:
        """Close a corrupt file and rename it; return the new name."""
        with sqlite_lock:
            with suppress(sqlite3.Error):
                self.disconnect()
            return quarantine(self.path)


def quarantine(path: Path) -> str:
    """Rename a corrupt file, so that nobody opens it again; return the new name."""
    name = f"{path}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}"
    # The log goes first: SQLite would apply an old log to a new file beside it.
    for suffix in ("-wal", ""):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{name}{suffix}")  # noqa: PTH104 - with a suffix
    return name
