"""What charts show of statistics, and how its numbers are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report.server.store.statistics import Statistics

_SECOND = 1_000
_MINUTE = 60 * _SECOND
_SIZES = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
_SMALLEST_COST = 0.000_001
_LARGE_COST = 1_000


class Measure(NamedTuple):
    """One number of the statistics of a time bucket and group."""

    title: str
    read: Callable[[Statistics], float | None]
    write: Callable[[float], str]
    """Returns a value as people read it."""
    is_sum: bool
    """Whether the groups add up to the whole: drawn as stacked bars, else as lines."""
    order_min: int | None = None
    """Power of ten of the least distance between two lines of the scale."""


def write_count(value: float) -> str:
    """Write a number: `950`, `12.3k`, `4M`."""
    for size, unit in _SIZES:
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.3g}"


def write_duration(value: float) -> str:
    """Write milliseconds: `85 ms`, `1.2 s`, `3 min 20 s`."""
    if abs(value) < _SECOND:
        return f"{value:.3g} ms"
    if abs(value) < _MINUTE:
        return f"{value / _SECOND:.3g} s"
    minutes, seconds = divmod(round(value / _SECOND), 60)
    return f"{minutes:,} min {seconds} s" if seconds else f"{minutes:,} min"


def write_cost(value: float) -> str:
    """Write US dollars: `$0`, `$0.00042`, `$1.50`, `$1,200`."""
    if value == 0:
        return "$0"
    if abs(value) < _SMALLEST_COST:
        return f"${value:.1e}"
    if abs(value) < 1:
        whole = f"{value:.6f}".rstrip("0")
        return f"${whole:0<4}"
    return f"${value:,.2f}" if value < _LARGE_COST else f"${value:,.0f}"


MEASURES = {
    "calls": Measure("Calls", lambda one: one.calls, write_count, is_sum=True, order_min=0),
    "errors": Measure("Errors", lambda one: one.errors, write_count, is_sum=True, order_min=0),
    "p50": Measure("Duration, median", lambda one: one.p50_ms, write_duration, is_sum=False),
    "p95": Measure(
        "Duration, 95th percentile", lambda one: one.p95_ms, write_duration, is_sum=False
    ),
    "tokens": Measure(
        "Tokens", lambda one: one.total_tokens, write_count, is_sum=True, order_min=0
    ),
    "cost": Measure("Cost", lambda one: one.cost, write_cost, is_sum=True),
}
"""The charts by name."""
