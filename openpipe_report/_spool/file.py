"""
One connection to one spool file, opened on demand.

Fork. SQLite keeps a list of open files and their locks in the process; a forked child inherits the
list but not the system's locks, so that even a new connection would be wrong in it. Every file is
therefore closed before a fork and opened again on demand. A child that inherited an open file all
the same, because Python's hook before the fork did not run, never uses that file
(https://www.sqlite.org/howtocorrupt.html, 2.2 and 2.6).

Locks, in the order in which they are taken:

1. `_files_lock` guards the set of files of this process.
2. `SpoolFile.lock`, one per path, guards the connections to that file.
3. `SpoolFile.checkpointing`, one per file, is held while a checkpoint runs.

A fork takes all of them, so that no thread is inside SQLite at that moment; any other code holds
one at a time. The first two are re-entrant, because a signal handler may fork in the middle of that
code. The thread that holds `checkpointing` waits for no other lock.
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
"""Seconds to wait while another process writes; a fork may have to wait as long."""

_files: WeakSet[SpoolFile] = WeakSet()
_files_lock = threading.RLock()
_locks: dict[str, threading.RLock] = {}
"""The lock of each path; entries are only added, by `setdefault()`, which is atomic."""
_forking: list[list[SpoolFile]] = []
"""The files whose locks are held by a fork in progress; empty at any other time."""
_inherited: set[str] = set()
"""Paths that were open when this process was forked."""


class SpoolFile:
    """
    One connection to one file on behalf of one owner. Safe to use from any thread.

    Args:
        path: The file; its folder must exist.
        max_bytes: Maximum size of the file, not counting its write-ahead log, which takes up to
            32 MiB and one batch more. None for no limit.
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int | None = None) -> None:
        # SQLite names the log after the path that it is given: a link would make it a second log.
        self.path = os.path.realpath(os.path.expanduser(path))  # noqa: PTH111 - with realpath
        self.lock = _locks.setdefault(self.path, threading.RLock())
        """Shared by every SpoolFile of this path in the process; SQLite's own lock is polled."""
        self.checkpointing = threading.Lock()
        """Held while a checkpoint runs on a connection of its own."""
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
        Open the file on demand and hold its lock while the block runs.

        Other threads of this process wait for the lock, and so does a fork.

        Raises:
            SpoolError: The file belongs to another program, or a newer version has written it.
            sqlite3.Error: SQLite failed to open the file, or failed in the block.
            OSError: The file could not be created.
        """
        with self.lock:
            yield Rows(self._open(), self._owner)

    def destination(self, base_url: str, api_key: str | None) -> Destination:
        """Return how this file identifies a server and an API key; raises as `rows()` does."""
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
                f"{self.path} was open when this process was forked without Python's own fork "
                "hooks: make the first report after the fork, or give each process its own spool"
            )
        # Created with mode 0600 before SQLite sees it; SQLite gives its other files the same mode.
        with suppress(FileExistsError):
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
        Copy the write-ahead log into the file, on a thread and a connection of its own.

        SQLite would do so within a commit, which would then wait for the disk and delay reports.
        """
        if self.checkpointing.acquire(blocking=False):
            try:
                threading.Thread(
                    target=self._checkpoint, name="openpipe-report-checkpoint", daemon=True
                ).start()
            except RuntimeError:  # the interpreter exits and starts no threads any more
                self.checkpointing.release()

    def _checkpoint(self) -> None:
        try:
            # mode=rw: a file that was deleted is not to be created again.
            uri = f"file:{quote(self.path)}?mode=rw"
            with closing(sqlite3.connect(uri, uri=True, timeout=0)) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error:
            pass  # a later commit will copy the log
        finally:
            self.checkpointing.release()

    def close(self) -> None:
        """Close the connection; the next use opens it again. This owner keeps its rows."""
        with self.lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def release_all(self) -> int:
        """Release the rows of this owner and close; return how many reports are left in them."""
        with self.rows() as rows:
            remaining = rows.release_all()
            self.close()
            self._owner = Owner()  # the same owner would still have those rows when it opens again
            return remaining

    def close_if_replaced(self) -> None:
        """Close if the path names another file by now: rows added to the old one would be lost."""
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
        Rename a corrupt file, so that a new one can take its place.

        Returns:
            The new name; empty if another process has renamed the file already.

        Raises:
            SpoolError: The file is no damaged spool: it has neither SQLite's header nor the zeros
                that a crash of the machine can leave.
        """
        with self.lock:
            if not self._salt and not self._is_database():
                raise SpoolError(
                    f"{self.path} is not a spool and was left unchanged: set spool to another file"
                )
            self.close()
            if not self._is_in_place():
                return ""
            stem = f"{self.path}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}"
            names = (f"{stem}-{number}" if number else stem for number in count())
            name = next(name for name in names if not os.path.lexists(name))
            # The log goes first: SQLite would apply an old log to a new file beside it.
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
    # Without an entry in `_forking` the hook before the fork did not run. Where it did, only its
    # files count: a reporter's own hook in the child may have opened a new one by now.
    inherited = _forking[-1] if _forking else [file for file in _files if file.is_open]
    _inherited.update(file.path for file in inherited if file.is_open)
    _files.difference_update(inherited)
    if _forking:
        _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
