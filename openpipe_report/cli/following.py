"""Follows stored reports: yields those that come, also after the receiver was away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from openpipe_report._reading import SourceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openpipe_report._reading import Parameters, ReportSource, Row

_INTERVAL, _LONGEST_INTERVAL = 0.5, 5.0
"""Seconds between two queries, and at the most while the receiver cannot be reached."""
_LIMIT = 500


def follow(
    source: ReportSource,
    where: Parameters,
    after_id: int,
    say: Callable[[str], object],
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[list[Row]]:
    """
    Yield the reports that match and came after one, oldest first, without end.

    Args:
        source: Where they are. It may go away meanwhile: then it is tried again and again.
        where: The conditions.
        after_id: The id of the last report that is known.
        say: Is told once when the source cannot be reached, and when it can be again.
        sleep: Waits for so many seconds.

    """
    interval = _INTERVAL
    while True:
        try:
            rows = source.tail(after_id, where, limit=_LIMIT)
        except SourceUnavailableError as error:
            if interval == _INTERVAL:
                say(f"{error}; trying again")
            interval = min(interval * 2, _LONGEST_INTERVAL)
            sleep(interval)
            continue
        if interval != _INTERVAL:
            say(f"{source.name} can be read again")
            interval = _INTERVAL
        if rows:
            yield rows
            after_id = rows[-1]["id"]
        if len(rows) < _LIMIT:
            sleep(interval)
