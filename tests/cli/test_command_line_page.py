"""docs/command-line.md names every command and every option that filters."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import typer

from openpipe_report.cli.commands import commands
from openpipe_report.cli.filtering import read_conditions

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text("utf-8")


def test_commands():
    """Each command is in the first table, and no other."""
    table = PAGE.partition("## ")[0]
    rows = re.findall(r"^\|( `[^|]+)\|", table, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(typer.main.get_command(commands).commands)


def test_filters():
    """Each filter is in its table, and no other."""
    table = PAGE.partition("## Which reports")[2].partition("\n## ")[0]
    named = set(re.findall(r"`--([\w-]+)", table)) - {"no-error"}
    assert named == {
        name.replace("_", "-") for name in inspect.signature(read_conditions).parameters
    }
