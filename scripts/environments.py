"""Virtual environments for what is tried beside the developer's own; made once, under `.venvs`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def prepare(name: str, *steps: list[str], python: str = sys.executable) -> Path:
    """
    Make an environment, unless it was made of the same already.

    Args:
        name: What its folder is called.
        steps: What each `pip install` is given.
        python: The interpreter that it is made with.

    Returns:
        Its interpreter.
    """
    folder = ROOT / ".venvs" / name
    interpreter = folder / "bin" / "python"
    marker = folder / ".made"
    if not marker.exists() or marker.read_text("utf-8") != repr(steps):
        subprocess.run([python, "-m", "venv", "--clear", folder], check=True)  # noqa: S603
        pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for step in steps:
            subprocess.run([*pip, *step], check=True)  # noqa: S603
        marker.write_text(repr(steps), "utf-8")
    return interpreter
