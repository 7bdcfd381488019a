"""LocalSource: the reports of a database that this machine can open."""

from __future__ import annotations

import contextlib
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from openpipe_report._reading.conditions import encodable, encodable_pairs
from openpipe_report._reading.errors import QueryError, SourceError, SourceUnavailableError
from openpipe_report._reading.locations import display_name
from openpipe_report._reading.source import EVERYTHING, ReportSource
from openpipe_report.server.conditions import ParameterError, read_conditions
from openpipe_report.server.parameters import GROUPING
from openpipe_report.server.store import Store, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from openpipe_report._reading.source import Parameters, Row
    from openpipe_report.server.store import Filter, StoredReport


class LocalSource(ReportSource):
    """
    A `ReportSource` over a database. It is opened to read, and never created or upgraded.

    Args:
        location: The path of an SQLite file, or the URL of a database.

    Raises:
        SourceError: It is not there, or cannot be read.

    """

    def __init__(self, location: str) -> None:
        self.name = display_name(location)
        with self._errors():
            self._store = Store(location, read_only=True)
        self._queries = self._store.queries

    def newest_first(
        self, where: Parameters = EVERYTHING, *, payloads: bool = False
    ) -> Iterator[Row]:
        """Yield all reports that match, the newest first."""
        wanted = read_filter(where)
        return self._rows(self._queries.iterate(wanted, payloads=payloads, newest_first=True))

    def oldest_first(
        self, where: Parameters = EVERYTHING, *, payloads: bool = False, after_id: int = 0
    ) -> Iterator[Row]:
        """Yield all reports that match and came after the one with this id, the oldest first."""
        wanted = read_filter(where)
        return self._rows(self._queries.iterate(wanted, payloads=payloads, after_id=after_id))

    def newest(
        self, count: int, where: Parameters = EVERYTHING, *, payloads: bool = False
    ) -> Iterator[Row]:
        """Yield the `count` newest reports that match, the oldest of them first."""
        if count < 1:
            return iter(())
        wanted = read_filter(where)
        with self._errors():
            first = self._queries.first_of_newest(count, wanted)
        rows = self.oldest_first(where, payloads=payloads, after_id=max(first - 1, 0))
        return islice(rows, count)  # others may have come meanwhile

    def tail(
        self,
        after_id: int,
        where: Parameters = EVERYTHING,
        *,
        limit: int = 100,
        payloads: bool = False,
    ) -> list[Row]:
        """Return the first reports that match and came after the one with this id."""
        wanted = read_filter(where)
        with self._errors():
            found = self._queries.tail(after_id, wanted, limit=limit, payloads=payloads)
        return [row.to_dict() for row in found]

    def newest_id(self) -> int:
        """Return the id of the newest report; 0 if there is none."""
        with self._errors():
            return self._queries.newest_id()

    def get(self, report_id: str) -> Row | None:
        """Return a report and its payloads by its id, or the newest with this completion id."""
        with self._errors():
            found = self._queries.get_report(encodable(report_id))
        return None if found is None else found.to_dict()

    def trace(self, trace_id: str) -> list[Row]:
        """Return the first thousand reports of a trace by the time at which they began."""
        with self._errors():
            return [row.to_dict() for row in self._queries.get_trace(encodable(trace_id))]

    def stats(
        self, where: Parameters = EVERYTHING, *, by: str | None = None, bucket: str | None = None
    ) -> list[Row]:
        """Return counts, sums and percentiles of the reports that match."""
        given = {"by": by, "bucket": bucket}
        groups = {name: value for name, value in given.items() if value is not None}
        wanted, grouping = _read(where, groups, GROUPING)
        with self._errors():
            try:
                found = self._queries.stats(wanted, **grouping)
            except ValueError as error:
                raise QueryError(str(error)) from None
        return [one.to_dict() for one in found]

    def count(self, where: Parameters = EVERYTHING) -> int:
        """Return how many reports match."""
        wanted = read_filter(where)
        with self._errors():
            return self._queries.count(wanted)

    def close(self) -> None:
        """Close the database. May be called twice."""
        self._store.close()

    def _rows(self, found: Iterator[StoredReport]) -> Iterator[Row]:
        with self._errors():
            for row in found:
                yield row.to_dict()

    @contextlib.contextmanager
    def _errors(self) -> Generator[None, None, None]:
        try:
            yield
        except StoreUnavailableError as error:
            raise SourceUnavailableError(str(error)) from error
        except StoreError as error:
            raise SourceError(str(error)) from error
        except DBAPIError as error:
            raise SourceUnavailableError(f"cannot read {self.name}: {error.orig}") from error


def read_filter(where: Parameters) -> Filter:
    """Return the filter of the store that has these conditions; raises QueryError."""
    return _read(where, {}, {})[0]


def _read(
    where: Parameters, groups: Parameters, others: Mapping[str, Any]
) -> tuple[Filter, dict[str, Any]]:
    try:
        return read_conditions(encodable_pairs({**where, **groups}), others)
    except ParameterError as error:
        raise QueryError(str(error)) from None
