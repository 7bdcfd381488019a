"""
Counts of what a receiver was sent, for `/metrics`, the log and the terminal.

A status, a route and a reason are all that is kept of a request. Counts are changed on the event
loop's thread and may be read on any.
"""

from __future__ import annotations

from collections import Counter

FIRST_ERROR = 400


class Traffic:
    """Counts of the answers and connections of one receiver."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        """Answers by route and status; the route is `other` for a path that there is not."""
        self.refused: Counter[int] = Counter()
        """Requests that were to store something and were refused, by the answer's status."""
        self.received = 0
        """Reports that were acknowledged."""
        self.connections = 0
        """Connections that are open."""
        self.bytes_in_flight = 0
        """Bytes of the bodies that are being received, parsed or stored."""

    def count_answer(self, route: str, method: str, status: int) -> None:
        """Count the answer to a request."""
        self.answers[route, status] += 1
        if status >= FIRST_ERROR and method not in {"GET", "HEAD"}:
            self.refused[status] += 1

    def count_refused_connection(self, status: int) -> None:
        """Count a request that was refused before its route was known."""
        self.answers["other", status] += 1
        self.refused[status] += 1
