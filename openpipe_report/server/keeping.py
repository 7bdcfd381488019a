"""Erases old reports in the background, while the receiver runs."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from openpipe_report.server.seldom_log import SeldomLog
from openpipe_report.server.store import Filter

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from openpipe_report.server.store import Store

ERASED_EVERY = 600.0
"""Seconds between two looks for reports that have become too old."""
WIPED_EVERY = 86_400.0
"""Least seconds between two wipes, which write the search index anew."""


class Keeper:
    """
    Erases reports of calls that are older than an age, on a thread; a context manager.

    Reports are erased within `erased_every` of becoming too old. What they leave in free parts of
    the file is overwritten within `wiped_every`, and the file keeps its size for new reports.

    Args:
        store: The store; it is closed later than this.
        age: Seconds for which reports are kept.
        erased_every: Seconds between two looks.
        wiped_every: Least seconds between two wipes.

    """

    def __init__(
        self,
        store: Store,
        age: float,
        *,
        erased_every: float = ERASED_EVERY,
        wiped_every: float = WIPED_EVERY,
    ) -> None:
        self._store = store
        self._age = age
        self._erased_every = erased_every
        self._wiped_every = wiped_every
        self._stop = threading.Event()
        self._log = SeldomLog()
        self._thread = threading.Thread(
            target=self._run, name="openpipe-report-keeper", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End after the step that runs."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        is_wiped = True
        next_wipe = time.monotonic()
        while not self._stop.is_set():
            try:
                if self._erase():
                    is_wiped = False
                if not is_wiped and time.monotonic() >= next_wipe and not self._stop.is_set():
                    self._store.wipe(self._check_stop, vacuuming=False)
                    is_wiped = True
                    next_wipe = time.monotonic() + self._wiped_every
            except _StoppedError:
                return
            except Exception as error:  # noqa: BLE001 - the thread's loop must go on
                self._log.write("old reports could not be erased for now", error)
            self._stop.wait(self._erased_every)

    def _erase(self) -> int:
        too_old = Filter(until=(time.time() - self._age) * 1_000)
        return self._store.erase(too_old, is_stopped=self._stop.is_set)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise _StoppedError


class _StoppedError(Exception):
    """The receiver stops while the file is wiped; the next start goes on."""
