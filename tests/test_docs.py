"""The pages for people who change the package name what is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_files_that_the_architecture_page_names():
    """Each file in the table exists, and each name in brackets is in its file."""
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and ".py`" in line]
    assert len(rows) > 20
    for row in rows:
        files = [ROOT / name for name in re.findall(r"`([\w/]+\.py)`", row)]
        assert all(file.is_file() for file in files), row
        for name in re.findall(r"\(`(\w+)`\)", row):
            assert any(name in file.read_text("utf-8") for file in files), row


def test_packages_that_the_architecture_page_names():
    """The table of packages has each package and module of the core, in the contract's order."""
    table = PAGE.partition("## Packages")[2].partition("\n## ")[0]
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE)))
    there = {path.stem for path in (ROOT / "openpipe_report").iterdir()}
    assert {*named} == {name for name in there if not re.match("__|_signatures|py|types", name)}
