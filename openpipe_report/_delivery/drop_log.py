"""
Telling of losses: the log once per kind, `on_drop` always. Nothing disappears in silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openpipe_report._log import log_internal_error, log_once

if TYPE_CHECKING:
    from collections.abc import Callable


class DropLog:
    """
    Tells the user of the reports that one reporter has lost.

    Args:
        host: The server, as the log line names it.
        on_drop: The user's own hook.
    """

    def __init__(self, host: str, on_drop: Callable[[str, int], object] | None) -> None:
        self._host = host
        self._on_drop = on_drop
        self._logged: set[str] = set()

    def record(self, reason: str, count: int, why: str = "") -> None:
        """Log that `count` reports were lost for one reason, and call `on_drop`."""
        if not count:
            return
        self.log(reason, count, why)
        if self._on_drop is not None:
            try:
                self._on_drop(reason, count)
            except BaseException:  # noqa: BLE001 - the user's own hook
                log_internal_error("on_drop")

    def log(self, reason: str, count: int, why: str = "") -> None:
        """Log a loss, the first of its reason; `on_drop` is not called."""
        log_once(
            reason,
            "%d report(s) to %s lost: %s%s; "
            "further ones are only counted in openpipe_report.stats()",
            count,
            self._host,
            reason,
            f" ({why})" if why else "",
            said=self._logged,
        )
