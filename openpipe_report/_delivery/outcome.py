"""
The outcome of one attempt to deliver a report: a value.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Delivered:
    """The server has it."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The server does not want it; trying again would not help."""

    reason: str


@dataclass(frozen=True, slots=True)
class Retryable:
    """It may work later."""

    reason: str
    got_response: bool
    """Whether any HTTP answer came."""
    retry_after: float | None = None
    """Seconds that the server asked us to wait."""


Outcome = Delivered | Rejected | Retryable
