"""
How two ways of doing one thing are compared: in pairs, in alternating order, by ratio.

Clocks here are noisy by about 1 %, the two of a pair are close in time and so alike in noise. The
order effect (the second of a pair finds warm caches) cancels within two neighbouring pairs.
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
    """Does the thing once; returns what it took, by the clock that counts."""


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


def compare(base: Sequence[float], other: Sequence[float]) -> Ratio:
    """
    Compare sides whose i-th measurements are a pair, odd pairs taken in reversed order.

    The standard error is that of a median, read off the order statistics half a root of n to
    either side of it: no assumption about the tails.
    """
    ratios = [o / b for b, o in zip(base, other, strict=True)]
    if len(ratios) > 3:  # noqa: PLR2004 - too few to be paired
        ratios = [math.sqrt(a * b) for a, b in zip(ratios[::2], ratios[1::2], strict=False)]
    ordered = sorted(ratios)
    n = len(ordered)
    low = max(0, math.floor((n - math.sqrt(n)) / 2))
    high = min(n - 1, math.ceil((n + math.sqrt(n)) / 2))
    return Ratio(
        value=statistics.median(ordered),
        error=(ordered[high] - ordered[low]) / 2,
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
    Measure several pairs of sides in turn, so that all of them see the same weather.

    Args:
        pairs: How often each side is timed.
        sides: (base, other) of each comparison.
        taken: For each comparison the lists that what its sides took is added to.
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
