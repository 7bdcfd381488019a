"""Runs the command line in process, and `serve` as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from openpipe_report import cli

SOURCE = str(Path(cli.__file__).parent.parent)


@pytest.fixture
def environ(monkeypatch):
    """An environment without our settings, in which the package is found."""
    for name in [name for name in os.environ if name.startswith(("OPENPIPE_", "COLUMNS"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", SOURCE)
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    return monkeypatch


@pytest.fixture
def run(environ, tmp_path, capsys):
    """Run the command in process, in an empty folder; returns its status and what it wrote."""

    def run(*arguments, **variables):
        environ.chdir(tmp_path)
        environ.setattr(sys, "argv", ["openpipe-report", *map(str, arguments)])
        for name, value in variables.items():
            environ.setenv(name, value)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        written = capsys.readouterr()
        return SimpleNamespace(
            returncode=ended.value.code or 0, stdout=written.out, stderr=written.err
        )

    return run


@pytest.fixture
def serve(environ, tmp_path):
    """Start `serve` on a free port; returns the process and its URL, once it listens."""
    started = []

    def serve(*arguments, **variables):
        process = subprocess.Popen(
            [sys.executable, "-m", "openpipe_report", "serve", "--port", "0", *arguments],
            cwd=tmp_path,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        started.append(process)
        line = process.stdout.readline()
        if line.startswith("upgrading "):
            line = process.stdout.readline()
        assert line.startswith("Listening on "), line
        return process, line.split()[-1]

    yield serve
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
