"""
SpoolFile: one connection to one spool file, opened when it is needed.

SQLite and fork: a child inherits SQLite's own list of open files, with locks that the system did
not hand down, so that even a new connection would be wrong there. So every file is closed before
a fork, and opened again when needed; a child that inherited an open one all the same does without
(https://www.sqlite.org/howtocorrupt.html, 2.2 and 2.6).
"""

from __future__ import annotations

import hmac
import os
import sqlite3
import threading
import time
from contextlib import closing, contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import quote
from weakref import WeakSet

from openpipe_report._spool.owner import Owner
from openpipe_report._spool.rows import Destination, Rows
from openpipe_report._spool.schema import SpoolError, prepare

if TYPE_CHECKING:
    from collections.abc import Generator

_BUSY = 1.0
"""Seconds to wait for another process that is writing; a fork may have to wait as long."""

_files: WeakSet[SpoolFile] = WeakSet()
_files_lock = threading.RLock()
_locks: dict[str, threading.RLock] = {}
_forking: list[list[SpoolFile]] = []
"""The files whose locks are held by a fork that is under way; empty without one."""
_inherited: set[str] = set()
"""Paths that were open when this process was forked."""


class SpoolFile:
    """
    One connection to one file, for one owner; safe for threads.

    Args:
        path: The file; its folder must exist.
        max_bytes: How large it may grow, its write-ahead log (32 MiB and one batch) left out.
            None for as large as it likes.
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int | None = None) -> None:
        # SQLite names the log after the path it is given: a link would give it two.
        self.path = os.path.realpath(os.path.expanduser(path))  # noqa: PTH111 - with realpath
        self.lock = _locks.setdefault(self.path, threading.RLock())
        """One for all of this process that use the file: SQLite would only let them poll."""
        self.checkpointing = threading.Lock()
        """Held while a checkpoint has a connection of its own."""
        self._max_bytes = max_bytes
        self._owner = Owner()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._salt = b""
        with _files_lock:
            _files.add(self)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    @contextmanager
    def rows(self) -> Generator[Rows]:
        """
        Open the file if need be, and keep other threads and forks out until the block is left.

        Raises:
            SpoolError: The file is another program's, or of a newer version.
            sqlite3.Error: SQLite could not do it; here and in the block.
            OSError: The file could not be made.
        """
        with self.lock:
            yield Rows(self._open(), self._owner)

    def destination(self, base_url: str, api_key: str | None) -> Destination:
        """Say under what a destination is known in this file; raises as `rows()` does."""
        with self.lock:
            self._open()
            if not api_key:
                return Destination(base_url, "")
            return Destination(
                base_url, hmac.new(self._salt, api_key.encode(), "sha256").hexdigest()
            )

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        if self.path in _inherited:
            raise SpoolError(
                f"{self.path} was in use when this process was forked without Python's own fork "
                "hooks: make the first report after the fork, or give each process its own spool"
            )
        with suppress(FileExistsError):  # private from the start; SQLite's own files follow it
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        self._inode = os.stat(self.path).st_ino  # noqa: PTH116 - path is text
        connection = sqlite3.connect(
            self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False
        )
        try:
            prepare(connection, self.path, self._max_bytes)
            (self._salt,) = connection.execute("SELECT value FROM salt").fetchone()
            Rows(connection, self._owner).heartbeat()
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def start_checkpoint(self) -> None:
        """
        Move the log into the file, on a thread and a connection of their own.

        SQLite would do it within a commit, and wait for the disk; a report may not.
        """
        if self.checkpointing.acquire(blocking=False):
            try:
                threading.Thread(
                    target=self._checkpoint, name="openpipe-report-checkpoint", daemon=True
                ).start()
            except RuntimeError:  # the interpreter exits and starts no threads
                self.checkpointing.release()

    def _checkpoint(self) -> None:
        try:
            # Not to make a file where there is none any more.
            uri = f"file:{quote(self.path)}?mode=rw"
            with closing(sqlite3.connect(uri, uri=True, timeout=0)) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error:
            pass  # then a commit does it
        finally:
            self.checkpointing.release()

    def close(self) -> None:
        """Close the connection; the next use opens it again. The rows stay this owner's."""
        with self.lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def release_all(self) -> int:
        """Let others take over the rows of this owner, close, and return how many wait."""
        with self.rows() as rows:
            left = rows.release_all()
            self.close()
            self._owner = Owner()  # or, opened again, these rows would be its own
            return left

    def close_if_replaced(self) -> None:
        """Close if the path leads to another file by now: rows put into this one would be lost."""
        with self.lock:
            if self._connection is not None and not self._is_in_place():
                self.close()

    def _is_in_place(self) -> bool:
        try:
            return os.stat(self.path).st_ino == self._inode  # noqa: PTH116 - path is text
        except OSError:
            return False

    def _is_database(self) -> bool:
        with open(self.path, "rb") as file:  # noqa: PTH123 - path is text
            return file.read(16) in {b"SQLite format 3\0", bytes(16)}

    def quarantine(self) -> str:
        """
        Give a corrupt file another name, which is returned; empty if somebody else did.

        Raises:
            SpoolError: It never was a database, nor all zeros as after a crash of the machine.
        """
        with self.lock:
            if not self._salt and not self._is_database():
                raise SpoolError(f"{self.path} is no spool, left as it is: give another file")
            self.close()
            if not self._is_in_place():
                return ""
            stem = f"{self.path}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}"
            names = (f"{stem}-{number}" if number else stem for number in count())
            name = next(name for name in names if not os.path.lexists(name))
            # The log first: a new file beside an old log would take that for its own.
            for suffix in ("-wal", "-shm", ""):
                with suppress(FileNotFoundError):
                    os.rename(self.path + suffix, name + suffix)  # noqa: PTH104 - as above
            return name


def _before_fork() -> None:
    _files_lock.acquire()
    _forking.append(list(_files))
    for file in _forking[-1]:
        file.lock.acquire()
        file.checkpointing.acquire()
        with suppress(sqlite3.Error):
            file.close()


def _after_fork() -> None:
    for file in _forking.pop():
        file.checkpointing.release()
        file.lock.release()
    _files_lock.release()


def _in_child() -> None:
    # A reporter may have made its new file by now: that one is not inherited.
    inherited = _forking[-1] if _forking else [file for file in _files if file.is_open]
    _inherited.update(file.path for file in inherited if file.is_open)
    _files.difference_update(inherited)
    if _forking:
        _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
