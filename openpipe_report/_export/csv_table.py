"""
The format `csv`: columns and labels as UTF-8 text after RFC 4180, without the payloads.

A spreadsheet runs a cell that begins with `=`, `+`, `-` or `@` as a formula, and what it runs may
come from a prompt: such text gets an apostrophe in front (https://owasp.org/www-community/attacks/
CSV_Injection), as does text that begins with a tab or an end of a line. Numbers stay as they are.
"""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import TYPE_CHECKING, Any

from openpipe_report._export.columns import COLUMNS, LABEL_COLUMNS, read_values
from openpipe_report._export.formats import Item
from openpipe_report._export.inputs import RowInput

if TYPE_CHECKING:
    from openpipe_report._export.calls import Row
    from openpipe_report._export.writing import Sink, Writer

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NAMES = [column.name for column in (*COLUMNS, *LABEL_COLUMNS)]


class CsvTable:
    """A table as text."""

    def convert(self, row: Row) -> list[Item]:
        """Return the values of a row."""
        return [Item(read_values(row), RowInput(row))]

    def finish(self) -> None:
        """Do nothing: no row is kept."""

    def open(self, sink: Sink) -> Writer:
        """Return the writer of a file, which begins with the names of the columns."""
        return _CsvWriter(sink)


class _CsvWriter:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._text = io.StringIO(newline="")
        self._csv = csv.writer(self._text)
        self._write_row(_NAMES)

    def write(self, value: dict[str, Any]) -> None:
        self._write_row([_to_cell(value[name]) for name in _NAMES])

    def close(self) -> None:
        pass

    def _write_row(self, cells: list[str]) -> None:
        self._csv.writerow(cells)
        self._sink.write(self._text.getvalue().encode("utf-8"))
        self._text.seek(0)
        self._text.truncate()


def _to_cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if not isinstance(value, str):
        return repr(value)
    text = value.replace("\0", "\\x00")
    return f"'{text}" if text.startswith(_FORMULA) else text
