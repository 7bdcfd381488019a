"""Virtual environments under `.venvs` for checks beside the developer's own; made once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def prepare(name: str, *steps: list[str], python: str = sys.executable) -> Path:
    """
    Make an environment, unless one with the same steps exists.

    Args:
        name: Name of its folder.
        steps: The arguments of each `pip install`.
        python: The interpreter to make it with.

    Returns:
        The interpreter of the environment.
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
