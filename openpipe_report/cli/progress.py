"""Shows how far something is that takes long."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


@contextlib.contextmanager
def progress_bar(title: str) -> Generator[Callable[[int, int], None] | None, None, None]:
    """Yield what shows the progress on a terminal, in one line on stderr; elsewhere None."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (title, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:

        def show(done: int, total: int) -> None:
            if not bar.tasks:
                bar.add_task("", total=total)
            bar.update(bar.task_ids[0], completed=done)

        yield show
