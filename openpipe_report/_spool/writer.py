"""
Writes to a spool file, and carries on without it where that fails.

No method raises. After an error the file is not used for some seconds, and never again if it is not
a spool. Each kind of error is logged once, with its consequence.
"""

from __future__ import annotations

import math
import sqlite3
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from openpipe_report._log import log_internal_error, log_once
from openpipe_report._spool.file import SpoolFile
from openpipe_report._spool.owner import LEASE
from openpipe_report._spool.schema import SpoolError, is_corrupt, is_full

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from openpipe_report._spool.rows import Destination, Rows, SpooledReport

_RESOLVE_WITHIN = 0.1
"""Seconds after which a resolution is written at the latest; several share one transaction."""
_CLAIM_INTERVAL = 3.0
"""Seconds between two attempts to claim the reports of dead processes."""
_MAX_CLAIMED = 500
"""Maximum number of reports in one claim."""
_CHECKPOINT_BYTES = 4 * 1024 * 1024
"""Bytes of added reports after which a checkpoint is started."""
_PAUSE, _PAUSE_IF_LOCKED = 5.0, 0.5
"""Seconds without the file after an error; the second if another program locked it."""


@dataclass(slots=True)
class _PendingResolutions:
    """Outcomes of stored reports that are not written to the file yet; fields as in `resolve()`."""

    removed: list[str] = field(default_factory=list[str])
    dead_lettered: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    released: list[str] = field(default_factory=list[str])
    due: float = math.inf
    """Time to write them (monotonic); infinity if there are none."""


