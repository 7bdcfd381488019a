"""
`POST /api/v1/report-anthropic`: stores the report of a call of Anthropic's messages.

It takes the fields of `POST /report`, whose payloads are Anthropic's here, and `metadata`, the
call's labels. They are stored as tags, where they win over tags of the same name, because
`reqPayload.metadata` is Anthropic's own. So what is stored is a report like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from openpipe_report._report.model import NotNull, Report, Tag
from openpipe_report.server.intake import parse_within
from openpipe_report.server.routes import BASE_PATH
from openpipe_report.server.routes.report import answering_reports
from openpipe_report.server.store.preparing import PreparedReport, prepare_report
from openpipe_report.server.validation import REPORT_RULES, TAG, check, parse_object

if TYPE_CHECKING:
    from openpipe_report.server.intake import Intake
    from openpipe_report.server.routes import Routes
    from openpipe_report.server.traffic import Traffic

_RULES = {**REPORT_RULES, "metadata": "must be an object", "metadata.*": TAG}


class AnthropicReport(Report):
    """One report, as `POST /report-anthropic` takes it."""

    metadata: Annotated[dict[str, Tag] | None, NotNull] = None
    """The labels of the call."""


def routes(intake: Intake, traffic: Traffic) -> Routes:
    """Return the route; each report is answered once it is committed."""
    handle = answering_reports(intake, traffic, prepare_anthropic)
    return {f"{BASE_PATH}/report-anthropic": {"POST": handle}}


def prepare_anthropic(body: bytes | bytearray, max_nodes: int) -> PreparedReport:
    """Parse a body of `POST /report-anthropic` and derive its columns; raises as `parse_within`."""
    report = parse_within(body, max_nodes, _read)
    metadata = report.pop("metadata", {})
    tags = {"$endpoint": "messages", **report.get("tags", {}), **metadata}
    return prepare_report({**report, "tags": tags})


def _read(body: bytes | bytearray) -> dict[str, Any]:
    report = parse_object(body)
    check(report, AnthropicReport, _RULES, "report")
    return report
