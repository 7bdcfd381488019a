"""
Delivering what a spool holds for one destination, now.

What running processes hold is theirs to deliver. What fails here is left to the next process,
and what is rejected becomes a dead letter again; both at the end, or it would be found again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from openpipe_report._delivery.response import Delivered, Rejected
from openpipe_report._delivery.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report._settings import Settings
    from openpipe_report._spool.file import SpoolFile
    from openpipe_report._spool.rows import Destination, SpooledReport

_BATCH_REPORTS = 100
_BATCH_BYTES = 16 * 1024 * 1024


@dataclass
class Resending:
    """
    Tries each report once; stops where the server is out of reach, or asks to wait.

    Args:
        file: The spool; it is closed at the end.
        settings: Where to send, and with which key.
        destination: The same as the spool knows it.
        on_step: Called after each report.
    """

    file: SpoolFile
    settings: Settings
    destination: Destination
    on_step: Callable[[], object]
    delivered: list[str] = field(default_factory=list[str])
    """The keys of what the server has acknowledged."""
    failed: Counter[str] = field(default_factory=Counter[str])
    """How many may be delivered later, by reason."""
    rejected: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """The keys of what the server refused, and why."""

    def run(self, *, dead_letters: bool) -> None:
        """Do it; `dead_letters` for what was rejected before, too."""
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
        """Send a batch; False if it makes no sense to go on."""
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
