"""Ways of parsing a body that another process can import."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from openpipe_report.server.store import prepare_report


def parse_when_told(body, _max_nodes):
    """Prepare the report that is read from a named pipe, whose path is the body."""
    return prepare_report(json.loads(Path(body.decode()).read_text("utf-8")))


def die(_body, _max_nodes):
    """End as a process does that the system kills for its memory."""
    os.kill(os.getpid(), signal.SIGKILL)
