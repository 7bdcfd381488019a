"""
How long a spool waits where no setting says so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SpoolTiming:
    """Tests give their own."""

    look_every: float = 3.0
    """Seconds between two looks for files of processes that have ended."""
    pause: float = 5.0
    """Seconds without storing after an error."""
    leave_alone: float = 60.0
    """Seconds for which a file is left alone whose reports are for another server or key."""


DEFAULT_SPOOL_TIMING = SpoolTiming()
