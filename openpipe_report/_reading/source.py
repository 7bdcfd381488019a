"""ReportSource: stored reports, wherever they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

Parameters = Mapping[str, str]
"""
The API's query parameters by name, such as `{"since": "1h", "metadata.user": "u-42"}`: conditions,
all of which must hold. An empty mapping matches every report.
"""

Row = dict[str, Any]
"""
One report in the API's JSON shape: all columns by name, the labels as `metadata`, and, where
payloads were asked for, the report as it was posted as `report`.
"""

EVERYTHING: Parameters = {}


class ReportSource(ABC):
    """
    Stored reports; a context manager. For one thread at a time.

    Reports are in order of arrival, which is that of their `id`. Every iteration is in constant
    memory, and holds nothing open while its consumer is busy. Every method raises `SourceError`;
    before anything is read `QueryError`, if a parameter is wrong.
    """

    name: str
    """What to call it in messages: a path or a URL, without a password."""

    @abstractmethod
    def newest_first(
        self, where: Parameters = EVERYTHING, *, payloads: bool = False
    ) -> Iterator[Row]:
        """Yield all reports that match, the newest first."""

    @abstractmethod
    def oldest_first(
        self, where: Parameters = EVERYTHING, *, payloads: bool = False, after_id: int = 0
    ) -> Iterator[Row]:
        """Yield all reports that match and came after the one with this id, the oldest first."""

    @abstractmethod
    def newest(
        self, count: int, where: Parameters = EVERYTHING, *, payloads: bool = False
    ) -> Iterator[Row]:
        """Yield the `count` newest reports that match, the oldest of them first."""

    @abstractmethod
    def tail(
        self,
        after_id: int,
        where: Parameters = EVERYTHING,
        *,
        limit: int = 100,
        payloads: bool = False,
    ) -> list[Row]:
        """
        Return the first reports that match and came after the one with this id, oldest first.

        To follow, call it again with the id of the last report that it gave. Where nothing new
        matches, keep the id: a search finds a report up to a second late.
        """

    @abstractmethod
    def newest_id(self) -> int:
        """Return the id of the newest report; 0 if there is none."""

    @abstractmethod
    def get(self, report_id: str) -> Row | None:
        """Return a report and its payloads by its id, or the newest with this completion id."""

    @abstractmethod
    def trace(self, trace_id: str) -> list[Row]:
        """Return the first thousand reports of a trace by the time at which they began."""

    @abstractmethod
    def stats(
        self, where: Parameters = EVERYTHING, *, by: str | None = None, bucket: str | None = None
    ) -> list[Row]:
        """
        Return counts, sums and percentiles of the reports that match.

        Args:
            where: The conditions.
            by: A column or `metadata.NAME`, one group for each value; None for one group.
            bucket: `minute`, `hour` or `day`; None for one time bucket.

        Returns:
            The API's entries by time bucket, then by group; without both always one.

        """

    @abstractmethod
    def count(self, where: Parameters = EVERYTHING) -> int:
        """Return how many reports match."""

    @abstractmethod
    def close(self) -> None:
        """Close files and connections. May be called twice."""

    def __enter__(self) -> Self:
        """Return the source."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()
