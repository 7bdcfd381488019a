"""Statistics as a table that fits the terminal, with bars where there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.text import Text

from openpipe_report.cli.bars import NARROWEST, WIDEST, make_bar
from openpipe_report.cli.console import UNLIMITED, cut, escape, pad, print_line
from openpipe_report.cli.values import format_cost, format_duration, format_label, local_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from openpipe_report._reading import Row

LENGTHS = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
"""Milliseconds of a time bucket."""

_GAP = "  "
_NUMBERS = ("calls", "errors", "tokens", "cost", "p50", "p95")
_DROPPED_FIRST = ("p50", "tokens", "cost", "p95", "errors")
_NARROWEST_GROUP, _WIDEST_GROUP = 8, 40
_NOTHING = "(none)"


def print_stats(
    rows: Sequence[Row], console: Console, *, by: str | None, bucket: str | None
) -> None:
    """
    Print statistics, by time, then the groups with the most calls first.

    Args:
        rows: The entries of the API.
        console: Where to.
        by: What the groups are of; None if there is one.
        bucket: The time bucket; None if there is one.

    """
    ordered = sorted(rows, key=lambda row: (row["bucket"] or 0, -row["calls"]))
    table = _Table(ordered, console, by, bucket)
    print_line(console, table.heading(), "bold")
    before: Row | None = None
    for row in ordered:
        if bucket and before and row["bucket"] > before["bucket"] + LENGTHS[bucket]:
            print_line(console, "...")  # no calls
        table.print(row, is_new=before is None or before["bucket"] != row["bucket"])
        before = row
    if len(rows) > 1:
        table.print(_add(rows), is_new=False, is_total=True)
    if table.dropped:
        print_line(console, cut(f"Too narrow for: {', '.join(table.dropped)}", console.width))


class _Table:
    """Its columns and their widths."""

    def __init__(
        self, rows: Sequence[Row], console: Console, by: str | None, bucket: str | None
    ) -> None:
        self._console = console
        self._by, self._bucket = by, bucket
        self._greatest = max(row["calls"] for row in rows)
        self._numbers = list(_NUMBERS)
        sized = [*rows, _add(rows)]
        self._widths = {
            name: max(len(name), *(len(_number(row, name)) for row in sized)) for name in _NUMBERS
        }
        groups = [cell_len(self._group(row)) for row in rows] if by else []
        self._time = max(len(self._moment(row)) for row in rows) if bucket else 0
        self._time = max(self._time, len("local time")) if bucket else 0
        name = cell_len(escape(by, console.encoding)) if by else 0
        self._name = min(max(name, len("total"), *groups), _WIDEST_GROUP) if by else 0
        self.dropped = self._fit()
        rest = console.width - self._needed() - len(_GAP)
        has_bars = console.is_terminal and len(rows) > 1 and rest >= NARROWEST
        self._bar = min(rest, WIDEST) if has_bars else 0

    def heading(self) -> str:
        """Return the names of the columns."""
        by = escape(self._by or "", self._console.encoding)
        return self._line("local time", by, self._numbers)

    def print(self, row: Row, *, is_new: bool, is_total: bool = False) -> None:
        """Print one entry; the time only if it is another one than before."""
        moment = self._moment(row) if self._bucket and is_new else ""
        group = self._group(row) if self._by else ""
        if is_total:
            moment, group = ("total", "") if self._bucket else ("", "total")
        line = Text(self._line(moment, group, [_number(row, name) for name in self._numbers]))
        if is_total:
            line.stylize("bold")
        elif self._bar:
            calls, errors = row["calls"], row["errors"]
            ascii_only = not self._console.encoding.startswith("utf")
            bar = make_bar(calls, errors, self._greatest, self._bar, ascii_only=ascii_only)
            line.append(_GAP).append(bar)
        print_line(self._console, line)

    def _line(self, moment: str, group: str, numbers: Sequence[str]) -> str:
        cells = [pad(moment, self._time)] if self._bucket else []
        if self._by:
            cells.append(pad(group, self._name))
        cells += [
            number.rjust(self._widths[name])
            for name, number in zip(self._numbers, numbers, strict=True)
        ]
        return _GAP.join(cells)

    def _needed(self) -> int:
        widths = [self._widths[name] for name in self._numbers]
        widths += [one for one in (self._time, self._name) if one]
        return sum(widths) + len(_GAP) * (len(widths) - 1)

    def _fit(self) -> list[str]:
        """Make the table as narrow as the terminal is; return the columns that are left out."""
        dropped = []
        least = min(self._name, _NARROWEST_GROUP)
        for name in _DROPPED_FIRST:
            if self._needed() - self._name + least <= self._console.width:
                break
            self._numbers.remove(name)
            dropped.append(name)
        over = self._needed() - self._console.width
        if over > 0 and self._name:
            self._name = max(self._name - over, least)
        return dropped

    def _moment(self, row: Row) -> str:
        return local_time(row["bucket"], seconds=False)

    def _group(self, row: Row) -> str:
        value = row["group"]
        shown = _NOTHING if value is None else escape(format_label(value), self._console.encoding)
        return shown if self._console.width == UNLIMITED else cut(shown, _WIDEST_GROUP)


def _number(row: Row, name: str) -> str:
    if name in {"calls", "errors"}:
        return f"{row[name]:,}"
    if name == "tokens":
        return "-" if row["total_tokens"] is None else f"{row['total_tokens']:,}"
    if name == "cost":
        return format_cost(row["cost"])
    return format_duration(row.get(f"{name}_ms"))


def _add(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the sums of some entries; percentiles have none."""
    total: dict[str, Any] = {"bucket": None, "group": None}
    for name in ("calls", "errors", "total_tokens", "cost"):
        known = [row[name] for row in rows if row[name] is not None]
        total[name] = sum(known) if known else None
    return total
