"""
Run the tests on every Python that is installed here and on openai's milestones.

Each combination has an environment of its own under `.venvs`, made once. Interpreters are found
on the PATH and among pyenv's.

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

TESTS = ["--group", f"{ROOT}/pyproject.toml:test", "-e", f"{ROOT}[server]"]

LEFT_OUT = ["--ignore=tests/cli/test_cli.py", "--ignore=tests/server"]
"""The receiver knows neither openai nor what differs between Pythons; `make test` has its tests."""

COMBINATIONS = {
    "3.10": [floors(), ["openai"]],
    "3.11": [["openai==1.109.1"], ["openai==2.54.0"], ["openai==3.0.0"]],
    "3.12": [["openai"]],
    "3.13": [["openai"]],
}


def find_python(version: str) -> str | None:
    """Find the interpreter of a version."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = sorted(pyenv.glob(f"{version}.*/bin/python{version}"))
    return str(found[-1]) if found else shutil.which(f"python{version}")


def main() -> int:
    """Run all; return how many combinations failed."""
    failed = []
    for version, all_requirements in COMBINATIONS.items():
        python = find_python(version)
        for requirements in all_requirements:
            title = f"Python {version}, {' '.join(requirements)}"
            if python is None:
                failed.append(f"{title}: no such Python here")
                continue
            print(f"==> {title}", flush=True)  # noqa: T201
            name = "-".join([version, *requirements]).replace("==", "")
            steps = ["pip>=25.1"], [*requirements, *TESTS]
            interpreter = prepare(name, *steps, python=python)
            command = [interpreter, "-m", "pytest", "-q", *LEFT_OUT, *sys.argv[1:]]
            command += ["-o", f"cache_dir={interpreter.parent.parent / 'cache'}"]
            # What fails beside others is tried once more alone: a machine under load is no version.
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
