"""
Telling of outages: one line when a server has taken nothing for a while, one when it does again.
"""

from __future__ import annotations

from openpipe_report._log import logger, run_guarded

SAID_AFTER = 10.0
"""Seconds of failures alone after which the log says so."""


class OutageLog:
    """
    Says that a server takes no reports, after ten seconds, and once that it takes them again.

    Args:
        host: The server, as the lines name it.
        retry_for: Seconds for which a report is tried again.
    """

    def __init__(self, host: str, retry_for: float) -> None:
        self._host = host
        self._retry_for = retry_for
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
