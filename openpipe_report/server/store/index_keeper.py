"""
Keeps the search index close behind the commits.

Indexing a report takes as long as all the rest of storing it. It is therefore done after the
commit: of many reports at once, or of the last ones when none has come for a moment. A search finds
a report within half a second.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from openpipe_report.server.store.search_index import count_missing, index_next

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from openpipe_report.server.seldom_log import SeldomLog
    from openpipe_report.server.store.inserting import NewReport
    from openpipe_report.server.store.search_index import SearchIndex

_BATCH = 128
_DELAY = 0.3
_GRACE = 5.0
_MAX_TEXTS = 32 * 2**20


class IndexKeeper:
    """
    Indexes reports that are committed. Only the thread that writes uses it.

    Args:
        index: The search index.
        transaction: Opens a transaction of the thread's connection.
        log: Logs what fails.

    """

    def __init__(
        self,
        index: SearchIndex,
        transaction: Callable[[], AbstractContextManager[Connection]],
        log: SeldomLog,
    ) -> None:
        self._index = index
        self._transaction = transaction
        self._log = log
        self._texts: dict[int, str] = {}
        self._texts_size = 0
        self._missing_since: float | None = None

    def begin(self, connection: Connection) -> None:
        """Find out whether reports of an earlier process are missing in the index."""
        if count_missing(connection, self._index):
            self._missing_since = time.monotonic()

    def remember(self, inserted: Sequence[NewReport]) -> None:
        """Note reports that were committed, to be indexed soon."""
        if not self._index.follows:
            return
        if inserted and self._missing_since is None:
            self._missing_since = time.monotonic()
        for one in inserted:
            if one.report_id is not None and self._texts_size < _MAX_TEXTS:
                self._texts[one.report_id] = one.prepared.text
                self._texts_size += len(one.prepared.text)

    def until_due(self) -> float | None:
        """Return the seconds until the index is to be completed; None if it is complete."""
        if self._missing_since is None:
            return None
        return max(self._missing_since + _DELAY - time.monotonic(), 0)

    def keep_up(self, committed: int) -> None:
        """Index about as many reports as were committed, so that the index stays close behind."""
        for _ in range(committed // _BATCH + 1):
            if self.until_due() != 0 and len(self._texts) < _BATCH:
                break
            self._index_batch()

    def complete(self, is_idle: Callable[[], bool]) -> None:
        """Index what is missing while nothing else is to be done."""
        while is_idle() and self._missing_since is not None:
            self._index_batch()

    def finish(self) -> None:
        """Index what is missing at the end, within some seconds; the next start does the rest."""
        deadline = time.monotonic() + _GRACE
        while self._missing_since is not None and time.monotonic() < deadline:
            if not self._index_batch():
                break

    def _index_batch(self) -> bool:
        """Index some of the reports that are not in the index; False if that failed."""
        try:
            with self._transaction() as connection:
                done = index_next(connection, self._index, _BATCH, self._texts)
        except Exception as error:  # noqa: BLE001 - the thread's loop must go on
            self._log.write("nothing can be stored", error)
            self._missing_since = time.monotonic() + 1
            return False
        self._texts_size = sum(map(len, self._texts.values())) if self._texts else 0
        self._missing_since = time.monotonic() if done == _BATCH else None
        return True
