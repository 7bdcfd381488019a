"""The entries of the header, which lead to the views that show the filter in force."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A link of the header."""

    name: str
    path: str
    """The view's path; the filter in force is added as its query."""


ENTRIES: tuple[Entry, ...] = (
    Entry("Reports", "/"),
    Entry("Charts", "/charts"),
    Entry("Judge", "/judge"),
    Entry("Export", "/export"),
)
"""The entries, in their order."""
