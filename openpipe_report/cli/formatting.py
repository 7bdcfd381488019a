"""
Prints stored reports: as a table that fits the terminal, or as blocks in a narrow one.

Stored text is untrusted. It is never parsed as markup, and control, bidirectional and other
invisible characters, which a terminal would act on, are printed as escapes.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from openpipe_report.cli.output import discard_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openpipe_report._reading import Row

NARROWEST_TABLE = 76
"""Width of the terminal, in columns, below which reports are printed as blocks."""

_HEADER = ("id", "time", "endpoint", "model", "status", "duration", "tokens")
_RIGHT = {"id", "status", "duration", "tokens"}
_ENDPOINT, _MODEL = _HEADER.index("endpoint"), _HEADER.index("model")
_GAP = "  "
_NARROWEST_COLUMN, _WIDEST_COLUMN = 8, 40
_NARROWEST_LABELS = 24
_UNLIMITED = 100_000
_LARGEST_COLOURED = 1_000_000
_SPAN_LABELS = ("trace_id", "span_id", "parent_span_id")


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Exit with 0 if nobody reads stdout any more, as of `| head`."""
        discard_output()
        sys.exit(0)


def make_console() -> Console:
    """Return a console on stdout; in a pipe it cuts no line, unless COLUMNS is set."""
    console = _Console(highlight=False)
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = _UNLIMITED
    return console


def print_reports(reports: Sequence[Row], console: Console) -> None:
    """Print one row per report, or one block per report on a narrow console."""
    rows = [_cells(report, console.encoding) for report in reports]
    if console.width < NARROWEST_TABLE:
        _print_blocks(rows, reports, console)
        return
    widths = [max(map(cell_len, column)) for column in zip(_HEADER, *rows, strict=True)]
    rest = console.width - sum(widths) - len(_GAP) * len(_HEADER)
    for _ in range(-len(_GAP) - rest):
        wider = max(_ENDPOINT, _MODEL, key=widths.__getitem__)
        widths[wider] = max(widths[wider] - 1, _NARROWEST_COLUMN)
    beside = rest >= _NARROWEST_LABELS
    heading = _line(_HEADER, widths) + (f"{_GAP}metadata" if beside else "")
    console.print(Text(heading, "bold"), soft_wrap=True)
    for row, report in zip(rows, reports, strict=True):
        line = Text(_line(row, widths), _style(report))
        labels = _labels(report, console.encoding)
        if beside:
            line.append(_GAP).append(_cut(labels, rest))
        console.print(line, soft_wrap=True)
        if labels and not beside:
            console.print(Text("    " + _cut(labels, console.width - 4)), soft_wrap=True)


def to_json_line(report: Row) -> str:
    """Return the columns of a report as one line of ASCII JSON."""
    return json.dumps(
        {
            "id": report["id"],
            "time": _format_time(report, "utc"),
            "endpoint": report["endpoint"],
            "model": get_model(report),
            "status": report["status"],
            "duration_ms": report["duration_ms"],
            "prompt_tokens": report["prompt_tokens"],
            "completion_tokens": report["completion_tokens"],
            "total_tokens": report["total_tokens"],
            "error": report["error"],
            "metadata": report["metadata"],
        }
    )


def print_json(whole: dict[str, Any], console: Console) -> None:
    """Print a report as JSON: coloured and in its own letters on a terminal, else as ASCII."""
    plain = not console.is_terminal or not console.encoding.startswith("utf")
    lines = json.dumps(whole, indent=2, ensure_ascii=plain).split("\n")
    text = Text("\n".join(map(escape, lines)))
    if console.is_terminal and len(text) <= _LARGEST_COLOURED:
        JSONHighlighter().highlight(text)
    console.print(text, soft_wrap=True)


def escape(text: str, encoding: str = "utf-8") -> str:
    """Return text in which each character that cannot be printed is its JSON escape."""
    if not text.isprintable():
        text = "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _print_blocks(rows: Sequence[Sequence[str]], reports: Sequence[Row], console: Console) -> None:
    for (number, *cells, tokens), report in zip(rows, reports, strict=True):
        known = [f"#{number}", *(cell for cell in cells if cell != "-")]
        if tokens != "-":
            known.append(f"{tokens} tokens")
        for line in _fill(known, console.width):
            console.print(Text(line, _style(report)))
        if labels := _labels(report, console.encoding):
            console.print(Text(f"  {labels}"))


def _fill(cells: Sequence[str], width: int) -> list[str]:
    lines = [cells[0]]
    for cell in cells[1:]:
        longer = f"{lines[-1]}{_GAP}{cell}"
        if cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(f"{_GAP}{cell}")
    return lines


def _cells(report: Row, encoding: str) -> list[str]:
    return [
        str(report["id"]),
        _format_time(report, "local"),
        _cut(escape((report["endpoint"] or "-").removeprefix("/"), encoding), _WIDEST_COLUMN),
        _cut(escape(get_model(report) or "-", encoding), _WIDEST_COLUMN),
        "-" if report["status"] is None else str(report["status"]),
        _duration(report["duration_ms"]),
        _tokens(report),
    ]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if name in _RIGHT else _pad(cell, width)
        for name, cell, width in zip(_HEADER, cells, widths, strict=True)
    ]
    return _GAP.join(padded)


def _pad(cell: str, width: int) -> str:
    return set_cell_size(_cut(cell, width), width)


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 2, 1)) + ".."


def get_model(report: Row) -> str | None:
    """Return the model that answered, or else the one that was asked for."""
    model: str | None = report["response_model"] or report["request_model"]
    return model


def _style(report: Row) -> str:
    return "red" if report["failed"] else ""


def _format_time(report: Row, zone: str) -> str:
    milliseconds = report["stored_at"] if report["requested_at"] is None else report["requested_at"]
    try:
        moment = datetime.fromtimestamp(milliseconds / 1_000, timezone.utc)
        if zone == "utc":
            return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        local = moment.astimezone()
        this_year = local.year == datetime.now(timezone.utc).year
        return local.strftime("%m-%d %H:%M:%S" if this_year else "%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{milliseconds:.10g} ms"


def _duration(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "-"
    if abs(milliseconds) < 1_000:  # noqa: PLR2004 - a second
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1_000:.5g} s"


def _tokens(report: Row) -> str:
    counts = (report["prompt_tokens"], report["completion_tokens"])
    known = [str(count) for count in counts if count is not None]
    if not known and report["total_tokens"] is not None:
        return str(report["total_tokens"])
    return "+".join(known) or "-"


def _labels(report: Row, encoding: str) -> str:
    labels = report["metadata"]
    names = sorted(labels, key=lambda name: name in _SPAN_LABELS)
    shown = [f"{name}={_label(labels[name])}" for name in names]
    if report["error"] is not None:
        shown.insert(0, f"! {report['error']}")
    return escape(_GAP.join(shown), encoding)


def _label(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
