"""
One spool as this process sees it: its own file, and those that dead processes have left.

No method raises. After an error nothing is stored for some seconds, or never again if the folder
cannot be a spool; reports are then sent from memory alone. Each kind of error is logged once.

Not thread-safe: only the thread of its spool calls it.
"""

from __future__ import annotations

import math
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from openpipe_report._log import log_internal_error, log_once
from openpipe_report._spool.backlog import Backlog, Place
from openpipe_report._spool.file import SpoolFile
from openpipe_report._spool.locked_database import SpoolError, is_corrupt, is_full
from openpipe_report._spool.orphans import Orphans, close_file
from openpipe_report._spool.timing import DEFAULT_SPOOL_TIMING, SpoolTiming

if TYPE_CHECKING:
    from collections.abc import Sequence

_WRITE_ENDS_WITHIN = 0.1
"""Seconds after which the end of a report is written at the latest; several share one commit."""
_CHECKPOINT_AT = 4 * 1024 * 1024
"""Bytes of stored reports after which the log is copied into the file, when there is time."""


class LoadedReport(NamedTuple):
    """A report that was read back."""

    place: Place
    idempotency_key: str
    tag: int | None
    """As it was given to `add()`; None if another process stored it."""
    body: bytes
    path: str
    """Where it is posted, below the base URL."""


