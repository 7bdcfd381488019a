"""Opens the source of reports that a path or a URL names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from openpipe_report._reading.locations import is_receiver

if TYPE_CHECKING:
    from openpipe_report._reading.source import ReportSource


def open_source(location: str | os.PathLike[str], *, api_key: str | None = None) -> ReportSource:
    """
    Open stored reports to read them.

    Args:
        location: The path of a database file, the URL of a database
            (`postgresql+psycopg://...`), or the URL of a receiver (`http://127.0.0.1:8417`), with
            or without `/api/v1`.
        api_key: The key for a receiver that asks for one.

    Raises:
        SourceError: It is not there, or cannot be read. A receiver is asked with the first query.

    """
    # Each imports what the other does not need.
    text = os.fspath(location)
    if is_receiver(text):
        from openpipe_report._reading.remote import RemoteSource  # noqa: PLC0415

        return RemoteSource(text, api_key=api_key)
    from openpipe_report._reading.local import LocalSource  # noqa: PLC0415

    return LocalSource(text)
