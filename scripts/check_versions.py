"""
Run the tests on each supported Python and on milestones of openai.

Each combination has an environment of its own under `.venvs`, which is made once. Interpreters are
searched on the PATH and in pyenv.

    python scripts/check_versions.py [-k PYTEST_EXPRESSION]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from check_lowest import floors
from environments import ROOT, prepare

TESTS = ["--group", f"{ROOT}/pyproject.toml:test", "-e", f"{ROOT}[cli]"]
"""Without the receiver, which needs higher versions than the core's lowest."""

RECEIVER_COMMANDS = (
    *("cli", "command_line_page", "erase", "export", "export_page", "keys", "logs", "options"),
    *("show", "stats"),
)
LEFT_OUT = [
    *("--ignore=tests/reading", "--ignore=tests/server"),
    *(f"--ignore=tests/cli/test_{name}.py" for name in RECEIVER_COMMANDS),
]
"""Tests of the receiver, which depends neither on openai nor on the Python version."""

KNOW_NO_OPENAI = [
    f"--ignore=tests/{name}"
    for name in (
        *("cli", "delivery", "export", "reading", "report", "server", "spool"),
        *("context/test_generator_blocks.py", "context/test_work_of_generators.py"),
        *("test_environment.py", "test_exit.py", "test_fork.py", "test_prefork.py"),
        "test_signal_handlers.py",
    )
]
"""Tests of what never sees openai: one version of it is enough for them on each Python."""

MAIN_VERSION = "3.11"
"""The Python on which `make test` runs everything."""

COMBINATIONS = {
    "3.10": [floors(), ["openai"]],
    "3.11": [["openai==1.109.1"], ["openai==2.54.0"], ["openai==3.0.0"]],
    "3.12": [["openai"]],
    "3.13": [["openai"]],
}


def find_python(version: str) -> str | None:
    """Return the interpreter of a Python version, or None if it is not installed."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = sorted(pyenv.glob(f"{version}.*/bin/python{version}"))
    return str(found[-1]) if found else shutil.which(f"python{version}")


def main() -> int:
    """Run all combinations; return the number of those that failed."""
    failed = []
    for version, all_requirements in COMBINATIONS.items():
        python = find_python(version)
        for requirements in all_requirements:
            title = f"Python {version}, {' '.join(requirements)}"
            if python is None:
                failed.append(f"{title}: this Python is not installed")
                continue
            print(f"==> {title}", flush=True)  # noqa: T201
            name = "-".join([version, *requirements]).replace("==", "")
            steps = ["pip>=25.1"], [*requirements, *TESTS]
            interpreter = prepare(name, *steps, python=python)
            is_first = requirements is all_requirements[0] and version != MAIN_VERSION
            left_out = LEFT_OUT if is_first else KNOW_NO_OPENAI
            command = [interpreter, "-m", "pytest", "-q", *left_out, *sys.argv[1:]]
            command += ["-o", f"cache_dir={interpreter.parent.parent / 'cache'}"]
            # Failed tests run again one at a time: a busy machine is no fault of a version.
            if all(
                subprocess.run([*command, *how], cwd=ROOT, check=False).returncode  # noqa: S603
                for how in (["-n", "auto"], ["--last-failed", "--last-failed-no-failures=none"])
            ):
                failed.append(title)
    for title in failed:
        print(f"failed: {title}", file=sys.stderr)  # noqa: T201
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
