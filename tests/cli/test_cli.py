"""The command line, as a process of its own and in process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from openpipe_report.server.store import Store

COMMAND = [sys.executable, "-m", "openpipe_report"]
HOSTILE = "\x1b[31mred\x1b[0m [bold]b[/bold] \u202e\ud800\0\n"


@pytest.fixture
def stored(tmp_path):
    """A database with three reports: a chat, an empty one, a failed one with hostile text."""
    path = tmp_path / "openpipe-reports.db"
    chat = {
        "requestedAt": 1_700_000_000_000,
        "receivedAt": 1_700_000_001_240,
        "statusCode": 200,
        "reqPayload": {"model": "gpt", "metadata": {"user": "ada", "n": 1}},
        "respPayload": {
            "model": "gpt-4o-mini-2024-07-18",
            "usage": {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46},
        },
        "tags": {"$endpoint": "/chat/completions"},
    }
    failed = {
        "requestedAt": 10**4000,
        "errorMessage": HOSTILE,
        "tags": {"$endpoint": HOSTILE, HOSTILE: HOSTILE},
        "reqPayload": {"model": HOSTILE, "text": "\u65e5\u672c"},
    }
    with Store(path) as store:
        for report in (chat, {}, failed):
            store.add(report).result()
    return [chat, {}, failed]


def test_kill_after_answer(serve, tmp_path):
    """A report that was answered is stored, even if the receiver is killed right after."""
    process, url = serve()
    assert httpx.post(f"{url}/report", json={"statusCode": 200}).json() == {"status": "ok"}
    process.kill()
    process.wait()
    with Store(tmp_path / "openpipe-reports.db", read_only=True) as store:
        assert list(store.reports()) == [{"statusCode": 200}]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_stops_cleanly(serve, run, number):
    """SIGTERM and SIGINT end it with 0 while a client is still connected."""
    process, url = serve("--db", "own.db")
    with httpx.Client() as http:
        http.post(f"{url}/report", json={"statusCode": 201})
        process.send_signal(number)
        assert process.wait(30) == 0
    printed = process.stdout.read()
    assert f"export OPENPIPE_BASE_URL={url}" in printed
    assert "export OPENPIPE_API_KEY=any   # the openpipe SDK reports nothing without" in printed
    assert "Traceback" not in printed
    assert json.loads(run("show", 1, "--db", "own.db").stdout) == {"statusCode": 201}


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_api_key(serve, how):
    """The key is asked for, and is not printed."""
    given = {"OPENPIPE_API_KEY": "s3cret"} if how == "environment" else {}
    process, url = serve(*(["--api-key", "s3cret"] if how == "argument" else []), **given)
    headers = {"Authorization": "Bearer s3cret"}
    assert httpx.post(f"{url}/report", json={}).status_code == 401
    assert httpx.post(f"{url}/report", json={}, headers=headers).status_code == 200
    process.terminate()
    process.wait(30)
    printed = process.stdout.read()
    assert "OPENPIPE_API_KEY" in printed
    assert "s3cret" not in printed


def test_allow_host(serve):
    """On loopback a proxy's name for the receiver is refused unless it is allowed."""
    _, url = serve("--allow-host", "Proxy.example", "--db", "own.db")
    for host, status in [("proxy.example", 200), ("other.example", 421)]:
        answer = httpx.post(f"{url}/report", json={}, headers={"Host": host})
        assert answer.status_code == status


@pytest.mark.parametrize("options, status", [((), 404), (("--local-testing",), 200)])
def test_local_testing(serve, options, status):
    """The newest report can be read through the API with `--local-testing` only."""
    _, url = serve(*options, "--db", "own.db")
    httpx.post(f"{url}/report", json={"statusCode": 201})
    answer = httpx.get(f"{url}/local-testing-only-get-latest-logged-call")
    assert answer.status_code == status
    assert answer.json().get("statusCode") == (201 if status == 200 else None)


