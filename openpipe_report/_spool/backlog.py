"""
The reports of one file that are not in memory: they are read back in their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from openpipe_report._spool.file import SpoolFile
    from openpipe_report._spool.schema import SpooledReport


class Place(NamedTuple):
    """Where a report is stored."""

    file: SpoolFile
    number: int


class Backlog:
    """
    What follows the last report of a file that was read.

    Args:
        file: The file.
        is_read: Whether there is nothing to read at present.
    """

    def __init__(self, file: SpoolFile, *, is_read: bool) -> None:
        self.file = file
        self._last = 0
        """The number of the last report that is, or was, in memory."""
        self.is_read = is_read

    def note_added(self, numbers: range) -> None:
        """Note that reports were stored, which are in memory unless others wait before them."""
        if self.is_read:
            self._last = numbers[-1]

    def read(self, reports: int, size: int) -> list[SpooledReport]:
        """Read the next reports; so many, and so many bytes, at the most."""
        found = self.file.load(self._last, reports, size)
        if found:
            self._last = found[-1].number
        else:
            self.is_read = True
        return found

    def go_back(self, number: int) -> None:
        """Note that a report, and those after it, are not in memory."""
        self._last = min(self._last, number - 1)
        self.is_read = False
