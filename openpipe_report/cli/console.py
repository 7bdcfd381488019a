"""
The terminal, and text for it.

Stored text is untrusted. It is never parsed as markup, and control, bidirectional and other
invisible characters, which a terminal would act on, are printed as escapes.
"""

from __future__ import annotations

import json
import os
import sys

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from openpipe_report.cli.output import discard_output

UNLIMITED = 100_000
"""Width of what is no terminal, in columns."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Exit with 0 if nobody reads stdout any more, as of `| head`."""
        discard_output()
        sys.exit(0)


def make_console() -> Console:
    """Return a console on stdout; in a pipe it cuts no line, unless COLUMNS is set."""
    console = _Console(highlight=False)
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = UNLIMITED
    return console


def print_line(console: Console, line: str | Text, style: str = "") -> None:
    """Print one line as it is."""
    if console.is_terminal:
        console.print(Text(line, style) if isinstance(line, str) else line, soft_wrap=True)
    else:  # a tenth of the time
        console.file.write(f"{line}\n")


def escape(text: str, encoding: str = "utf-8") -> str:
    """Return text in which each character that cannot be printed is its JSON escape."""
    if not text.isprintable():
        text = "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)
    return text if text.isascii() else text.encode(encoding, "backslashreplace").decode(encoding)


def pad(text: str, width: int) -> str:
    """Return a text that fills so many columns: cut, or with spaces after it."""
    return set_cell_size(cut(text, width), width)


def cut(text: str, width: int) -> str:
    """Return a text that fills so many columns at the most; one that is cut ends with dots."""
    if len(text) <= width and (text.isascii() or cell_len(text) <= width):
        return text
    return set_cell_size(text, max(width - 2, 1)) + ".."
