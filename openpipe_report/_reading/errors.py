"""
What can go wrong when reports are read.

    SourceError                     the message names the source and the remedy, never a key
        SourceUnavailableError      for now: try again later
        QueryError                  a filter is wrong
"""

from __future__ import annotations

from openpipe_report._errors import OpenPipeError


class SourceError(OpenPipeError):
    """Stored reports cannot be read."""


class SourceUnavailableError(SourceError):
    """The receiver cannot be reached, or cannot read its database, for now."""


class QueryError(SourceError, ValueError):
    """A query parameter is unknown or has a wrong value."""
