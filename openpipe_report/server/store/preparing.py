"""
Turns a report into the rows that are stored of it.

It takes longer than the insert, and needs no database: a large report can be prepared in another
thread or process than the one that receives it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from openpipe_report.server.store.columns import derive_columns
from openpipe_report.server.store.labels import derive_labels
from openpipe_report.server.store.search_text import derive_text


@dataclass(frozen=True)
class PreparedReport:
    """A report as it is stored. Plain values, so that it can be pickled."""

    raw: str
    """The whole report as ASCII JSON."""
    columns: dict[str, Any]
    """The derived columns by name, and `stored_at`."""
    labels: list[dict[str, Any]]
    """Rows of the table `labels`, without `report_id`."""
    text: str
    """The text that it is found by."""


def prepare_report(
    report: dict[str, Any], *, raw: str | None = None, stored_at: float | None = None
) -> PreparedReport:
    """
    Derive from a valid report all that is stored of it, except its cost.

    Args:
        report: The report as parsed JSON, with the API's names.
        raw: The JSON text that it was parsed from, which is kept if it is ASCII. Otherwise, and by
            default, the report is encoded anew.
        stored_at: When it came: Unix time in milliseconds; now by default.

    Raises:
        ValueError: The report has a number that JSON cannot express (NaN, infinity).

    """
    if raw is None or not raw.isascii():
        raw = json.dumps(report, allow_nan=False, separators=(",", ":"))
    return derive_all(report, raw, time.time() * 1_000 if stored_at is None else stored_at)


def derive_all(report: dict[str, Any], raw: str, stored_at: float) -> PreparedReport:
    """Derive what `prepare_report()` does from a report whose ASCII JSON is known."""
    columns = {"stored_at": stored_at, **derive_columns(report, stored_at)}
    return PreparedReport(raw, columns, derive_labels(report), derive_text(report))
