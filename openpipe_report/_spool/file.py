"""
One file of a spool: reports for one destination, locked by this process for as long as it is open.

The lock is SQLite's own (`locking_mode=EXCLUSIVE`), which the system drops when the process dies.
So "its process is dead" is "it can be locked", in other containers and after a restart too. No two
processes ever have the same file open.

Fork. A forked child inherits the connection, but neither the lock nor the right to use it: even
closing it would write to the parent's file. It is never used there, and never freed. `_lock` is
held while SQLite works, and by a fork: no thread of the parent is inside SQLite at that moment.
"""

from __future__ import annotations

import hmac
import os
import sqlite3
import threading
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote
from uuid import uuid4
from weakref import WeakSet

from openpipe_report._errors import OpenPipeError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from typing_extensions import Self

PATTERN = "reports-*.spool"
"""The names of a spool's files."""

_APPLICATION_ID = int.from_bytes(b"OPRs", "big")
_VERSION = 2
_SCHEMA = f"""
BEGIN;
CREATE TABLE destination (base_url TEXT NOT NULL, salt BLOB NOT NULL, key_hash TEXT NOT NULL);
CREATE TABLE reports (
    number INTEGER PRIMARY KEY,
    idempotency_key TEXT NOT NULL,
    tag INTEGER NOT NULL,
    body BLOB NOT NULL,
    reason TEXT
);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
COMMIT;
"""
"""
A row with a reason is a dead letter, which only `resend --dead` sends; any other is still to be
delivered. The key itself is in no file: `key_hash` is an HMAC of it, made with the file's own salt.
"""

_PAGE = 4096
_LOG_BYTES = 32 * 1024 * 1024
"""Size of the write-ahead log at which a commit copies it into the file, if nothing has before."""
_ROWS_PER_STATEMENT = 100
_ATTEMPTS = 3
"""How often to try to make a file."""
_BEING_MADE = 60.0
"""Seconds after which a file without tables is one whose process died while it made the file."""


class SpoolError(OpenPipeError):
    """A spool cannot be used and was left unchanged; the message names the remedy."""


class SpooledReport(NamedTuple):
    """A report as a file holds it."""

    number: int
    idempotency_key: str
    tag: int
    """A number that means something to the process that stored it."""
    body: bytes
    """The JSON that is sent."""


class Counts(NamedTuple):
    """How many reports a file holds."""

    waiting: int
    dead_letters: int
    """Rejected, or given up after `retry_for`."""


_lock = threading.RLock()
_open_files: WeakSet[SpoolFile] = WeakSet()
_inherited: list[sqlite3.Connection] = []
_inherited_paths: set[Path] = set()
"""In a forked child: SQLite takes these files for locked by this process, whoever has the lock."""


