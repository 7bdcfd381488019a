"""Stored reports as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.highlighter import JSONHighlighter
from rich.text import Text

from openpipe_report.cli.console import escape
from openpipe_report.cli.values import get_model, utc_time

if TYPE_CHECKING:
    from rich.console import Console

    from openpipe_report._reading import Row

_LARGEST_COLOURED = 1_000_000


def to_json_line(row: Row) -> str:
    """Return a report as the API has it, with its time and model, as one line of ASCII JSON."""
    return json.dumps(
        {"id": row["id"], "time": utc_time(row["at"]), "model": get_model(row), **row}
    )


def print_json(value: dict[str, Any], console: Console) -> None:
    """Print an object as JSON: coloured and in its own letters on a terminal, else as ASCII."""
    plain = not console.is_terminal or not console.encoding.startswith("utf")
    lines = json.dumps(value, indent=2, ensure_ascii=plain).split("\n")
    text = Text("\n".join(map(escape, lines)))
    if console.is_terminal and len(text) <= _LARGEST_COLOURED:
        JSONHighlighter().highlight(text)
    console.print(text, soft_wrap=True)