class SpoolFolder:
    """
    Stores the reports for one destination, and reads them back.

    Args:
        path: The folder; made at the first report.
        base_url: Base URL of the server that the reports are sent to.
        api_key: API key that they are sent with.
        max_bytes: Size of this process's file at the most.
        timing: How long to wait.
    """

    def __init__(
        self,
        path: str,
        base_url: str,
        api_key: str | None,
        max_bytes: int,
        timing: SpoolTiming = DEFAULT_SPOOL_TIMING,
    ) -> None:
        self.path = Path(path).expanduser()
        self._base_url, self._api_key, self._max_bytes = base_url, api_key, max_bytes
        self._timing = timing
        self._own: Backlog | None = None
        self.orphans = Orphans(
            self.path, lambda file: file.is_for(base_url, api_key), timing, self._warn
        )
        self.has_lost_backlog = False
        """Whether a file of this process is gone that held reports which are not in memory."""
        self._ends: list[tuple[Place, str | None]] = []
        """Reports that have ended, and why not well; they are not written yet."""
        self._ends_due = math.inf
        self._stored_bytes = 0
        """Since the last checkpoint."""
        self._logged: set[str] = set()
        self._usable_from = 0.0

    @property
    def due(self) -> float:
        """When (monotonic) there is something to do even without a new report."""
        return 0.0 if self._needs_checkpoint else min(self.orphans.next_look, self._ends_due)

    @property
    def has_backlog(self) -> bool:
        """Whether this process's file holds reports that are not in memory."""
        return self._own is not None and not self._own.is_read

    def add(self, added: Sequence[tuple[str, int, bytes, str]]) -> list[Place] | None:
        """
        Store reports - Idempotency-Key, tag, body, path -, so that they survive a crash.

        Unless `set_aside()` says otherwise, they stay in memory as well. Returns None on failure.
        """
        if not added or time.monotonic() < self._usable_from:
            return None
        numbers = self._add(added)
        if numbers is None and self._own is None and time.monotonic() >= self._usable_from:
            numbers = self._add(added)  # the file was corrupt and is renamed
        if numbers is None:
            return None
        assert self._own is not None  # noqa: S101 - made by `_add_to_own()`
        self._own.note_added(numbers)
        self._stored_bytes += sum(len(body) for _, _, body, _ in added)
        return [Place(self._own.file, number) for number in numbers]

    def _add(self, added: Sequence[tuple[str, int, bytes, str]]) -> range | None:
        try:
            return self._add_to_own(added)
        except Exception as error:  # noqa: BLE001 - reporting goes on from memory
            self._suspend(error, self._own.file if self._own else None)
            return None

    def _add_to_own(self, added: Sequence[tuple[str, int, bytes, str]]) -> range:
        if self._own is not None and not self._own.file.is_in_place:
            self._give_up_own()
        if self._own is None:
            file = SpoolFile.create(self.path, self._base_url, self._api_key, self._max_bytes)
            self._own = Backlog(file, is_read=True)
        try:
            return self._own.file.add(added)
        except sqlite3.OperationalError as error:
            size = 2 * sum(len(body) for _, _, body, _ in added)
            if not is_full(error) or not (deleted := self._own.file.delete_dead_letters(size)):
                raise
            self._warn("the file is full: %s or more dead letters were deleted", deleted)
            return self._own.file.add(added)

    def _give_up_own(self) -> None:
        self.has_lost_backlog = self.has_lost_backlog or self.has_backlog
        own, self._own = self._own, None
        if own is not None:
            with suppress(sqlite3.Error):
                own.file.disconnect()

    def set_aside(self, place: Place) -> None:
        """Note that a report that was just stored does not stay in memory, nor any after it."""
        if self._own is not None and self._own.file is place.file and self._own.is_read:
            self._own.go_back(place.number)

    def add_end(self, place: Place, reason: str | None) -> None:
        """
        Note how a stored report has ended, to be written soon.

        Args:
            place: Where it is stored.
            reason: Why it becomes a dead letter; None if it was delivered.
        """
        self._ends.append((place, reason))
        soon = max(time.monotonic() + _WRITE_ENDS_WITHIN, self._usable_from)
        self._ends_due = min(self._ends_due, soon)

    def write_ends(self, *, at_once: bool = False) -> None:
        """Write the ends of reports, if they are due, or `at_once`."""
        if not self._ends or not (at_once or self._ends_due <= time.monotonic()):
            return
        ends, self._ends, self._ends_due = self._ends, [], math.inf
        for file in {place.file for place, _ in ends}:
            removed = [place.number for place, why in ends if place.file is file and why is None]
            dead = [(why, place.number) for place, why in ends if place.file is file and why]
            try:
                self._resolve(file, removed, dead)
            except Exception as error:  # noqa: BLE001 - reporting goes on from memory
                if file.is_in_place:
                    self._suspend(error, file)
                    self._keep_ends(error, [each for each in ends if each[0].file is file])
            backlog = next((each for each in self._backlogs() if each.file is file), None)
            if backlog is None:
                file.close()  # it was closed before this end came
            elif backlog is not self._own and backlog.is_read:
                self.orphans.next_look = 0.0  # it may be empty now

    def _keep_ends(self, error: Exception, ends: list[tuple[Place, str | None]]) -> None:
        """Try again later to write ends, where the disk was full, or the like."""
        if not is_corrupt(error):
            self._ends += ends
            self._ends_due = time.monotonic() + max(self._timing.pause, 0.01)

    def _resolve(self, file: SpoolFile, removed: list[int], dead: list[tuple[str, int]]) -> None:
        try:
            file.resolve(removed, dead)
        except sqlite3.OperationalError as error:
            if not is_full(error) or not dead:
                raise
            file.resolve([*removed, *(number for _, number in dead)])  # a reason needs room
            self._warn("the file is full: %s dead letters were deleted", len(dead))

    def load(self, reports: int, size: int) -> list[LoadedReport]:
        """
        Read reports back that are not in memory, of this process first.

        Args:
            reports: How many at the most.
            size: Bytes at the most; the first one may be larger.
        """
        now = time.monotonic()
        if reports <= 0 or size <= 0 or now < self._usable_from:
            self.orphans.next_look = max(self.orphans.next_look, now + self._timing.look_every)
            return []
        if not self.has_backlog:
            self.orphans.look(None if self._own is None else self._own.file.path)
        for backlog in [each for each in self._backlogs() if not each.is_read]:
            try:
                found = backlog.read(reports, size)
            except Exception as error:  # noqa: BLE001 - reporting goes on from memory
                self._suspend(error, backlog.file)
                return []
            if found:
                is_own = backlog is self._own
                return [
                    LoadedReport(
                        Place(backlog.file, each.number),
                        each.idempotency_key,
                        each.tag if is_own else None,
                        each.body,
                        each.path,
                    )
                    for each in found
                ]
            if backlog is not self._own:
                self.orphans.next_look = 0.0  # there may be another file
        return []

    def unread(self, place: Place) -> None:
        """Note that a report which was read back, and those after it, found no room in memory."""
        for backlog in self._backlogs():
            if backlog.file is place.file:
                backlog.go_back(place.number)

    def _backlogs(self) -> list[Backlog]:
        return [*([self._own] if self._own else []), *self.orphans.backlogs]

    @property
    def _needs_checkpoint(self) -> bool:
        return self._stored_bytes > _CHECKPOINT_AT

    def checkpoint(self) -> None:
        """Copy the log into the file if it is large; called when there is nothing else to do."""
        if self._needs_checkpoint:
            self._stored_bytes = 0
            if self._own is not None:
                with suppress(sqlite3.Error, SpoolError):
                    self._own.file.checkpoint()

    def close(self) -> int:
        """Close all files, for other processes to take over; return how many reports are left."""
        remaining = 0 if self._own is None else close_file(self._own.file)
        remaining += sum(self.orphans.close(each) for each in list(self.orphans.backlogs))
        self._own, self.orphans.next_look = None, 0.0
        return remaining

    def _suspend(self, error: Exception, file: SpoolFile | None) -> None:
        """Log an error and store nothing for a while, or never again if this can be no spool."""
        if is_corrupt(error) and file is not None:
            with suppress(OSError):
                self._warn("a file was corrupt: it was renamed to %s", file.quarantine())
                self.orphans.forget(file)
                if self._own is not None and self._own.file is file:
                    self._give_up_own()
                return
        if not isinstance(error, (sqlite3.Error, OSError, SpoolError)):
            log_internal_error("the spool")
        pause = math.inf if isinstance(error, SpoolError) else self._timing.pause
        self._usable_from = time.monotonic() + pause
        self.orphans.next_look = self._usable_from
        reason = getattr(error, "strerror", None) or str(error)
        self._warn("reports are sent from memory only and would be lost in a crash: %s", reason)

    def _warn(self, what: str, detail: object) -> None:
        log_once(what, f"spool %s: {what}", self.path, detail, said=self._logged)
