"""The reports that feedback judged or corrected, read without the payloads of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openpipe_report._reading.source import EVERYTHING
from openpipe_report._report.feedback_labels import is_judged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openpipe_report._reading.source import Parameters, ReportSource, Row


def iterate_judged(source: ReportSource, where: Parameters = EVERYTHING) -> Iterator[Row]:
    """Yield the reports with feedback that match, with their payloads, the oldest first."""
    for row in source.oldest_first(where):
        if is_judged(row["metadata"]):
            # Not get(): an id may be the completion id of another report.
            found = source.tail(row["id"] - 1, limit=1, payloads=True)
            yield from (whole for whole in found if whole["id"] == row["id"])
