"""Shows on a terminal how far an export is."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from openpipe_report._reading import Row

    Watch = Callable[[Iterable[Row]], Iterator[Row]]

_SECONDS = 0.1


@contextmanager
def export_bar(
    newest_id: Callable[[], int], *, hidden: bool = False
) -> Generator[Watch, None, None]:
    """
    Yield what shows how far some rows are, in one line on stderr; elsewhere it shows nothing.

    Args:
        newest_id: The last id, at which the rows end: to count them takes too long.
        hidden: Whether the rows themselves are shown on this terminal.

    """
    console = Console(stderr=True)
    if hidden or not console.is_terminal or console.is_dumb_terminal:
        yield iter
        return
    columns = ("Exporting", BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rows]}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=max(newest_id(), 1), rows="")

        def watch(rows: Iterable[Row]) -> Iterator[Row]:
            shown = 0.0
            for number, row in enumerate(rows, 1):
                if time.monotonic() - shown >= _SECONDS:
                    shown = time.monotonic()
                    bar.update(task, completed=row["id"], rows=f"{number:,} reports")
                yield row

        yield watch
