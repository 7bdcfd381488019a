"""The examples of docs/export.md do what they show."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.export_rows import chat

from openpipe_report.server.store import Store

PAGE = (Path(__file__).parent.parent.parent / "docs" / "export.md").read_text("utf-8")
COMMANDS = re.findall(r"^\$ (.+)\n((?:(?!\$ |```).*\n)*)", PAGE, re.MULTILINE)
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CAPITAL = [{"role": "user", "content": "Name the capital of France."}]
POET = [{"role": "user", "content": "Name a poet of France."}]
ROWS = [
    chat(CAPITAL, "Lyon.", metadata={"user": "u-1"}),
    chat(CAPITAL, "Paris.", metadata={"user": "u-2"}),
    chat(POET, "Victor Hugo.", metadata={"user": "u-1"}),
    chat(POET, "The", finish="length", metadata={"user": "u-2"}),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the reports of the page."""
    folder = tmp_path_factory.mktemp("page")
    failed = {"reqPayload": {"messages": POET, "model": "gpt"}, "errorMessage": "no"}
    reports = [*(row["report"] for row in ROWS), {**failed, "statusCode": 500}]
    with Store(folder / "openpipe-reports.db") as store:
        for number, report in enumerate(reports):
            if number < 4:
                report["respPayload"]["id"] = f"id-{number}"
            store.add({**report, "requestedAt": time.time() * 1_000}).result()
        for number, judged in enumerate(("down", "up")):
            of_one = [{"field": "completionId", "equals": f"id-{number}"}]
            store.update_metadata(of_one, {"feedback": judged}).result()
    return folder


def test_there_are_examples():
    """The patterns that find the examples find them."""
    assert (len(COMMANDS), len(SNIPPETS)) == (PAGE.count("\n$ "), PAGE.count("```python"))
    assert len(COMMANDS) == 5


@pytest.mark.parametrize("command, shown", COMMANDS, ids=[*map(str, range(len(COMMANDS)))])
def test_command(folder, command, shown):
    """A command prints what the page shows, whatever was run before it."""
    if command.startswith("head"):
        command = f"{COMMANDS[0][0]} 2>/dev/null; {command}"
    environ = {name: os.environ[name] for name in os.environ if not name.startswith("OPENPIPE_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), environ["PATH"]])
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={**environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    assert sorted(done.stdout.splitlines()) == sorted(shown.splitlines())


@pytest.mark.parametrize(
    "snippet, printed",
    [*zip(SNIPPETS, ["gpt Paris.\n", "{'u-1': 2, 'u-2': 2}\n"], strict=True)],
    ids=["dicts", "frame"],
)
def test_snippet(folder, monkeypatch, snippet, printed):
    """A Python example prints what it should."""
    monkeypatch.chdir(folder)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(snippet, "docs/export.md", "exec"), {})
    assert out.getvalue() == printed
