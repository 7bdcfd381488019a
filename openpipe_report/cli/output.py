"""Standard output that can no longer be written."""

from __future__ import annotations

import os
import sys


def discard_output() -> None:
    """Let the interpreter's own flush of stdout at its end succeed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
