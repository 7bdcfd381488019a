"""
Build the wheel, install it alone into an empty environment outside the source, and use it there.

Shows that the core's dependencies are enough: no extra is installed, and a call is reported.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXTRAS = ("fastapi", "rich", "sqlalchemy", "typer", "uvicorn")


def run(*command: str | Path, cwd: Path) -> None:
    """Run a command; its failure is ours."""
    subprocess.run(command, cwd=cwd, check=True)  # noqa: S603 - commands of our own


def main() -> None:
    """Build, install, use."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT, cwd=folder)
        [wheel] = folder.glob("*.whl")
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel, cwd=folder)
        run(python, "-W", "error", ROOT / "tests" / "smoke_core.py", *EXTRAS, cwd=folder)
    sys.stdout.write(f"{wheel.name}: installs and reports without extras\n")


if __name__ == "__main__":
    main()
