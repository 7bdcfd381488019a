"""
ReportTable: stored reports as a table that fits the terminal, or as blocks in a narrow one.

The widths of its columns are those of the first reports, so that it can go on without end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from openpipe_report.cli.console import UNLIMITED, cut, escape, pad, print_line
from openpipe_report.cli.values import (
    format_cost,
    format_duration,
    format_labels,
    format_tokens,
    get_model,
    local_time,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from openpipe_report._reading import Row

NARROWEST_TABLE = 76
"""Width of the terminal, in columns, below which reports are printed as blocks."""
SIZED_BY = 200
"""Reports whose values decide how wide the columns are."""

_COLUMNS = ("id", "local time", "endpoint", "model", "status", "duration", "tokens")
_LEFT = {"local time", "endpoint", "model"}
_ENDPOINT, _MODEL = _COLUMNS.index("endpoint"), _COLUMNS.index("model")
_USUAL = (5, 14, 16, 24, 6, 8, 9, 9)
"""Least widths where it is not known what comes."""
_GAP = "  "
_NARROWEST_COLUMN, _WIDEST_COLUMN = 8, 40
_NARROWEST_LABELS = 24


class ReportTable:
    """
    Prints reports, one after the other.

    Args:
        console: Where to.
        first: The first of them, by which the columns are sized; they are not printed.
        with_cost: Whether there is a column of costs.

    """

    def __init__(self, console: Console, first: Sequence[Row], *, with_cost: bool) -> None:
        self._console = console
        self._width, self._encoding = console.width, console.encoding  # slow to ask for
        self._with_cost = with_cost
        self._names = (*_COLUMNS, "cost") if with_cost else _COLUMNS
        rows = [self._cells(row) for row in first]
        columns = zip(self._names, *rows, strict=True)
        self._widths = [max(map(cell_len, column)) for column in columns]
        if not 0 < len(rows) < SIZED_BY:  # there may be others
            self._widths = [max(pair) for pair in zip(self._widths, _USUAL, strict=False)]
        self._rest = self._width - sum(self._widths) - len(_GAP) * len(self._names)
        for _ in range(-len(_GAP) - self._rest):
            wider = max(_ENDPOINT, _MODEL, key=self._widths.__getitem__)
            self._widths[wider] = max(self._widths[wider] - 1, _NARROWEST_COLUMN)
        needed = sum(self._widths) + len(_GAP) * (len(self._names) - 1)
        self._as_blocks = self._width < max(NARROWEST_TABLE, needed)
        self._labels_beside = self._rest >= _NARROWEST_LABELS
        if not self._as_blocks:
            labels = f"{_GAP}labels" if self._labels_beside else ""
            print_line(console, self._line(self._names) + labels, "bold")

    def print(self, row: Row) -> None:
        """Print one report."""
        if self._as_blocks:
            self._print_block(row)
            return
        line = self._line(self._cells(row))
        style = "red" if row["failed"] else ""
        labels = escape(format_labels(row), self._encoding)
        if self._labels_beside:
            # A cell that is wider than its column, as of a later report, takes from the labels.
            room = self._width - cell_len(line) - len(_GAP)
            beside = cut(labels, room) if room > len(_GAP) else ""
            print_line(self._console, Text(line, style).append(f"{_GAP}{beside}", "default"))
            return
        print_line(self._console, cut(line, self._width), style)
        if labels:
            print_line(self._console, "    " + cut(labels, self._width - 4))

    def _print_block(self, row: Row) -> None:
        number, *cells = self._cells(row)
        tokens = self._names.index("tokens") - 1
        if cells[tokens] != "-":
            cells[tokens] += " tokens"
        known = [f"#{number}", *(cell for cell in cells if cell != "-")]
        for line in _fill(known, self._width):
            print_line(self._console, line, "red" if row["failed"] else "")
        if labels := escape(format_labels(row), self._encoding):
            print_line(self._console, _GAP + cut(labels, self._width - len(_GAP)))

    def _cells(self, row: Row) -> list[str]:
        encoding = self._encoding
        endpoint, name = row["endpoint"] or "-", row["span_name"] or get_model(row) or "-"
        cells = [
            str(row["id"]),
            local_time(row["at"]),
            cut(escape(endpoint.removeprefix("/"), encoding), _WIDEST_COLUMN),
            cut(escape(name, encoding), _WIDEST_COLUMN),
            "-" if row["status"] is None else str(row["status"]),
            format_duration(row["duration_ms"]),
            format_tokens(row),
        ]
        return [*cells, format_cost(row["cost"])] if self._with_cost else cells

    def _line(self, cells: Sequence[str]) -> str:
        padded = [
            self._pad(cell, width) if name in _LEFT else cell.rjust(width)
            for name, cell, width in zip(self._names, cells, self._widths, strict=True)
        ]
        return _GAP.join(padded)

    def _pad(self, cell: str, width: int) -> str:
        if self._width == UNLIMITED and cell_len(cell) > width:
            return cell
        return pad(cell, width)


def _fill(cells: Sequence[str], width: int) -> list[str]:
    """Return lines of cells, as many in each as fit."""
    lines = [cut(cells[0], width)]
    for cell in cells[1:]:
        longer = f"{lines[-1]}{_GAP}{cell}"
        if cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(cut(f"{_GAP}{cell}", width))
    return lines
