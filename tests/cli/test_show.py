"""`show`: one report as a conversation, or as it was posted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from rich.cells import cell_len
from support.page_reports import KINDS

from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.store import Store

COMMAND = [sys.executable, "-m", "openpipe_report"]
HOSTILE = "\x1b[31m[bold]\u202e\ud800\0\n" + "日本語" * 60
NUMBERS = {name: number for number, name in enumerate(KINDS, 1)}
DEEP = json.loads("[" * 490 + "]" * 490)

OTHERS = [
    {
        "requestedAt": 1_700_000_000_000,
        "statusCode": 500,
        "errorMessage": HOSTILE,
        "reqPayload": {
            "model": HOSTILE,
            "metadata": {HOSTILE: HOSTILE},
            "messages": [
                {"role": HOSTILE, "name": HOSTILE, "content": HOSTILE},
                {"role": "assistant", "tool_calls": [{"function": {"name": HOSTILE}}]},
                {"role": "user", "content": [{"type": "file", "file": {"filename": HOSTILE}}]},
            ],
            "tools": [{"function": {"name": HOSTILE}}, None, {"type": 3}],
            HOSTILE: HOSTILE,
        },
        "tags": {"$endpoint": "chat/completions", "$trace_id": HOSTILE},
    },
    {"reqPayload": {"messages": [{"role": "user", "content": DEEP}], "deep": DEEP}},
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A database with a report of every kind, and hostile ones."""
    path = tmp_path_factory.mktemp("show") / "reports.db"
    with Store(path) as store:
        for report in (*KINDS.values(), *OTHERS):
            store.add(report).result()
    return path


@pytest.mark.parametrize(
    "kind, expected",
    [
        (
            "chat",
            ["system\n  You are terse.\n", "user\n  How?\n", "assistant  (stop)\n  Some **bold"],
        ),
        (
            "tools",
            [
                '  calls get_weather  call_1\n    {\n      "city": "Oslo",',
                '  returns\n    {\n      "celsius": -3\n    }\n',
                "  reasoning:\n    Below zero is cold.\n",
                "tools: get_weather\n",
            ],
        ),
        (
            "media",
            ["[image/png, 75 bytes]", "[audio/wav, 3.9 KiB]", "  refuses:\n    I will not say."],
        ),
        ("error", ["user\n  Again?\n", "error\n  Error code: 429"]),
        ("responses", ["system\n  Be brief.\n", "returns\n    89 euros\n", "It costs 89 euros."]),
        ("legacy", ["prompt\n  Once upon\n", "assistant  (length)\n   a time\n"]),
        ("embeddings", ["input\n  first text\n  second text\n", "[1,536 numbers: 0.25, "]),
        ("images", ["[image/png, 75 bytes]\n  A deep red square\n"]),
        ("moderations", ["  flagged\n  harassment: 0.7500\n"]),
        ("anthropic", ["  calls count  tu_1\n", "Leaves fall one by one"]),
        ("span", ['output\n  {\n    "documents"']),
        ("nothing", ["(no answer)\n"]),
    ],
)
def test_conversation(run, path, kind, expected):
    """A report of every kind is printed as what was said."""
    ended = run("show", NUMBERS[kind], "--db", path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"#{NUMBERS[kind]}  2023-11-1")
    for text in expected:
        assert text in ended.stdout


def test_about(run, path):
    """Before the conversation there is what is known of the call."""
    about = run("show", NUMBERS["chat"], "--db", path).stdout.split("\n\n")[0].splitlines()
    assert about[0].endswith("local time  chat/completions  gpt-4o-mini-2024-07-18  200  1.2 s")
    assert about[1:] == [
        "tokens: 1234+56  $0.000219",
        "completion: chatcmpl-1",
        "labels: app=shop",
        "parameters: temperature=0.25",
    ]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_fits_terminal(run, path, columns):
    """Every line fits, and nothing in it is unprintable, whatever the report is made of."""
    for number in range(1, len(KINDS) + len(OTHERS) + 1):
        lines = run("show", number, "--db", path, COLUMNS=str(columns)).stdout.splitlines()
        assert max(map(cell_len, lines)) <= columns, number
        assert "".join(lines).isprintable()


def test_in_ascii(environ, path):
    """A terminal that knows ASCII only gets ASCII."""
    done = subprocess.run(
        [*COMMAND, "show", str(len(KINDS) + 1), "--db", str(path)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.isascii()
    assert b"\\u65e5" in done.stdout


def test_all_of_hostile_text(run, path):
    """No text is lost or acted on: controls are escapes, on a terminal too."""
    number = len(KINDS) + 1
    for environment in ({}, {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "400"}):
        shown = run("show", number, "--db", path, **environment).stdout
        plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
        assert plain.replace("\n", "").isprintable()
        assert plain.count("\\u001b[31m[bold]\\u202e\\ud800\\u0000") >= 6
        assert plain.count("日本語" * 60) >= 3


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_deep(run, path, options):
    """A report that is as deep as the receiver takes them is printed."""
    ended = run("show", len(KINDS) + 2, "--db", path, *options)
    assert ended.returncode == 0, ended.stderr[-300:]
    assert ended.stdout.count("[") >= 490


def test_last(run, path):
    """The newest report is shown, or the newest that matches."""
    assert run("show", "--last", "--db", path).stdout.startswith(f"#{len(KINDS) + 2} ")
    ended = run("show", "--last", "--status", "429", "--json", "--db", path)
    assert json.loads(ended.stdout) == KINDS["error"]
    ended = run("show", "--last", "--model", "none", "--db", path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"Error: no report in {path} matches\n"


def test_remote(run, path):
    """A receiver elsewhere shows the same, without the packages of the receiver here."""
    expected = [run("show", *one, "--db", path).stdout for one in (["2"], ["--last"])]
    with Store(path, read_only=True) as store, serving(create_app(store)) as url:
        found = [run("show", *one, "--url", url).stdout for one in (["2"], ["--last"])]
    assert found == expected


@pytest.mark.parametrize("arguments", [[], ["1", "--last"], [""], ["1", "--error"]])
def test_wrong_arguments(run, path, arguments):
    """One report is named, or the last one is asked for; filters go with that."""
    ended = run("show", *arguments, "--db", path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--last" in ended.stderr
