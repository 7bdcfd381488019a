"""
What a spool asks of whoever builds and sends its reports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from openpipe_report._spool.backlog import Place
    from openpipe_report._spool.folder import LoadedReport


class SpoolEntry(Protocol):
    """A built report that passes through the spool."""

    body: bytes
    """The JSON that is sent."""
    idempotency_key: str
    path: str
    """Where it is posted, below the base URL."""
    place: Place | None
    """
    Where the report is stored; set by the spool. The end of such a report has to be told with
    `remove()` or `dead_letter()`; where it is told nothing, the next process delivers it.
    """


_NewReport_contra = TypeVar("_NewReport_contra", contravariant=True)
_Entry = TypeVar("_Entry", bound=SpoolEntry)


class SpoolDelegate(Protocol[_NewReport_contra, _Entry]):
    """Builds and sends the reports of a spool; every method is called on the spool's thread."""

    def build(self, new: _NewReport_contra, /) -> _Entry | None:
        """Build the entry for a new report; None if it is not to be sent."""
        ...

    def enqueue(self, entry: _Entry, /) -> None:
        """Queue an entry for sending, after it was stored or storing it has failed."""
        ...

    def tag_of(self, entry: _Entry, /) -> int:
        """Return a number to be stored with an entry, and given to `read_back()`."""
        ...

    def is_crowded(self) -> bool:
        """Whether memory is so full that a stored entry is better left in the file."""
        ...

    def set_aside(self, entry: _Entry, /) -> None:
        """Let go of an entry that stays in the file alone for now."""
        ...

    def lose_aside(self) -> None:
        """Count what was set aside as lost: somebody has removed the file, or it was corrupt."""
        ...

    def room(self) -> tuple[int, int]:
        """Return how many reports, and how many bytes, may be read back."""
        ...

    def read_back(self, loaded: LoadedReport, /) -> bool:
        """Queue a report that was set aside, or left by a dead process; False without room."""
        ...
