"""Prints API keys: as a table that fits the terminal, or as blocks in a narrow one."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from openpipe_report.cli.console import escape, make_console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openpipe_report.server.store.keys import ApiKey

_HEADER = ("id", "name", "project", "scope", "state", "created", "expires", "last used")
_GAP = "  "


def print_keys(rows: Sequence[ApiKey]) -> None:
    """Print one line per key, or one block per key on a narrow console; times are local."""
    console = make_console()
    cells = [_cells(row, console.encoding) for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(_HEADER, *cells, strict=True)]
    if sum(widths) + len(_GAP) * (len(widths) - 1) > console.width:
        for row in cells:
            console.print(Text(f"{row[0]}: {row[1]}", "bold"))
            for name, cell in zip(_HEADER[2:], row[2:], strict=True):
                console.print(Text(f"  {name} {cell}"))
        return
    console.print(Text(_line(_HEADER, widths), "bold"), soft_wrap=True)
    for row in cells:
        console.print(Text(_line(row, widths)), soft_wrap=True)


def to_json_line(row: ApiKey) -> str:
    """Return a key as one line of ASCII JSON."""
    return json.dumps({**row.to_dict(), "state": row.state(time.time() * 1_000)})


def format_time(milliseconds: float) -> str:
    """Return a local time with its zone."""
    try:
        local = datetime.fromtimestamp(milliseconds / 1_000, timezone.utc).astimezone()
    except (ValueError, OverflowError, OSError):
        return f"{milliseconds:.10g} ms"
    return local.strftime("%Y-%m-%d %H:%M %Z")


def _cells(row: ApiKey, encoding: str) -> list[str]:
    return [
        str(row.id),
        escape(row.name, encoding),
        escape(row.project, encoding),
        row.scope,
        row.state(time.time() * 1_000),
        format_time(row.created_at),
        "-" if row.expires_at is None else format_time(row.expires_at),
        "never" if row.last_used_at is None else format_time(row.last_used_at),
    ]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True)
    ]
    return _GAP.join(padded).rstrip()
