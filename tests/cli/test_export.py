"""The command `export`, on a database and on a receiver."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import parquet
from support.export_rows import chat, response

from openpipe_report._export import FORMATS
from openpipe_report._export.columns import COLUMNS
from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.store import Store, StoredReport

COMMAND = [sys.executable, "-m", "openpipe_report", "export"]
ROWS = [
    chat(answer="one", metadata={"user": "ada"}),
    chat(answer="two", metadata={"user": "bob"}),
    chat(answer="cut", finish="length"),
    chat([{"role": "user", "content": "Ho"}]),
    response("Hey"),
]


@pytest.fixture
def folder(tmp_path):
    """A folder whose openpipe-reports.db has five reports, two of them with feedback."""
    with Store(tmp_path / "openpipe-reports.db") as store:
        for number, row in enumerate(ROWS, 1):
            report = row["report"]
            report["respPayload"]["id"] = f"id-{number}"
            store.add({**report, "requestedAt": 1_700_000_000_000 + number * 1_000}).result()
        for number, labels in ((1, {"feedback": "down"}), (2, {"feedback": "up", "comment": "=1"})):
            of_one = [{"field": "completionId", "equals": f"id-{number}"}]
            store.update_metadata(of_one, labels).result()
    return tmp_path


@pytest.fixture(params=["database", "receiver"])
def export(request, run, folder):
    """Run the command on a database, or on a receiver over it."""
    if request.param == "database":
        yield lambda *arguments, **variables: run("export", *arguments, **variables)
        return
    store = Store(folder / "openpipe-reports.db", read_only=True)
    with store, serving(create_app(store, api_key="k")) as url:
        options = ("--url", url, "--key", "k")
        yield lambda *arguments, **variables: run("export", *options, *arguments, **variables)


def answers(text):
    return [json.loads(line)["messages"][-1]["content"] for line in text.splitlines()]


def test_to_standard_output(export):
    """Lines go to stdout; what was left out, and why, goes to stderr."""
    done = export("--format", "openai-chat")
    assert answers(done.stdout) == ["one", "two", "Hello", "Hello"]
    assert done.stderr.splitlines() == [
        "Wrote 4 lines, of 5 reports.",
        "Left out 1:",
        "  1  cut at the token limit",
    ]
    assert done.returncode == 0


@pytest.mark.parametrize(
    "filters, expected",
    [
        pytest.param(["--where", "user=ada"], ["one"], id="label"),
        pytest.param(["--where", "feedback=up"], ["two"], id="feedback"),
        pytest.param(["--until", "2023-11-14T22:13:22Z"], ["one"], id="time"),
        pytest.param(["--endpoint", "responses"], ["Hello"], id="endpoint"),
        pytest.param(["--model", "other"], [], id="nothing"),
    ],
)
def test_filters(export, filters, expected):
    """The filters are those of `logs`."""
    assert answers(export("-f", "openai-chat", *filters).stdout) == expected


def test_pairs(export):
    """Feedback makes pairs, of which only the reports with feedback are read."""
    done = export("-f", "dpo")
    [line] = map(json.loads, done.stdout.splitlines())
    preferred, rejected = line["preferred_output"], line["non_preferred_output"]
    assert (preferred[0]["content"], rejected[0]["content"]) == ("two", "one")
    assert done.stderr == "Wrote 1 line, of 2 reports.\n"


def test_to_a_file(export, folder):
    """A file is readable by its owner only, and takes the place of an older one when whole."""
    target = folder / "chats.jsonl"
    target.write_text("old")
    done = export("-f", "openai-chat", "-o", target, "--dedup")
    assert answers(target.read_text()) == ["one", "Hello", "Hello"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert (done.stdout, done.returncode) == ("", 0)
    assert done.stderr.startswith(f"Wrote 3 lines to {target}, of 5 reports.\nLeft out 2:\n")
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_split(export, folder):
    """A split writes two files, whose prompts differ, and the same ones again."""
    found = []
    for name in ("a.jsonl", "b.jsonl"):
        done = export("-f", "openai-chat", "--split", "0.5", "-o", name)
        parts = [folder / name.replace(".", f".{part}.") for part in ("train", "test")]
        found.append([part.read_text() for part in parts])
        assert re.match(r"Wrote \d lines? to [ab].train.jsonl and \d lines? to ", done.stderr)
    train, test = found[0]
    assert found[1] == [train, test]
    assert sorted(answers(train) + answers(test)) == ["Hello", "Hello", "one", "two"]
    prompts = [
        {json.dumps(json.loads(line)["messages"][:-1]) for line in part.splitlines()}
        for part in (train, test)
    ]
    assert not prompts[0] & prompts[1]


def test_tables(export, folder):
    """A table has every report."""
    export("-f", "csv", "-o", "a.csv")
    with (folder / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["completion_id"] for row in rows] == [f"id-{number}" for number in range(1, 6)]
    assert rows[1]["comment"] == "'=1"
    done = export("-f", "parquet", "-o", "a.parquet")
    table = parquet.read_table(folder / "a.parquet")
    assert table["finish_reason"].to_pylist() == ["stop", "stop", "length", "stop", "completed"]
    assert done.stderr == "Wrote 5 rows to a.parquet, of 5 reports.\n"


def test_response_format_is_an_option(export):
    """`response_format` is no part of OpenAI's format."""
    for options in ((), ("--no-response-format",)):
        assert "response_format" not in export("-f", "openai-chat", *options).stdout


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        pytest.param([], 2, "Missing option '-f' / '--format'", id="no format"),
        pytest.param(["-f", "xml"], 2, f"must be one of {', '.join(FORMATS)}", id="format"),
        pytest.param(["-f", "csv", "--split", "0.9"], 2, "name them with -o", id="split of stdout"),
        pytest.param(
            ["-f", "csv", "--split", "1", "-o", "a"], 2, "split must be between 0 and 1", id="share"
        ),
        pytest.param(
            ["-f", "csv", "--status", "x", "-o", "a"], 2, "--status: must be", id="filter"
        ),
        pytest.param(["-f", "csv", "-o", "."], 2, "is a folder", id="folder"),
        pytest.param(["-f", "csv", "-o", "/none/a"], 1, "cannot write /none/a", id="no folder"),
    ],
)
def test_wrong_options(export, folder, arguments, status, message):
    """A wrong option is one line of error, and leaves no file behind."""
    before = {*folder.iterdir()}
    done = export(*arguments)
    assert done.returncode == status
    assert message in " ".join(done.stderr.split())
    assert {path for path in folder.iterdir() if "openpipe" not in path.name} <= before


