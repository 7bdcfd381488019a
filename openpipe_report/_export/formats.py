"""Format: how the rows of an export become items of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openpipe_report._export.calls import Row
    from openpipe_report._export.writing import Sink, Writer


class Asked(Protocol):
    """What an item answers: the same one has the same hashes."""

    def hash_messages(self) -> bytes:
        """Return the hash by which prompts are split."""
        ...

    def hash_input(self) -> bytes:
        """Return the hash by which duplicates are found."""
        ...


class Item(NamedTuple):
    """One line or row of a file."""

    value: Any
    asked: Asked
    rows: int = 1
    """How many rows have led to it."""


class Format(Protocol):
    """A format of one export; it may keep what it needs between two rows."""

    def convert(self, row: Row, /) -> Iterable[Item]:
        """
        Return the items that a row leads to.

        Raises:
            LeftOutError: The row leads to none.

        """
        ...

    def finish(self) -> None:
        """Count the rows that were kept and have led to no item."""

    def open(self, sink: Sink, /) -> Writer:
        """Return the writer of a new file."""
        ...
