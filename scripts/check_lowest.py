"""
Run tests and commands on the lowest allowed version of each dependency and extra.

Dependencies of dependencies are the newest that fit, as pip would install them. If a lowest version
fails here, raise it in `pyproject.toml`.

    python scripts/check_lowest.py [-k PYTEST_EXPRESSION]
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from environments import ROOT, prepare
from packaging.requirements import Requirement
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TESTS = ["tests/cli", "tests/export", "tests/reading", "tests/server", "tests/test_exports.py"]
"""What the extras are for; `check_versions.py` runs the others on the core's lowest versions."""

COMMANDS = (
    *("serve", "logs", "show", "stats", "export", "keys", "reprice", "backup", "prune", "erase"),
    *("copy", "resend", "doctor"),
)


def floors(*extras: str) -> list[str]:
    """Return the requirements of the package and of these extras, pinned to the lowest versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = [*project["dependencies"]]
    for extra in extras:
        named += project["optional-dependencies"][extra]
    pins: dict[str, Version] = {}
    for requirement in map(Requirement, named):
        lowest = [part.version for part in requirement.specifier if part.operator == ">="]
        if requirement.name != project["name"]:  # an extra that includes another
            [version] = map(Version, lowest)
            pins[requirement.name] = max(version, pins.get(requirement.name, version))
    return [f"{name}=={version}" for name, version in pins.items()]


def check_commands(command: Path, folder: Path) -> None:
    """Run each command as a user would: receive a report, list it and show it."""

    def expect(words: str, *arguments: str) -> None:
        done = subprocess.run(  # noqa: S603 - commands of our own
            [command, *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode or words not in done.stdout:
            sys.exit(f"openpipe-report {' '.join(arguments)}: {done.stdout}{done.stderr}")

    for name in COMMANDS:
        expect(name, "--help")
        expect(f"openpipe-report {name} ", name, "--help")
    expect("openpipe-report ", "--version")
    with subprocess.Popen(  # noqa: S603
        [command, "serve", "--port", "0"], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as receiver:
        try:
            assert receiver.stdout is not None  # noqa: S101 - for the type checker
            url = receiver.stdout.readline().split()[-1]
            expect("The server accepted the test report", "doctor", "--send", "--base-url", url)
            expect("doctor", "logs")
            expect('"endpoint": "doctor"', "logs", "--json")
            expect('"$endpoint": "doctor"', "show", "1", "--json")
        finally:
            receiver.send_signal(signal.SIGTERM)
            printed, _ = receiver.communicate(timeout=30)
    if receiver.returncode:
        sys.exit(f"openpipe-report serve: exited with {receiver.returncode}: {printed}")
    missing = subprocess.run(  # noqa: S603
        [command, "export"], cwd=folder, capture_output=True, text=True, check=False
    )
    if "Missing option" not in missing.stderr:
        sys.exit(f"openpipe-report export: does not report its missing option: {missing.stderr}")


def main() -> int:
    """Make the environment, run the commands and the tests; return pytest's exit status."""
    extras = ("cli", "server", "postgres", "parquet")
    pins = floors(*extras)
    print("==> lowest versions:", *pins, flush=True)  # noqa: T201
    package = f"{ROOT}[{','.join(extras)}]"
    wanted = [*pins, "--group", f"{ROOT}/pyproject.toml:test", "-e", package]
    python = prepare("lowest", ["pip>=25.1"], wanted)
    with tempfile.TemporaryDirectory() as folder:
        check_commands(python.with_name("openpipe-report"), Path(folder))
    # Old versions use deprecated names of their own newer dependencies; that is no failure.
    command = [python, "-m", "pytest", "-q", "-n", "auto", "-W", "ignore::DeprecationWarning"]
    command += [*TESTS, "-m", "not chromium", *sys.argv[1:]]
    command += ["-o", f"cache_dir={python.parent.parent / 'cache'}"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
