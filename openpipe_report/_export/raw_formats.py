"""
The formats that leave the payloads as they were recorded.

`openpipe` is what OpenPipe's hosted service exports (https://docs.openpipe.ai/features/request-logs/
exporting-logs): `{"input": ..., "output": ..., "tags": {...}}`, with the request, the answer, and
the client's tags beside the labels. Failed calls are in it; an answer that never came is the error
that was reported. `jsonl` has whole rows, as the API answers them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openpipe_report._export.formats import Item
from openpipe_report._export.inputs import RowInput
from openpipe_report._export.reasons import LeftOutError, Reason
from openpipe_report._export.writing import LineWriter
from openpipe_report._report.json_values import get_object

if TYPE_CHECKING:
    from openpipe_report._export.calls import Row
    from openpipe_report._export.writing import Sink, Writer


class _Lines:
    def finish(self) -> None:
        """Do nothing: no row is kept."""

    def open(self, sink: Sink) -> Writer:
        """Return the writer of a file."""
        return LineWriter(sink)


class OpenPipe(_Lines):
    """Calls as OpenPipe's hosted service exports them."""

    def convert(self, row: Row) -> list[Item]:
        """Return a call; a span is none."""
        report, labels = get_object(row.get("report")), get_object(row.get("metadata"))
        request = report.get("reqPayload")
        if row.get("endpoint") == "span":
            raise LeftOutError(Reason.OTHER_ENDPOINT)
        if not isinstance(request, dict):
            raise LeftOutError(Reason.UNREADABLE)
        sent = get_object(report.get("tags"))
        own = {name: sent[name] for name in sent if name.startswith("$")}
        line = {"input": request, "output": _read_output(report), "tags": {**own, **labels}}
        return [Item(line, RowInput(row))]


class Rows(_Lines):
    """Whole rows."""

    def convert(self, row: Row) -> list[Item]:
        """Return the row."""
        return [Item(row, RowInput(row))]


def _read_output(report: dict[str, Any]) -> Any:
    if report.get("respPayload") is not None or report.get("errorMessage") is None:
        return report.get("respPayload")
    return {"error": {"message": report["errorMessage"]}}
