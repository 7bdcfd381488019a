"""Counts of an export: rows read, lines written, and rows left out by reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Counts:
    """What became of the rows; every row is in exactly one count, apart from pairs."""

    read: int = 0
    written: Counter[str] = field(default_factory=Counter)
    """Lines by part: `train` and `test` of a split, else the empty string."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows by a `Reason`, or by the rule of the format that they break."""

    @property
    def total_written(self) -> int:
        """Return the number of lines of all parts."""
        return sum(self.written.values())

    @property
    def total_left_out(self) -> int:
        """Return the number of rows that were left out."""
        return sum(self.left_out.values())