def test_local_testing_beyond_loopback(run, tmp_path):
    """`--local-testing` is refused where other machines can reach the receiver."""
    ended = run("serve", "--host", "0.0.0.0", "--port", 0, "--local-testing", OPENPIPE_API_KEY="k")
    assert ended.returncode == 1
    assert ended.stderr == (
        "Error: other machines can reach 0.0.0.0: --local-testing is for loopback only\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_needs_key_for_other_machines(run, host, tmp_path):
    """Without a key it listens on loopback only."""
    ended = run("serve", "--host", host, "--port", 0, OPENPIPE_API_KEY="")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: other machines can reach {host}: set OPENPIPE_API_KEY")
    assert list(tmp_path.iterdir()) == []


def test_port_in_use(run, tmp_path):
    """A taken port is an error of one line, and leaves no file."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("serve", "--port", port)
    assert ended.returncode == 1
    assert re.fullmatch(
        rf"Error: cannot listen on 127\.0\.0\.1, port {port} \(Address.*in use\): "
        r"choose others with --host and --port\n",
        ended.stderr,
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        pytest.param(["serve", "--host", "no.invalid"], "cannot listen on no.invalid", id="host"),
        pytest.param(["serve", "--port", "0", "--db", "no/x.db"], "folder of no/x.db", id="folder"),
        pytest.param(["serve", "--port", "0", "--db", "text"], "not an SQLite database", id="text"),
        pytest.param(["logs"], "there is no database at openpipe-reports.db", id="no database"),
        pytest.param(["logs", "--db", "text"], "not an SQLite database", id="logs of text"),
        pytest.param(["show", "1"], "`openpipe-report serve --db", id="show without database"),
    ],
)
def test_plain_errors(run, tmp_path, arguments, message):
    """A user's error is one line on stderr with the remedy, exit status 1 and no new file."""
    (tmp_path / "text").write_text("no database " * 50)
    ended = run(*arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: ")
    assert ended.stderr.count("\n") == 1
    assert message in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_unknown_id(run, stored):
    """An unknown id is an error that says where to look."""
    ended = run("show", 99)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: no report 99 in openpipe-reports.db: `openpipe-report")


@pytest.mark.parametrize("index", [0, 1, 2])
def test_show(run, stored, index):
    """Piped, a report is ASCII JSON equal to what was stored."""
    ended = run("show", index + 1)
    assert ended.returncode == 0
    assert ended.stdout.isascii()
    assert json.loads(ended.stdout) == stored[index]


def test_show_on_terminal(run, stored):
    """On a terminal letters are readable and controls stay escaped."""
    shown = run("show", 3, FORCE_COLOR="1", TERM="xterm").stdout
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert plain != shown
    assert "\u65e5\u672c" in plain
    assert all(one.isprintable() for one in plain.replace("\n", ""))
    assert json.loads(plain) == stored[2]


def test_logs_json(run, stored):
    """JSON lines hold the columns, oldest first, the error included."""
    lines = [json.loads(line) for line in run("logs", "--json").stdout.splitlines()]
    assert lines[0] == {
        "id": 1,
        "time": "2023-11-14T22:13:20.000Z",
        "endpoint": "/chat/completions",
        "model": "gpt-4o-mini-2024-07-18",
        "status": 200,
        "duration_ms": 1240.0,
        "prompt_tokens": 12,
        "completion_tokens": 34,
        "total_tokens": 46,
        "error": None,
        "metadata": {"user": "ada", "n": 1},
    }
    assert [line["id"] for line in lines] == [1, 2, 3]
    escaped = HOSTILE.replace("\ud800\0", "\\ud800\\x00")  # no database can hold these
    assert lines[2]["metadata"] == {escaped: escaped}


def test_logs_table(run, stored):
    """Piped, the table is cut nowhere and has one line a report."""
    heading, chat, empty, failed = run("logs").stdout.splitlines()
    assert heading.split() == [
        *("id", "time", "endpoint", "model", "status", "duration", "tokens", "metadata")
    ]
    assert re.split(r"  +", chat.strip()) == [
        "1",
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1_700_000_000)),
        "chat/completions",
        "gpt-4o-mini-2024-07-18",
        "200",
        "1.24 s",
        "12+34",
        "n=1",
        "user=ada",
    ]
    assert empty.split()[0] == "2"
    assert "! \\u001b[31mred" in failed
    assert "[bold]b[/bold]" in failed


@pytest.mark.parametrize("columns", [20, 40, 76, 80, 100, 140])
def test_logs_fits_terminal(run, stored, columns):
    """No line is longer than the terminal is wide, and nothing in it is unprintable."""
    ended = run("logs", COLUMNS=str(columns))
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert "".join(lines).isprintable()
    assert "ada" in ended.stdout
    assert "1.24 s" in ended.stdout


def test_logs_in_ascii(environ, stored, tmp_path):
    """A terminal that knows ASCII only gets ASCII."""
    environ.setenv("PYTHONIOENCODING", "ascii")
    shown = subprocess.run([*COMMAND, "logs"], cwd=tmp_path, capture_output=True, check=True)
    assert shown.stdout.isascii()
    assert b"gpt-4o-mini" in shown.stdout


@pytest.mark.parametrize(
    "limit, ids", [("1", [3]), ("2", [2, 3]), ("0", [1, 2, 3])], ids=["one", "two", "all"]
)
def test_logs_limit(run, stored, limit, ids):
    """The limit counts from the newest; 0 is no limit."""
    lines = run("logs", "--json", "-n", limit).stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids


def test_logs_of_nothing(run, tmp_path):
    """An empty store is no error and no output."""
    Store(tmp_path / "openpipe-reports.db").close()
    ended = run("logs")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr == "No reports in openpipe-reports.db yet.\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [["show", "1"], ["logs"], ["logs", "--json"], ["--version"]])
def test_full_disk(environ, stored, tmp_path, arguments):
    """Output that cannot be written is one line of error."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "Error: cannot write the output: No space left on device\n"


@pytest.mark.parametrize(
    "arguments", [["show", "1"], ["logs"], ["logs", "--json"], ["--help"], ["logs", "--help"]]
)
def test_pipe_that_nobody_reads(environ, stored, tmp_path, arguments):
    """A reader that has gone away, as `head` does, is no error."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_logs_while_serving(serve, run):
    """Lists work while the receiver writes to the same file."""
    _, url = serve()
    httpx.post(f"{url}/report", json={"statusCode": 204})
    assert " 204 " in run("logs").stdout


@pytest.mark.parametrize(
    "arguments, expected",
    [
        pytest.param(["--help"], ["serve", "logs", "show", "--version"], id="whole"),
        pytest.param(
            ["serve", "-h"], ["8417", "openpipe-reports.db", "OPENPIPE_API_KEY"], id="one"
        ),
        pytest.param(["--version"], ["openpipe-report "], id="version"),
    ],
)
def test_help(run, arguments, expected):
    """Help names the commands and their defaults."""
    ended = run(*arguments)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(word in ended.stdout for word in expected)


WITHOUT_EXTRA = """
import sys
for name in sys.argv.pop(1).split():
    sys.modules[name] = None
from openpipe_report.cli import main
main()
"""


def run_without(missing, *arguments, cwd):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRA, missing, *arguments],
        cwd=cwd,
        capture_output=True,
        check=False,
        text=True,
    )


SERVER = "fastapi sqlalchemy starlette uvicorn"
NO_CLI = "the command line needs an extra: pip install 'openpipe-report[cli]'\n"
NO_SERVER = "this command needs an extra: pip install 'openpipe-report[server]'\n"


@pytest.mark.parametrize(
    "missing, arguments, message",
    [
        pytest.param("rich typer " + SERVER, "logs", NO_CLI, id="core"),
        pytest.param("rich typer " + SERVER, "--version", NO_CLI, id="core-version"),
        pytest.param("rich", "logs", NO_CLI, id="rich"),
        pytest.param(SERVER, "serve", NO_SERVER, id="serve"),
        pytest.param(SERVER, "logs", NO_SERVER, id="logs"),
        pytest.param(SERVER, "show 1", NO_SERVER, id="show"),
    ],
)
def test_without_extra(environ, missing, arguments, message, stored, tmp_path):
    """A command names the extra that it needs, in one line."""
    ended = run_without(missing, *arguments.split(), cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", message)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ("--version", "openpipe-report "),
        ("--help", "resend"),
        ("doctor --base-url http://127.0.0.1:9", "Reporting is on"),
        ("resend --spool no.spool --help", "--dead"),
    ],
)
def test_commands_without_server(environ, arguments, expected, tmp_path):
    """A command that reads no stored reports works without the receiver's packages."""
    ended = run_without(SERVER, *arguments.split(), cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert expected in ended.stdout


LOADED = """
import sys
from openpipe_report.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments, unwanted",
    [
        ("--version", {"openai", "httpx", "pydantic", "rich", "sqlalchemy"}),
        ("--help", {"openai", "httpx", "pydantic", "rich", "sqlalchemy"}),
        ("logs", {"openai", "httpx", "fastapi"}),
        ("doctor --base-url http://127.0.0.1:9", {"openai", "fastapi", "sqlalchemy"}),
    ],
)
def test_start_is_quick(environ, arguments, unwanted, stored, tmp_path):
    """A command imports nothing large that it does not need: openai takes half a second of CPU."""
    ended = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments.split()],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        text=True,
    )
    assert not unwanted & set(ended.stderr.split())


def test_serve_upgrades(serve, run, tmp_path):
    """A file of the first edition is upgraded by `serve`; the other commands say so before."""
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as other:
        other.executescript(
            "PRAGMA application_id = 1330664048; PRAGMA user_version = 1;"
            "CREATE TABLE reports (id INTEGER PRIMARY KEY AUTOINCREMENT, stored_at FLOAT,"
            " idempotency_key VARCHAR UNIQUE, report TEXT NOT NULL);"
        )
        query = "INSERT INTO reports(stored_at, report) VALUES (0, ?)"
        other.execute(query, ('{"statusCode":418}',))
    other.close()
    refused = run("logs", "--db", path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "`openpipe-report serve --db " in refused.stderr
    process, _ = serve("--db", str(path))
    assert json.loads(run("logs", "--json", "--db", path).stdout)["status"] == 418
    assert path.with_name("old.db.schema-1.backup").exists()
    process.terminate()
    process.wait(30)


def test_reprice(run, tmp_path):
    """Costs are computed again with the prices of a file."""
    path, prices = tmp_path / "own.db", tmp_path / "prices.json"
    answer = {"model": "mine", "usage": {"prompt_tokens": 10, "completion_tokens": 0}}
    with Store(path) as store:
        store.add({"respPayload": answer}).result()
    prices.write_text('{"models": {"mine": {"input": 1, "output": 1}}}')
    ended = run("reprice", "--db", path, "--prices", prices)
    assert (ended.returncode, ended.stdout) == (0, "Changed the cost of 1 report(s).\n")
    with Store(path, read_only=True) as store:
        assert store.recent()[0].cost == pytest.approx(1e-5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        pytest.param(["--db", "none.db"], "no database at none.db", id="no database"),
        pytest.param(["--prices", "none.json"], "none.json cannot be read", id="no prices"),
    ],
)
def test_cannot_reprice(run, stored, arguments, message):
    """A database or file of prices that is missing is named, and none is made."""
    ended = run("reprice", *arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert message in ended.stderr
    assert not Path("none.db").exists()
