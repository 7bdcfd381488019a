"""The rows of a list: a report, its first words, and where a search has found it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from openpipe_report.server.page.conversation.words import (
    MAX_BEGINNING,
    FirstWords,
    first_words,
    parse_beginning,
)
from openpipe_report.server.page.search_marks import Segment, find_snippet
from openpipe_report.server.store.search_text import derive_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openpipe_report.server.store import StoredReport
    from openpipe_report.server.store.queries import Queries


class ListRow(NamedTuple):
    """One row."""

    row: StoredReport
    words: FirstWords
    snippet: list[Segment]
    """A piece of the report around what was searched for; empty without a search."""


def make_rows(
    queries: Queries, rows: Sequence[StoredReport], searched: str | None
) -> list[ListRow]:
    """Return the rows of reports. The beginnings of the reports are read for it."""
    texts = queries.get_beginnings([row.id for row in rows], MAX_BEGINNING)
    return [_make_row(row, texts.get(row.id, ""), searched) for row in rows]


def _make_row(row: StoredReport, text: str, searched: str | None) -> ListRow:
    report = parse_beginning(text)
    snippet = find_snippet(derive_text(report), searched) if searched else []
    return ListRow(row, first_words(report, row.endpoint), snippet)
