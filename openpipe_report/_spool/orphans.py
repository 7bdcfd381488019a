"""
The files that dead processes have left in a spool: taken over, read, and removed when empty.

Not thread-safe: only the thread of its spool calls it.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from openpipe_report._log import log_internal_error
from openpipe_report._spool.backlog import Backlog
from openpipe_report._spool.file import PATTERN, SpoolFile, quarantine
from openpipe_report._spool.locked_database import SpoolError, is_corrupt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openpipe_report._spool.timing import SpoolTiming

_OPEN_AT_ONCE = 16
"""How many are open at the most: descriptors are the user's."""


class Orphans:
    """
    Takes over the files for one destination whose processes have ended.

    Args:
        folder: Where they are.
        is_mine: Whether the reports of a file are for this destination.
        timing: How long to wait.
        warn: Logs a kind of problem, with its detail.
    """

    def __init__(
        self,
        folder: Path,
        is_mine: Callable[[SpoolFile], bool],
        timing: SpoolTiming,
        warn: Callable[[str, object], None],
    ) -> None:
        self._folder = folder
        self._is_mine = is_mine
        self._timing = timing
        self._warn = warn
        self._left_alone: dict[Path, float] = {}
        """Until when (monotonic)."""
        self.backlogs: list[Backlog] = []
        self.are_adopted = True
        """Whether more are taken over."""
        self.next_look = 0.0
        """When (monotonic) to look again."""

    def look(self, own: Path | None) -> None:
        """
        Close those that are empty and take over another one, every few seconds.

        Args:
            own: This process's file.
        """
        now = time.monotonic()
        if now < self.next_look:
            return
        self.next_look = now + self._timing.look_every
        for backlog in [each for each in self.backlogs if each.is_read]:
            if not _waiting(backlog.file):
                self.close(backlog)
        if not self.are_adopted or len(self.backlogs) >= _OPEN_AT_ONCE:
            return
        known = {own, *(each.file.path for each in self.backlogs)}
        for path in sorted(self._folder.glob(PATTERN)):
            if path in known or self._left_alone.get(path, 0.0) > now:
                continue
            if self._take(path, now):
                self.next_look = now  # there may be more
                return

    def _take(self, path: Path, now: float) -> bool:
        file = None
        try:
            file = SpoolFile.take_over(path)
            if file is None:
                return False
            is_wanted = self._is_mine(file) and file.counts().waiting > 0
        except Exception as error:  # noqa: BLE001 - one file does not stop the others
            self._set_aside(path, file, error, now)
            return False
        if is_wanted:
            self.backlogs.append(Backlog(file, is_read=False))
        else:
            file.close()
            self._left_alone[path] = now + self._timing.leave_alone
        return is_wanted

    def _set_aside(self, path: Path, file: SpoolFile | None, error: Exception, now: float) -> None:
        if is_corrupt(error):
            name = quarantine(path) if file is None else file.quarantine()
            self._warn("a file was corrupt: it was renamed to %s", name)
            return
        if file is not None:
            file.close()
        self._left_alone[path] = now + self._timing.leave_alone
        self._warn("a file cannot be read: %s", error)

    def forget(self, file: SpoolFile) -> None:
        """Note that a file is corrupt, and renamed."""
        self.backlogs = [each for each in self.backlogs if each.file is not file]

    def close(self, backlog: Backlog) -> int:
        """Close a file; return how many reports are left in it."""
        self.backlogs.remove(backlog)
        return close_file(backlog.file)


def close_file(file: SpoolFile) -> int:
    """Close a file, which removes it where it is empty; return how many reports wait in it."""
    count = _waiting(file)
    try:
        file.close()
    except sqlite3.Error:
        log_internal_error("closing the spool")
    return count


def _waiting(file: SpoolFile) -> int:
    with suppress(sqlite3.Error, SpoolError):
        return file.counts().waiting
    return 0
