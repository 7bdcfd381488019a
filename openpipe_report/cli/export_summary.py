"""Says on stderr what an export has written, and what it has left out and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from openpipe_report._export import Counts


def print_summary(counts: Counts, paths: Mapping[str, Path], *, what: str) -> None:
    """
    Print the counts of an export.

    Args:
        counts: The counts.
        paths: The file of each part; none for standard output.
        what: What was written: line or row.

    """
    written = [
        f"{_count(counts.written[part], what)} to {_printable(path)}"
        for part, path in paths.items()
    ]
    said = " and ".join(written) or _count(counts.total_written, what)
    typer.echo(f"Wrote {said}, of {_count(counts.read, 'report')}.", err=True)
    if not counts.left_out:
        return
    typer.echo(f"Left out {counts.total_left_out:,}:", err=True)
    width = len(f"{max(counts.left_out.values()):,}")
    for reason, count in counts.left_out.most_common():
        typer.echo(f"  {count:>{width},}  {reason}", err=True)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _printable(path: Path) -> str:
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in str(path))