class SpoolFile:
    """
    One file. Safe to use from any thread; each method is one transaction.

    Args:
        path: Where it is.
        max_bytes: Its size at the most, not counting the write-ahead log. None for no limit.
    """

    def __init__(self, path: Path, max_bytes: int | None = None) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._connection: sqlite3.Connection | None = None
        self._pid = os.getpid()
        self._next_number = 1
        self.base_url = ""
        self._salt = b""
        self._key_hash = ""

    @classmethod
    def create(cls, folder: Path, base_url: str, api_key: str | None, max_bytes: int) -> Self:
        """
        Make a new file in a folder, which is made as well where it does not exist.

        Raises:
            sqlite3.Error: SQLite cannot write it.
            OSError: The folder or the file cannot be made.
        """
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
        with _lock:
            try:
                file._make(base_url, api_key)
            except BaseException:
                file._disconnect()
                file._unlink()
                raise
        return file

    def _make(self, base_url: str, api_key: str | None) -> None:
        self._connect()
        with self._use() as connection:
            connection.execute(f"PRAGMA page_size = {_PAGE}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
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
        if path in _inherited_paths:
            return None
        file = cls(path)
        with _lock:
            try:
                file._connect()
                if file._load_destination():
                    return file
            except sqlite3.OperationalError as error:
                file._disconnect()
                if "locked" in str(error) or not path.exists():
                    return None
                raise
            except BaseException:
                file._disconnect()
                raise
            file.close()
            return None

    def _connect(self) -> None:
        # mode=rw: a file that another process has just removed is not to be made again.
        connection = sqlite3.connect(
            f"file:{quote(str(self.path.absolute()))}?mode=rw",
            uri=True,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
        )
        self._connection, self._pid = connection, os.getpid()
        _open_files.add(self)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # A commit survives the death of the process; not, for the last ones, that of the machine.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_BYTES // _PAGE}")
        if self._max_bytes is not None:
            connection.execute(f"PRAGMA max_page_count = {max(self._max_bytes // _PAGE, 16)}")

    def _load_destination(self) -> bool:
        """Read whose reports it holds; False where its process died before it had any."""
        with self._use() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                if time.time() - self.path.stat().st_mtime > _BEING_MADE:
                    self._unlink()
                return False
            if application != _APPLICATION_ID or version != _VERSION:
                raise SpoolError(
                    f"{self.path} is not of this version's spool: set spool to another folder"
                )
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

    @contextmanager
    def _use(self) -> Generator[sqlite3.Connection]:
        """Hold the lock, and give the connection; opened anew where it was closed."""
        with _lock:
            if self._pid != os.getpid():  # forked past Python's hooks
                _disown(self)
            if self._connection is None:
                if self.path in _inherited_paths:
                    raise SpoolError(f"{self.path} belongs to the process that this one came from")
                self._connect()
            assert self._connection is not None  # noqa: S101 - for the type checker
            yield self._connection

    def add(self, added: Sequence[tuple[str, int, bytes]]) -> range:
        """
        Store reports - Idempotency-Key, tag, body -, all or none; return their numbers.

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
        with self._use() as connection, _transaction(connection, is_needed=len(batches) > 1):
            for batch in batches:
                connection.execute(
                    "INSERT INTO reports (number, idempotency_key, tag, body) VALUES "  # noqa: S608
                    + ", ".join(["(?, ?, ?, ?)"] * len(batch)),
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
        with self._use() as connection, _transaction(connection):
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
        query = "SELECT number, idempotency_key, tag, body FROM reports WHERE number > ?"
        if not dead_letters:
            query += " AND reason IS NULL"
        loaded: list[SpooledReport] = []
        with (
            self._use() as connection,
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
        with self._use() as connection:
            query = "SELECT sum(reason IS NULL), count(reason) FROM reports"
            waiting, dead_letters = connection.execute(query).fetchone()
        return Counts(waiting or 0, dead_letters)

    def delete_dead_letters(self, size: int) -> int:
        """Delete the oldest dead letters, of so many bytes; return how many."""
        doomed: list[tuple[int]] = []
        with self._use() as connection, _transaction(connection):
            query = "SELECT number, length(body) FROM reports WHERE reason IS NOT NULL"
            for number, length in connection.execute(f"{query} ORDER BY number"):
                doomed.append((number,))
                size -= length
                if size <= 0:
                    break
            connection.executemany("DELETE FROM reports WHERE number = ?", doomed)
        return len(doomed)

    def copy_log(self) -> None:
        """Copy the write-ahead log into the file, now rather than in the midst of a commit."""
        with self._use() as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """Close it, so that another process may take it over; remove it if it is empty."""
        with _lock:
            if self._pid != os.getpid():
                _disown(self)
            if self._connection is None:
                return
            is_empty = False
            with suppress(sqlite3.Error):
                query = "SELECT count(*) FROM reports"
                is_empty = not self._connection.execute(query).fetchone()[0]
            if is_empty:
                self._unlink()  # before the lock is given up
            self._disconnect()
            if is_empty:
                self._unlink()  # where an open file cannot be removed

    def _unlink(self) -> None:
        for name in (self.path, f"{self.path}-wal"):
            with suppress(OSError):
                os.unlink(name)  # noqa: PTH108 - with a suffix

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def quarantine(self) -> str:
        """Close a corrupt file and rename it; return the new name."""
        with _lock:
            with suppress(sqlite3.Error):
                self._disconnect()
            return quarantine(self.path)

    @property
    def is_in_place(self) -> bool:
        """Whether its path still names it; rows added to a file that was removed would be lost."""
        return self.path.exists()


def quarantine(path: Path) -> str:
    """Rename a corrupt file, so that nobody opens it again; return the new name."""
    name = f"{path}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}"
    # The log goes first: SQLite would apply an old log to a new file beside it.
    for suffix in ("-wal", ""):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{name}{suffix}")  # noqa: PTH104 - with a suffix
    return name


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


@contextmanager
def _transaction(connection: sqlite3.Connection, *, is_needed: bool = True) -> Generator[None]:
    """Run the block in one transaction; an exception rolls it back."""
    if not is_needed:
        yield
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # when the disk is full, SQLite has rolled back already
            connection.execute("ROLLBACK")
        raise


def _disown(file: SpoolFile) -> None:
    """In a forked child: never use, close or free a connection of the parent's."""
    if file._connection is not None:  # noqa: SLF001 - of this module
        _inherited.append(file._connection)  # noqa: SLF001
        _keep_for_ever(file._connection)  # noqa: SLF001
    _inherited_paths.add(file.path)
    file._connection, file._pid = None, os.getpid()  # noqa: SLF001


def _keep_for_ever(thing: Any) -> None:
    """Have an object outlive even the modules: freeing a connection closes it."""
    with suppress(ImportError, AttributeError):  # other interpreters, or built without it
        import ctypes  # noqa: PLC0415 - for forked children alone

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _in_child() -> None:
    for file in list(_open_files):
        _disown(file)
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_in_child
    )
