"""How a command ends whose output nobody wants any more."""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell has it."""


def discard_output() -> None:
    """Let the interpreter's own flush of stdout at its end succeed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
