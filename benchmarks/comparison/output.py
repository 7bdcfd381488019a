"""The stdout of a variant's process, which is for our own lines."""

from __future__ import annotations

import os
from typing import IO


def claim_stdout() -> IO[str]:
    """Return stdout, and send to stderr what the tools print."""
    stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return stdout
