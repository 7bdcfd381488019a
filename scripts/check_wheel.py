"""
Build the wheel, install it into empty environments outside the source, and use it there.

Checks that the core's dependencies suffice to report a call, that the extra `cli` suffices for the
commands that read no stored reports, and that the other commands name the extra that they need.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
OF_CLI = ("rich", "typer")
OF_SERVER = ("alembic", "fastapi", "genai_prices", "jinja2", "sqlalchemy", "uvicorn")


def run(*command: str | Path, cwd: Path) -> None:
    """Run a command; raise if it fails."""
    subprocess.run(command, cwd=cwd, check=True)  # noqa: S603 - commands of our own


def try_installed(wheel: Path, extra: str, script: str, absent: tuple[str, ...]) -> None:
    """Install the wheel with an extra into an empty environment; run a test script there."""
    folder = wheel.parent / (extra or "core")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    wanted = f"{wheel}[{extra}]" if extra else wheel
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run(*pip, wanted, cwd=folder)
    run(python, "-W", "error", ROOT / "tests" / script, *absent, cwd=folder)


def check_files(wheel: Path) -> None:
    """Raise if a template or another file of the pages is not in the wheel."""
    held = set(zipfile.ZipFile(wheel).namelist())
    files = (ROOT / "openpipe_report" / "server" / "page").glob("[ts]*/*")
    missing = {str(path.relative_to(ROOT)) for path in files if path.is_file()} - held
    if missing:
        sys.exit(f"{wheel.name} lacks {', '.join(sorted(missing))}")


def main() -> None:
    """Build the wheel and try it without extras and with the extra `cli`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT, cwd=folder)
        [wheel] = folder.glob("*.whl")
        check_files(wheel)
        try_installed(wheel, "", "smoke_core.py", (*OF_CLI, *OF_SERVER))
        try_installed(wheel, "cli", "smoke_cli.py", OF_SERVER)
    sys.stdout.write(f"{wheel.name}: reports without extras, has its commands with cli\n")


if __name__ == "__main__":
    main()
