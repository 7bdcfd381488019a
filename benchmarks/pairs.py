"""
Compares two ways of doing one thing: in pairs, in alternating order, by their ratio.

The clocks are noisy by about 1 %, but the two measurements of a pair are close in time and so have
similar noise. The effect of the order (the second of a pair finds warm caches) cancels in two
neighbouring pairs.
"""

from __future__ import annotations

import gc
import math
import statistics
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    Timed = Callable[[], float]
    """Does the thing once; returns the time that it took."""


@dataclass(frozen=True)
class Ratio:
    """The median of the pairs' ratios, its standard error, and the medians of both sides."""

    value: float
    error: float
    base: float
    other: float
    pairs: int

    @property
    def percent(self) -> str:
        return f"{(self.value - 1) * 100:+.2f} % +- {self.error * 100:.2f}"

    @property
    def times(self) -> str:
        return f"{self.value:.3f} +- {self.error:.3f}"


def median_of(values: Sequence[float]) -> tuple[float, float]:
    """
    Return the median and its standard error.

    The error is from the order statistics at half the root of n on either side of the median. It
    assumes nothing about the tails.
    """
    ordered = sorted(values)
    n = len(ordered)
    low = max(0, math.floor((n - math.sqrt(n)) / 2))
    high = min(n - 1, math.ceil((n + math.sqrt(n)) / 2))
    return statistics.median(ordered), (ordered[high] - ordered[low]) / 2


def compare(base: Sequence[float], other: Sequence[float]) -> Ratio:
    """
    Compare two sides whose i-th measurements are a pair; odd pairs are in reversed order.
    """
    ratios = [o / b for b, o in zip(base, other, strict=True)]
    if len(ratios) > 3:
        ratios = [math.sqrt(a * b) for a, b in zip(ratios[::2], ratios[1::2], strict=False)]
    value, error = median_of(ratios)
    return Ratio(
        value=value,
        error=error,
        base=statistics.median(base),
        other=statistics.median(other),
        pairs=len(base),
    )


def measure(
    pairs: int,
    sides: Sequence[tuple[Timed, Timed]],
    taken: Sequence[tuple[list[float], list[float]]],
) -> None:
    """
    Measure several pairs of sides in turn, so that all are measured under the same conditions.

    Args:
        pairs: Number of measurements of each side.
        sides: The two sides (base, other) of each comparison.
        taken: For each comparison the two lists to which the times are appended.
    """
    for number in range(pairs):
        for (base, other), (of_base, of_other) in zip(sides, taken, strict=True):
            if number % 2:
                of_other.append(other())
                of_base.append(base())
            else:
                of_base.append(base())
                of_other.append(other())


@contextmanager
def gc_frozen() -> Generator[None]:
    """Keep the garbage collector out of the measurement."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
