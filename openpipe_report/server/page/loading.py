"""Loads a report for a page, as much of it as can be parsed in a short time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from openpipe_report._report.json_values import get_object
from openpipe_report.server.nodes import has_more_nodes
from openpipe_report.server.page.conversation.words import parse_beginning

if TYPE_CHECKING:
    from openpipe_report.server.store import StoredReport
    from openpipe_report.server.store.queries import Queries

MAX_VALUES = 300_000
"""Values of a report that are parsed: more would stop all threads for long."""
MAX_BEGINNING = 2**20
"""Characters that are parsed of a larger report."""


class Loaded(NamedTuple):
    """A report for a page."""

    report: dict[str, Any]
    is_whole: bool
    """Whether all of it was parsed."""


def load(queries: Queries, row: StoredReport) -> Loaded:
    """Load the report of a row."""
    return parse(queries.get_json(row.id) or "{}")


def parse(raw: str) -> Loaded:
    """Parse the text of a report, or as much of it as takes a short time."""
    if len(raw) > MAX_VALUES and has_more_nodes(raw.encode(), MAX_VALUES):
        return Loaded(parse_beginning(raw[:MAX_BEGINNING]), is_whole=False)
    return Loaded(get_object(json.loads(raw)), is_whole=True)
