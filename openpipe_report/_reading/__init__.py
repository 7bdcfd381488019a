"""
Reads stored reports: from a database here, or over HTTP from a receiver elsewhere.

    source      ReportSource: what both can do
    errors      what can go wrong
    opening     open_source(): from a path, a database URL or a receiver's URL
    locations   tells these three apart
    local       LocalSource, over the store; needs the extra `server`
    remote      RemoteSource, over the receiver's API; needs no extra
    conditions  conditions as they can be sent
    answers     reads the answers of the API

Filters are the API's query parameters, as strings by name: `{"since": "1h", "metadata.user": "u"}`.
Reports are dicts in the API's JSON shape. So nothing above this package knows of SQLAlchemy, and
the same program runs on a file and on a receiver.
"""

from openpipe_report._reading.errors import QueryError, SourceError, SourceUnavailableError
from openpipe_report._reading.locations import display_name, is_receiver, is_url
from openpipe_report._reading.opening import open_source
from openpipe_report._reading.source import Parameters, ReportSource, Row

__all__ = [
    "Parameters",
    "QueryError",
    "ReportSource",
    "Row",
    "SourceError",
    "SourceUnavailableError",
    "display_name",
    "is_receiver",
    "is_url",
    "open_source",
]
