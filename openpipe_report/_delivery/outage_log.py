"""
Telling of outages: one line when a server has taken nothing for a while, one when it does again,
and one at the end for what is left in the spool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from openpipe_report._log import log_once, logger, run_guarded

if TYPE_CHECKING:
    from openpipe_report._settings import Settings

SAID_AFTER = 10.0
"""Seconds of failures alone after which the log says so."""


class OutageLog:
    """
    Says that a server takes no reports, after ten seconds, and once that it takes them again.

    Args:
        settings: Those of the channel.
    """

    def __init__(self, settings: Settings) -> None:
        self._host = urlsplit(settings.report_url).netloc
        self._retry_for = settings.retry_for
        self._spool = settings.spool
        self._logged: set[str] = set()
        self._since: float | None = None
        self._is_said = False

    def record_failure(self, now: float, reason: str, pending: int) -> None:
        """Note a failure, with how many reports are pending."""
        if self._since is None:
            self._since = now
        if self._is_said or now - self._since < SAID_AFTER:
            return
        self._is_said = True
        run_guarded(
            "logging an outage",
            logger.warning,
            "openpipe_report: %s has taken no report for %.0f s (%s). %d are pending; each is "
            "tried again for %.0f s after its first attempt",
            self._host,
            now - self._since,
            reason,
            pending,
            self._retry_for,
        )

    def record_success(self) -> None:
        """Note that a report was taken."""
        self._since = None
        if self._is_said:
            self._is_said = False
            run_guarded(
                "logging an outage",
                logger.info,
                "openpipe_report: %s takes reports again",
                self._host,
            )

    def log_spooled(self, count: int) -> None:
        """Log, once, how many reports a shutdown or the end of the process leaves in the spool."""
        if count:
            log_once(
                "left in the spool",
                "%d report(s) to %s are left in the spool %s; the next process that uses it "
                "delivers them, or `openpipe-report resend`",
                count,
                self._host,
                self._spool,
                said=self._logged,
            )
