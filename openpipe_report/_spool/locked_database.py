"""
A SQLite database that this process has to itself for as long as it is open.

The lock is SQLite's own (`locking_mode=EXCLUSIVE`), which the system drops when the process dies.
So "its process is dead" is "it can be locked", in other containers and after a restart too.

Fork. A forked child inherits the connection, but neither the lock nor the right to use it: even
closing it would write to the parent's file. It is never used there, and never freed. `sqlite_lock`
is held while SQLite works, and by a fork: no thread of the parent is inside SQLite then.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from weakref import WeakSet

from openpipe_report._errors import OpenPipeError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

PAGE = 4096
"""Bytes of a page."""
_LOG_BYTES = 32 * 1024 * 1024
"""Size of the write-ahead log at which a commit copies it into the file, if nothing has before."""


class SpoolError(OpenPipeError):
    """A spool cannot be used and was left unchanged; the message names the remedy."""


sqlite_lock = threading.RLock()
"""Held while SQLite works, and by a fork."""


class _Files:
    """The databases that this process has open, and those that it has inherited by a fork."""

    def __init__(self) -> None:
        self.open: WeakSet[LockedDatabase] = WeakSet()
        self.inherited: list[sqlite3.Connection] = []
        self.inherited_paths: set[Path] = set()
        """SQLite takes these for locked by this process, whoever has the lock."""


_files = _Files()


class LockedDatabase:
    """
    One file and the connection to it. Safe to use from any thread.

    Args:
        path: Where it is.
        max_bytes: Its size at the most, not counting the write-ahead log. None for no limit.
    """

    def __init__(self, path: Path, max_bytes: int | None = None) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._connection: sqlite3.Connection | None = None
        self._pid = os.getpid()

    def connect(self) -> None:
        """
        Open it, and lock it at the first use.

        Raises:
            sqlite3.OperationalError: "locked" where another process has it open.
        """
        # mode=rw: a file that another process has just removed is not to be made again.
        connection = sqlite3.connect(
            f"file:{quote(str(self.path.absolute()))}?mode=rw",
            uri=True,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
        )
        self._connection, self._pid = connection, os.getpid()
        _files.open.add(self)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # A commit survives the death of the process; not, for the last ones, that of the machine.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_BYTES // PAGE}")
        if self._max_bytes is not None:
            connection.execute(f"PRAGMA max_page_count = {max(self._max_bytes // PAGE, 16)}")

    @contextmanager
    def use(self) -> Generator[sqlite3.Connection]:
        """Hold the lock, and give the connection; opened anew where it was closed."""
        with sqlite_lock:
            if not self.is_open:
                if self.path in _files.inherited_paths:
                    raise SpoolError(f"{self.path} belongs to the process that this one came from")
                self.connect()
            assert self._connection is not None  # noqa: S101 - for the type checker
            yield self._connection

    def unlink(self) -> None:
        """Remove the file and its log."""
        for name in (self.path, f"{self.path}-wal"):
            with suppress(OSError):
                os.unlink(name)  # noqa: PTH108 - with a suffix

    @property
    def is_open(self) -> bool:
        """Whether this process has it open; a forked child's parent's does not count."""
        if self._pid != os.getpid():  # forked past Python's hooks
            _disown(self)
        return self._connection is not None

    def disconnect(self) -> None:
        """Close it, so that another process may open it."""
        with sqlite_lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    @property
    def is_in_place(self) -> bool:
        """Whether its path still names it; rows added to a file that was removed would be lost."""
        return self.path.exists()


def is_inherited(path: Path) -> bool:
    """Whether the process that this one was forked from had it open then."""
    return path in _files.inherited_paths


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
def transaction(connection: sqlite3.Connection, *, is_needed: bool = True) -> Generator[None]:
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


def _disown(file: LockedDatabase) -> None:
    """In a forked child: never use, close or free a connection of the parent's."""
    if file._connection is not None:  # noqa: SLF001 - of this module
        _files.inherited.append(file._connection)  # noqa: SLF001
        _keep_for_ever(file._connection)  # noqa: SLF001
    _files.inherited_paths.add(file.path)
    file._connection, file._pid = None, os.getpid()  # noqa: SLF001


def _keep_for_ever(thing: Any) -> None:
    """Have an object outlive even the modules: freeing a connection closes it."""
    with suppress(ImportError, AttributeError):  # other interpreters, or built without it
        import ctypes  # noqa: PLC0415 - for forked children alone

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _in_child() -> None:
    for file in list(_files.open):
        _disown(file)
    sqlite_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=sqlite_lock.acquire, after_in_parent=sqlite_lock.release, after_in_child=_in_child
    )
