"""
SpoolWriter: writes to a spool file, and goes on without it where that fails.

No method raises. A file that cannot be written is left alone for some seconds, one that is not
ours for good; each kind of trouble is logged once, with what it means.
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
"""Seconds within which ends are written down."""
_CLAIM_INTERVAL = 3.0
"""Seconds between two looks at what dead processes left."""
_MAX_CLAIMED = 500
_CHECKPOINT_BYTES = 4 * 1024 * 1024
_PAUSE, _PAUSE_IF_LOCKED = 5.0, 0.5
"""Seconds to leave a file alone that could not be written."""


@dataclass(slots=True)
class _PendingResolutions:
    """What became of stored reports and is not in the file yet."""

    removed: list[str] = field(default_factory=list[str])
    dead_lettered: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    released: list[str] = field(default_factory=list[str])
    due: float = math.inf
    """When to write that (monotonic)."""


class SpoolWriter:
    """
    Writes the reports for one destination to one file. Not for several threads at once.

    Args:
        path: The file.
        base_url: Where the reports go.
        api_key: The key they go with.
        max_bytes: How large the file may grow.
    """

    def __init__(
        self, path: str | os.PathLike[str], base_url: str, api_key: str | None, max_bytes: int
    ) -> None:
        self.file = SpoolFile(path, max_bytes)
        self._base_url, self._api_key = base_url, api_key
        self._resolutions = _PendingResolutions()
        self._uncheckpointed = 0
        self._has_rows = False
        """Whether the file may hold rows of ours; it may be closed even so, after a fork."""
        self._logged: set[str] = set()
        self._next_claim = self._next_heartbeat = self._usable_from = 0.0

    @property
    def due(self) -> float:
        """When there is something to do, without new reports (monotonic)."""
        return min(self._next_claim, max(self._resolutions.due, self._usable_from))

    def add_resolution(self, key: str, reason: str | None) -> None:
        """Note the end of a stored report: None delivered, else a dead letter, "" released."""
        pending = self._resolutions
        if reason is None:
            pending.removed.append(key)
        elif reason:
            pending.dead_lettered.append((key, reason))
        else:
            pending.released.append(key)
        pending.due = min(pending.due, time.monotonic() + _RESOLVE_WITHIN)

    def store(self, added: list[SpooledReport]) -> bool:
        """Add new reports; whether they are in the file, and will be there after a crash."""
        return bool(added) and self._try_write(lambda: self._add(added))

    def write_resolutions(self, *, at_once: bool = False) -> None:
        """Write down the ends that were noted, if it is time or `at_once`."""
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
        """Delete what is dead, where there is no room to write down why."""
        pending = self._resolutions
        rows.resolve(
            [*pending.removed, *(key for key, _ in pending.dead_lettered)], (), pending.released
        )
        self._warn_of_deleted(len(pending.dead_lettered))

    def _make_room(self, size: int) -> None:
        """Write down the ends, which makes room, then delete old dead letters."""
        self._resolve()
        with self.file.rows() as rows:
            self._warn_of_deleted(rows.make_room(2 * size))

    def _warn_of_deleted(self, count: int) -> None:
        if count:
            self._warn("it is full, so that %s or more dead letters were deleted", count)

    def heartbeat_and_claim(self, reports: int, size: int) -> list[SpooledReport]:
        """
        Say that we live, and take over what dead processes left.

        Args:
            reports: How many there is room for.
            size: How many bytes there is room for.
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
        if claimed:  # there may be more
            self._next_claim = now
            self._has_rows = True
        return claimed

    def release_all(self) -> int:
        """Let others take over what is left, close the file, and return how many reports wait."""
        self._next_claim = self._next_heartbeat = 0.0
        try:
            left = self.file.release_all() if self.file.is_open or self._has_rows else 0
        except Exception as error:  # noqa: BLE001 - the process may be leaving
            self._suspend(error)
            return 0
        self._has_rows = False
        return left

    def _destination(self) -> Destination:
        return self.file.destination(self._base_url, self._api_key)

    def _suspend(self, error: Exception) -> None:
        """Do without the file for a while, or for good."""
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
        self._warn("reports are sent from memory only, and a crash would lose them: %s", reason)
        try:
            self.file.close()
        except sqlite3.Error:
            log_internal_error("closing the spool")

    def _quarantine(self) -> None:
        if name := self.file.quarantine():
            self._warn("it was corrupt; it is kept as %s, and a new one begun", name)

    def _warn(self, what: str, detail: object) -> None:
        log_once(what, f"spool %s: {what}", self.file.path, detail, said=self._logged)
