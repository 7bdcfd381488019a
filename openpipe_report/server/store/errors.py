"""
What can go wrong in the store.

    StoreError                      the file cannot be used, or the store is closed
        StoreUnavailableError       for now: try again later
        IdempotencyConflictError    the key was used for another report
"""

from __future__ import annotations

from openpipe_report._errors import OpenPipeError


class StoreError(OpenPipeError):
    """A file cannot be used as the database; the message names the file and the remedy."""


class StoreUnavailableError(StoreError):
    """
    Nothing can be stored for now, and nothing was: the same report may be sent again later.

    The database is locked by another process, its disk is full or broken, or the path no longer
    names the file that was opened.
    """


class IdempotencyConflictError(StoreError):
    """The `Idempotency-Key` of a report was used before, for a report with another content."""
