"""`logs`: following, traces as trees, costs, and any number of reports."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import tracemalloc

import httpx
import pytest

from openpipe_report import cli
from openpipe_report.cli.following import follow
from openpipe_report.cli.trace_tree import make_tree
from openpipe_report.server.store import Store

COMMAND = [sys.executable, "-m", "openpipe_report"]
HOSTILE = "\x1b[31m[bold]\u202e\ud800\0\n"
FIRST = 1_700_000_000_000


def make_span(name, span_id, parent=None, trace="0123456789abcdef", **fields):
    tags = {"$endpoint": "span", "$trace_id": trace, "$span_id": span_id}
    if parent is not None:
        tags["$parent_span_id"] = parent
    times = {"requestedAt": FIRST, "receivedAt": FIRST + 1_500}
    return {**times, "reqPayload": {"name": name}, "tags": tags, **fields}


def make_call(model, parent=None, trace="0123456789abcdef", **fields):
    tags = {"$endpoint": "chat/completions", "$trace_id": trace, "$parent_span_id": parent}
    usage = {"prompt_tokens": 1_000, "completion_tokens": 100}
    return {
        "requestedAt": FIRST + 100,
        "receivedAt": FIRST + 300,
        "statusCode": 200,
        "reqPayload": {"model": model},
        "respPayload": {"model": model, "usage": usage},
        "tags": {name: value for name, value in tags.items() if value is not None},
        **fields,
    }


def add(path, *reports):
    with Store(path) as store:
        for report in reports:
            store.add(report).result()


@pytest.fixture
def start(environ, tmp_path):
    """Start a command as a process whose output is read line by line."""
    started = []

    def start(*arguments, **options):
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ.copy(),
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
            encoding="utf-8",
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def next_id(process):
    return json.loads(process.stdout.readline())["id"]


@pytest.mark.parametrize("kind", ["file", "receiver"])
def test_follow(serve, start, kind):
    """New reports appear, also after a restart of the receiver; Ctrl-C ends it with 130."""
    receiver, url = serve("--db", "own.db")
    for status in (200, 201):
        httpx.post(f"{url}/report", json={"statusCode": status})
    place = ["--url", url] if kind == "receiver" else ["--db", "own.db"]
    process = start("logs", "--follow", "--json", "-n", 1, "--status", "2xx", *place)
    assert next_id(process) == 2
    httpx.post(f"{url}/report", json={"statusCode": 500})
    httpx.post(f"{url}/report", json={"statusCode": 202})
    assert next_id(process) == 4
    receiver.terminate()
    assert receiver.wait(30) == 0
    if kind == "receiver":
        assert "cannot reach" in process.stderr.readline()
    port = url.split(":")[2].split("/")[0]
    _, url = serve("--db", "own.db", "--port", port)
    httpx.post(f"{url}/report", json={"statusCode": 203})
    assert next_id(process) == 5
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    errors = process.stderr.read()
    assert errors == (f"{url} can be read again\n" if kind == "receiver" else "")


def test_follow_from_nothing(serve, start):
    """An empty store is followed, too; the table has its heading at once."""
    _, url = serve("--db", "own.db")
    process = start("logs", "-f", "--db", "own.db")
    assert process.stdout.readline().split()[:3] == ["id", "local", "time"]
    httpx.post(f"{url}/report", json={"statusCode": 204})
    assert " 204 " in process.stdout.readline()


def test_follow_waits_longer():
    """A receiver that stays away is tried less often, and told of once."""
    from openpipe_report._reading import SourceUnavailableError

    class Source:
        name = "there"
        answers = [SourceUnavailableError("away")] * 5 + [[{"id": 1}], [], [{"id": 2}]]

        def tail(self, after_id, where, *, limit):
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    waits, said = [], []
    found = follow(Source(), {}, 0, said.append, waits.append)
    assert [next(found), next(found)] == [[{"id": 1}], [{"id": 2}]]
    assert waits == [1, 2, 4, 5, 5, 0.5, 0.5]
    assert said == ["away; trying again", "there can be read again"]


def test_tree(run, tmp_path):
    """A trace has its spans by name with the calls below them; the rest stands alone."""
    add(
        tmp_path / "openpipe-reports.db",
        make_span("answer", "s1"),
        make_span("retrieve", "s2", "s1"),
        make_call("embed", "s2", errorMessage="slow", statusCode=503),
        make_call("gpt-4o", "s1"),
        {"requestedAt": FIRST, "reqPayload": {"model": "alone"}},
    )
    lines = run("logs", "--tree", "--cost").stdout.splitlines()
    local = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(FIRST / 1_000))
    assert lines == [
        f"trace 01234567  {local} local time  4 reports  1 failed  $0.003500",
        "  answer  1.5 s",
        "  ├─ retrieve  1.5 s",
        "  │  └─ #3  chat/completions  embed  503  200 ms  1000+100  ! slow",
        "  └─ #4  chat/completions  gpt-4o  200  200 ms  1000+100  $0.003500",
        f"{local}  #5  alone",
    ]
    assert run("logs", "--tree", "--cost", "--error").stdout.splitlines() == lines[:-1]


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_tree_fits_terminal(run, tmp_path, columns, encoding, monkeypatch):
    """Names are cut, however deep the tree is and whatever they are made of."""
    spans = [
        make_span(HOSTILE + "日本語" * 30, f"s{one}", f"s{one - 1}", trace=HOSTILE)
        for one in range(50)
    ]
    add(tmp_path / "openpipe-reports.db", *spans)
    process = subprocess.run(
        [*COMMAND, "logs", "--tree"],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": str(columns), "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    from rich.cells import cell_len

    lines = process.stdout.decode(encoding).splitlines()
    assert len(lines) == 51
    assert max(map(cell_len, lines)) <= columns
    assert "".join(lines).isprintable()
    assert all("bold" in line for line in lines[1:])


@pytest.mark.parametrize(
    "parents, order",
    [
        pytest.param([None, 1, 1, 2], [1, 2, 4, 3], id="tree"),
        pytest.param([None, 9, 2], [1, 2, 3], id="missing parent"),
        pytest.param([1], [1], id="its own parent"),
        pytest.param([3, 1, 2, None], [4, 1, 2, 3], id="circle"),
        pytest.param([None, *range(1, 1_000)], list(range(1, 1_001)), id="deep"),
    ],
)
def test_tree_of_any_parents(parents, order):
    """Every report is in the tree once, whatever it says of its parent."""
    rows = [
        {"id": number, "span_id": f"s{number}", "parent_span_id": parent and f"s{parent}"}
        for number, parent in enumerate(parents, 1)
    ]
    assert [node.row["id"] for node in make_tree(rows)] == order


@pytest.mark.parametrize("other", ["--follow", "--json"])
def test_tree_alone(run, other):
    """A tree is neither followed nor JSON."""
    ended = run("logs", "--tree", other)
    assert ended.returncode == 2
    assert "goes with neither --follow nor --json" in ended.stderr


def test_cost(run, tmp_path):
    """Costs are a column; an unknown one is a dash."""
    add(tmp_path / "openpipe-reports.db", make_call("gpt-4o"), make_call("unknown"))
    heading, known, unknown = run("logs", "--cost").stdout.splitlines()
    assert "cost" in heading
    assert known.split()[-1] == "$0.003500"
    assert unknown.split()[-1] == "-"


def test_later_rows_are_wider(run, tmp_path):
    """Columns are sized by the first reports: later values are cut on a terminal only."""
    path = tmp_path / "openpipe-reports.db"
    add(path, *[make_call("m")] * 250, make_call("a-model-with-quite-a-long-name"))
    assert "a-model-with-quite-a-long-name" in run("logs", "-n", 0).stdout
    lines = run("logs", "-n", 0, COLUMNS="80").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "a-model-w.." in lines[-1]


@pytest.mark.parametrize("options", [["--json"], [], ["--json", "-n", "2500"]], ids=str)
def test_constant_memory(environ, tmp_path, options):
    """A list of any length is printed row by row."""
    path = tmp_path / "reports.db"
    labels = {f"name{number}": "x" * 1_000 for number in range(20)}
    report = {"reqPayload": {"model": "m", "metadata": labels}}
    with Store(path) as store:
        for added in [store.add(report) for _ in range(3_000)]:
            added.result()
    environ.setattr(
        sys, "argv", ["openpipe-report", "logs", "-n", "0", "--db", str(path), *options]
    )
    with (tmp_path / "output").open("w") as output:
        environ.setattr(sys, "stdout", output)
        tracemalloc.start()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert not ended.value.code
    assert (tmp_path / "output").stat().st_size > 2_500 * 20_000
    assert peak < 25 * 2**20


def test_progress(environ, tmp_path):
    """A long list into a file has a bar on the terminal, and one into a pipe has none."""
    path = tmp_path / "openpipe-reports.db"
    with Store(path) as store:
        for added in [store.add({"statusCode": 200}) for _ in range(1_200)]:
            added.result()
    for into_file, expected in [(True, True), (False, False)]:
        leader, follower = pty.openpty()
        with (tmp_path / "output").open("w") as output:
            process = subprocess.Popen(
                [*COMMAND, "logs", "-n", "0", "--json"],
                cwd=tmp_path,
                env={**os.environ, "TERM": "xterm", "COLUMNS": "40"},
                stdout=output if into_file else subprocess.PIPE,
                stderr=follower,
            )
            os.close(follower)
            if not into_file:
                assert process.stdout.read().count(b"\n") == 1_200
                process.stdout.close()
            shown = b""
            try:
                while more := os.read(leader, 65_536):
                    shown += more
            except OSError:  # the other end is closed
                pass
            os.close(leader)
            assert process.wait(60) == 0
        assert (re.search(rb"\d+/1200", shown) is not None) is expected
        assert into_file or shown == b""
