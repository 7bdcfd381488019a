"""Ways of parsing a body that another process can import."""

from __future__ import annotations

import os
import signal


def die(_body, _max_nodes):
    """End as a process does that the system kills for its memory."""
    os.kill(os.getpid(), signal.SIGKILL)
