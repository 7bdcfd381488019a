"""Shows how far a long command is: on a terminal only, in one line on stderr."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from openpipe_report._reading import Row

    Show = Callable[[int, int], None]
    """Is told how many are done, and how many there are."""

_NARROWEST_BAR = 60
_STEP = 100


@contextlib.contextmanager
def progress_bar(label: str) -> Generator[Show | None, None, None]:
    """Yield what shows the progress; None where stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = [TextColumn(label), MofNCompleteColumn(), TimeRemainingColumn()]
    if console.width >= _NARROWEST_BAR:
        columns.insert(1, BarColumn())
    with Progress(*columns, console=console, transient=True) as bar:

        def show(done: int, total: int) -> None:
            if not bar.tasks:
                bar.add_task("", total=total)
            bar.update(bar.task_ids[0], completed=done, total=total)

        yield show


@contextlib.contextmanager
def spinner(label: str) -> Generator[None, None, None]:
    """Show on a terminal that something of unknown length is under way."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(label):
        yield


def track(rows: Iterator[Row], label: str, count: Callable[[], int]) -> Iterator[Row]:
    """
    Yield reports, and show how many, if the output goes to a file.

    Args:
        rows: The reports.
        label: What is done with them.
        count: Returns how many there are.

    """
    with contextlib.ExitStack() as stack:
        show = stack.enter_context(progress_bar(label)) if _writes_to_file() else None
        total = 0 if show is None else count()
        for done, row in enumerate(rows, 1):
            yield row
            if show is not None and done % _STEP == 0:
                show(done, total)


def _writes_to_file() -> bool:
    """Return whether stdout is a file; a pipe may lead to a program that uses the terminal."""
    try:
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):
        return False
