"""
Delivers the reports that a spool holds for one destination.

Reports of running processes are left to them. A report that fails is released to the next process,
and a rejected one becomes a dead letter again. Both happen at the end: otherwise the next batch
would claim the same reports again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from openpipe_report._delivery.outcome import Delivered, Rejected
from openpipe_report._delivery.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report._settings import Settings
    from openpipe_report._spool.file import SpoolFile
    from openpipe_report._spool.rows import Destination, SpooledReport

_BATCH_REPORTS = 100
_BATCH_BYTES = 16 * 1024 * 1024
"""Limits of one batch: reports, and bytes."""


@dataclass
class Resending:
    """
    Tries each report once; stops if the server is unreachable or asks clients to wait.

    Args:
        file: The spool; it is closed at the end.
        settings: The server and the key to send with.
        destination: The same server and key as the spool identifies them.
        on_step: Called after each report.
    """

    file: SpoolFile
    settings: Settings
    destination: Destination
    on_step: Callable[[], object]
    delivered: list[str] = field(default_factory=list[str])
    """Idempotency-Keys of the delivered reports."""
    failed: Counter[str] = field(default_factory=Counter[str])
    """Number of reports that failed and can be sent later, by reason."""
    rejected: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Idempotency-Keys of the reports that the server rejected, with the reasons."""

    def run(self, *, dead_letters: bool) -> None:
        """Claim and send reports until none is left; with `dead_letters` these as well."""
        transport = Transport(self.settings)
        try:
            goes_on = True
            while goes_on and (batch := self._claim(dead_letters=dead_letters)):
                goes_on = self._send(transport, batch)
        finally:
            transport.close()
            with self.file.rows() as rows:
                rows.resolve(self.delivered, self.rejected)
            self.file.release_all()

    def _claim(self, *, dead_letters: bool) -> list[SpooledReport]:
        with self.file.rows() as rows:
            rows.resolve(self.delivered)
            rows.heartbeat()
            return rows.claim(
                self.destination, _BATCH_REPORTS, _BATCH_BYTES, dead_letters=dead_letters
            )

    def _send(self, transport: Transport, batch: list[SpooledReport]) -> bool:
        """Send a batch; return False if further attempts would fail as well."""
        for stored in batch:
            outcome = transport.send(stored.body, stored.key)
            if isinstance(outcome, Delivered):
                self.delivered.append(stored.key)
            elif isinstance(outcome, Rejected):
                self.rejected.append((stored.key, outcome.reason))
            else:
                self.failed[outcome.reason] += 1
                if not outcome.got_response or outcome.retry_after:
                    return False
            self.on_step()
        return True