def test_columns_are_those_of_the_api():
    """A table has every column of a stored report, in the same order."""
    of_reports = [field.name for field in dataclasses.fields(StoredReport)]
    assert [column.name for column in COLUMNS] == [
        name for name in of_reports if name not in ("metadata", "report")
    ]


@pytest.mark.parametrize("name", ["openpipe-reports.db", "openpipe-reports.db-wal"])
def test_never_over_the_database(run, folder, name):
    """The database is not what an export replaces."""
    before = (folder / "openpipe-reports.db").read_bytes()
    done = run("export", "-f", "jsonl", "-o", name)
    assert (done.returncode, (folder / "openpipe-reports.db").read_bytes()) == (1, before)
    assert done.stderr == f"Error: {name} is a file of the database: name another file with -o\n"


def test_failure_leaves_the_older_file(run, folder):
    """Where reports can no longer be read, the older file stays, and nothing beside it."""
    (folder / "a.jsonl").write_text("old")
    done = run("export", "-f", "jsonl", "--url", "http://127.0.0.1:9", "-o", "a.jsonl")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: cannot reach http://127.0.0.1:9")
    assert (folder / "a.jsonl").read_text() == "old"
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("to", ["stdout", "file"])
def test_full_disk(environ, folder, name, to):
    """What cannot be written is one line of error."""
    to_file = ["-o", "/dev/full"] if to == "file" else []
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "-f", name, *to_file],
            cwd=folder,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    what = "/dev/full" if to == "file" else "the output"
    assert done.stderr == f"Error: cannot write {what}: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout here")
def test_device(environ, folder):
    """A device, such as standard output by its name, is written as it is."""
    command = [*COMMAND, "-f", "openai-chat", "-o", "/dev/stdout"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert answers(done.stdout) == ["one", "two", "Hello", "Hello"]


def test_link(run, folder):
    """A link stays, and the file that it leads to is replaced."""
    (folder / "link.jsonl").symlink_to("target.jsonl")
    run("export", "-f", "openai-chat", "-o", "link.jsonl")
    assert (folder / "link.jsonl").is_symlink()
    assert len(answers((folder / "target.jsonl").read_text())) == 4


def test_interrupted(environ, tmp_path):
    """Ctrl-C leaves the older file, and nothing beside it."""
    (tmp_path / "a.jsonl").write_text("old")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = [*COMMAND, "-f", "jsonl", "-o", "a.jsonl", "--url", url]
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
        with silent.accept()[0]:
            assert len([*tmp_path.iterdir()]) == 2
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("name", FORMATS)
def test_reader_that_has_gone(environ, tmp_path, name):
    """A reader that stops reading, as `head` does, is no error."""
    with Store(tmp_path / "openpipe-reports.db") as store:
        for number in range(40):
            labels = {"corrected": f"{number}"}
            report = chat(answer="x" * 10_000, metadata=labels)["report"]
            store.add(report).result()
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [*COMMAND, "-f", name], cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"Traceback" not in said
    assert b"Error" not in said


def test_bar_on_a_terminal(environ, folder):
    """A terminal shows how far the export is, and then the summary alone."""
    terminal, other = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "-f", "jsonl", "-o", "a.jsonl"],
        cwd=folder,
        stderr=other,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "40"},
    ) as process:
        os.close(other)
        shown = b""
        while True:
            try:
                piece = os.read(terminal, 4096)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        os.close(terminal)
    assert process.returncode == 0
    assert b"Exporting" in shown
    assert shown.decode().splitlines()[-1].endswith("Wrote 5 lines to a.jsonl, of 5 reports.")


def test_help_names_every_format(run):
    """The help names the formats that there are."""
    shown = " ".join(run("export", "--help", COLUMNS="200").stdout.split())
    assert all(re.search(rf"\b{name}\b", shown) for name in FORMATS)
