"""The reports that feedback judged or corrected, read without the payloads of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openpipe_report._reading.source import EVERYTHING
from openpipe_report._report.feedback_labels import CORRECTED, FEEDBACK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openpipe_report._reading.source import Parameters, ReportSource, Row


def iterate_judged(source: ReportSource, where: Parameters = EVERYTHING) -> Iterator[Row]:
    """Yield the reports with feedback that match, with their payloads, the oldest first."""
    for row in source.oldest_first(where):
        if row["metadata"].keys() & {FEEDBACK, CORRECTED}:
            found = source.get(str(row["id"]))
            # A number may be the completion id of another report.
            if found is not None and found["id"] == row["id"]:
                yield found
