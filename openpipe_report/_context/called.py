"""
The reporters of the calls that are made inside a span: it must not go past their policies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openpipe_report._delivery.reporter import Reporter


class CalledReporters:
    """
    The reporters of the calls made inside a span, and inside the spans that it holds.

    Shared between threads without a lock: an entry that comes twice does no harm.

    Args:
        outer: Those of the enclosing span.
    """

    __slots__ = ("_outer", "is_withheld", "reporters")

    def __init__(self, outer: CalledReporters | None) -> None:
        self._outer = outer
        self.reporters: list[Reporter] = []
        self.is_withheld = False
        """Whether a call inside is not to be reported: then its data must not be in the span."""

    def add(self, reporter: Reporter) -> None:
        """Note a call; where it is known here, the enclosing spans know it, too."""
        each: CalledReporters | None = self
        while each is not None and reporter not in each.reporters:
            each.reporters.append(reporter)
            each = each._outer  # noqa: SLF001 - its own kind

    def withhold(self) -> None:
        """Note a call that is not to be reported; the enclosing spans know it, too."""
        each: CalledReporters | None = self
        while each is not None and not each.is_withheld:
            each.is_withheld = True
            each = each._outer  # noqa: SLF001 - its own kind