class SpoolWriter:
    """
    Writes the reports for one destination to one file.

    Not thread-safe: it has no lock, because only the thread of its spool calls it.

    Args:
        path: The file.
        base_url: Base URL of the server that the reports are sent to.
        api_key: API key that they are sent with.
        max_bytes: Maximum size of the file.
    """

    def __init__(
        self, path: str | os.PathLike[str], base_url: str, api_key: str | None, max_bytes: int
    ) -> None:
        self.file = SpoolFile(path, max_bytes)
        self._base_url, self._api_key = base_url, api_key
        self._resolutions = _PendingResolutions()
        self._uncheckpointed = 0
        """Bytes of reports added since the last checkpoint."""
        self._has_rows = False
        """Whether the file may hold rows of this owner; true while a fork has closed it, too."""
        self._logged: set[str] = set()
        self._next_claim = self._next_heartbeat = self._usable_from = 0.0

    @property
    def due(self) -> float:
        """Time at which resolutions or a claim are due, even without new reports (monotonic)."""
        return min(self._next_claim, max(self._resolutions.due, self._usable_from))

    def add_resolution(self, key: str, reason: str | None) -> None:
        """
        Add the outcome of a stored report, to be written soon.

        Args:
            key: The report's Idempotency-Key.
            reason: None if it was delivered, "" if it is released for any process to claim;
                any other text is the reason why it becomes a dead letter.
        """
        pending = self._resolutions
        if reason is None:
            pending.removed.append(key)
        elif reason:
            pending.dead_lettered.append((key, reason))
        else:
            pending.released.append(key)
        pending.due = min(pending.due, time.monotonic() + _RESOLVE_WITHIN)

    def store(self, added: list[SpooledReport]) -> bool:
        """Add reports to the file; True if they are committed and so survive a crash."""
        return bool(added) and self._try_write(lambda: self._add(added))

    def write_resolutions(self, *, at_once: bool = False) -> None:
        """Write the pending resolutions if they are due, or `at_once`."""
        if self._resolutions.due < (math.inf if at_once else time.monotonic()):
            self._try_write(self._resolve)

    def _try_write(self, write: Callable[[], None]) -> bool:
        if time.monotonic() < self._usable_from:
            return False
        try:
            write()
        except Exception as error:  # noqa: BLE001 - reporting goes on from memory
            self._suspend(error)
            return False
        return True

    def _add(self, added: list[SpooledReport]) -> None:
        try:
            self._insert(added)
        except sqlite3.DatabaseError as error:
            if is_corrupt(error):
                self._quarantine()
            elif is_full(error) and self.file.is_open:
                self._make_room(sum(len(stored.body) for stored in added))
            else:
                raise
            self._insert(added)

    def _insert(self, added: list[SpooledReport]) -> None:
        destination = self._destination()
        with self.file.rows() as rows:
            rows.add(destination, added)
        self._has_rows = True
        self._uncheckpointed += sum(len(stored.body) for stored in added)
        if self._uncheckpointed > _CHECKPOINT_BYTES:
            self._uncheckpointed = 0
            self.file.start_checkpoint()

    def _resolve(self) -> None:
        pending = self._resolutions
        with self.file.rows() as rows:
            try:
                rows.resolve(pending.removed, pending.dead_lettered, pending.released)
            except sqlite3.OperationalError as error:
                if not is_full(error):
                    raise
                self._resolve_without_room(rows)
        self._resolutions = _PendingResolutions()

    def _resolve_without_room(self, rows: Rows) -> None:
        """Delete the dead letters instead of writing their reasons, which need space."""
        pending = self._resolutions
        rows.resolve(
            [*pending.removed, *(key for key, _ in pending.dead_lettered)], (), pending.released
        )
        self._warn_of_deleted(len(pending.dead_lettered))

    def _make_room(self, size: int) -> None:
        """Write the pending resolutions, which frees space, then delete old dead letters."""
        self._resolve()
        with self.file.rows() as rows:
            self._warn_of_deleted(rows.make_room(2 * size))

    def _warn_of_deleted(self, count: int) -> None:
        if count:
            self._warn("the file is full: %s or more dead letters were deleted", count)

    def heartbeat_and_claim(self, reports: int, size: int) -> list[SpooledReport]:
        """
        Record a heartbeat and claim reports of dead processes, each if it is due.

        Args:
            reports: Maximum number of reports to claim.
            size: Maximum number of bytes to claim.

        Returns:
            The claimed reports.
        """
        now = time.monotonic()
        if now < self._next_claim:
            return []
        self._next_claim = max(now + _CLAIM_INTERVAL, self._usable_from)
        if now < self._usable_from:
            return []
        try:
            self.file.close_if_replaced()
            destination = self._destination()
            with self.file.rows() as rows:
                if now >= self._next_heartbeat:
                    self._next_heartbeat = now + LEASE / 3
                    rows.heartbeat()
                claimed = rows.claim(destination, min(reports, _MAX_CLAIMED), size)
        except Exception as error:  # noqa: BLE001 - reporting goes on from memory
            self._suspend(error)
            return []
        if claimed:  # there may be more: claim again at once
            self._next_claim = now
            self._has_rows = True
        return claimed

    def release_all(self) -> int:
        """Release the rows of this owner, close the file, and return how many reports are left."""
        self._next_claim = self._next_heartbeat = 0.0
        try:
            remaining = self.file.release_all() if self.file.is_open or self._has_rows else 0
        except Exception as error:  # noqa: BLE001 - the process may be exiting
            self._suspend(error)
            return 0
        self._has_rows = False
        return remaining

    def _destination(self) -> Destination:
        return self.file.destination(self._base_url, self._api_key)

    def _suspend(self, error: Exception) -> None:
        """Log an error and do not use the file for a while, or never again if it is no spool."""
        if is_corrupt(error):
            try:
                self._quarantine()
            except (OSError, SpoolError) as problem:
                error = problem
            else:
                return
        if not isinstance(error, (sqlite3.Error, OSError, SpoolError)):
            log_internal_error("the spool")
        pause = _PAUSE_IF_LOCKED if "locked" in str(error) else _PAUSE
        if isinstance(error, SpoolError):
            pause = math.inf
        self._usable_from = time.monotonic() + pause
        reason = getattr(error, "strerror", None) or str(error)
        self._warn("reports are sent from memory only and would be lost in a crash: %s", reason)
        try:
            self.file.close()
        except sqlite3.Error:
            log_internal_error("closing the spool")

    def _quarantine(self) -> None:
        if name := self.file.quarantine():
            self._warn("the file was corrupt: it was renamed to %s and a new one was created", name)

    def _warn(self, what: str, detail: object) -> None:
        log_once(what, f"spool %s: {what}", self.file.path, detail, said=self._logged)
