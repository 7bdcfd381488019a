"""
The reporters of the calls made inside a span, whose policies apply to the span as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openpipe_report._delivery.reporter import Reporter


class CalledReporters:
    """
    The reporters of the calls made inside a span and its inner spans.

    Threads share it without a lock, since a reporter that is listed twice does no harm.

    Args:
        outer: The reporters of the enclosing span.
    """

    __slots__ = ("_outer", "is_withheld", "reporters")

    def __init__(self, outer: CalledReporters | None) -> None:
        self._outer = outer
        self.reporters: list[Reporter] = []
        self.is_withheld = False
        """Whether a call inside is not reported; the span must not contain its data either."""

    def add(self, reporter: Reporter) -> None:
        """Record the reporter of a call, here and in the enclosing spans."""
        each: CalledReporters | None = self
        while each is not None and reporter not in each.reporters:
            each.reporters.append(reporter)
            each = each._outer  # noqa: SLF001 - its own kind

    def withhold(self) -> None:
        """Record a call that is not reported, here and in the enclosing spans."""
        each: CalledReporters | None = self
        while each is not None and not each.is_withheld:
            each.is_withheld = True
            each = each._outer  # noqa: SLF001 - its own kind
