"""The options that the commands share: where to read, and which reports."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone

import pytest

from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.store import Store

KEY = "a-key-of-many-letters"
NOW = time.time() * 1_000


def make_report(number):
    failed = number % 2 == 0
    return {
        "requestedAt": NOW - 3_600_000 * (6 - number) - 60_000,
        "receivedAt": NOW - 3_600_000 * (6 - number) - 60_000 + 100 * number,
        "statusCode": 503 if failed else 200,
        "reqPayload": {
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": f"word{number}"}],
            "metadata": {"user": f"u{number % 3}", "a.b": "x=y"},
        },
        "respPayload": {
            "id": f"chat-{number}",
            "model": "gpt-4o-2024-08-06",
            "usage": {"prompt_tokens": 1_000 * number, "completion_tokens": 0},
        },
        "tags": {"$endpoint": "chat/completions", "$trace_id": f"t{number // 2}"},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder whose openpipe-reports.db has six reports, hours apart."""
    folder = tmp_path_factory.mktemp("options")
    with Store(folder / "openpipe-reports.db") as store:
        for number in range(1, 7):
            store.add(make_report(number)).result()
        while store.queries.unindexed():
            time.sleep(0.01)
    return folder


@pytest.fixture(scope="module")
def url(folder):
    """A receiver over it that wants a key."""
    store = Store(folder / "openpipe-reports.db", read_only=True)
    with store, serving(create_app(store, api_key=KEY)) as url:
        yield url


@pytest.fixture
def local(run, folder):
    """Run a command on the file."""
    return lambda *arguments, **variables: run(
        *arguments, OPENPIPE_REPORT_DB=str(folder / "openpipe-reports.db"), **variables
    )


@pytest.fixture
def remote(run, url):
    """Run a command on the receiver."""
    return lambda *arguments, **variables: run(
        *arguments, OPENPIPE_REPORT_READ_URL=url, OPENPIPE_REPORT_READ_KEY=KEY, **variables
    )


@pytest.fixture(params=["local", "remote"])
def read(request):
    return request.getfixturevalue(request.param)


def ids(ended):
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line)["id"] for line in ended.stdout.splitlines()]


@pytest.mark.parametrize(
    "options, expected",
    [
        ([], [1, 2, 3, 4, 5, 6]),
        (["--since", "2h"], [5, 6]),
        (["--until", "4h"], [1, 2]),
        (["--since", "{iso}"], [5, 6]),
        (["--since", "{local}"], [5, 6]),
        (["--since", "99999w"], [1, 2, 3, 4, 5, 6]),
        (["--model", "gpt-4o"], [1, 2, 3, 4, 5, 6]),
        (["--model", "other"], []),
        (["--endpoint", "chat/completions", "-n", "2"], [5, 6]),
        (["--status", "5xx"], [2, 4, 6]),
        (["--error"], [2, 4, 6]),
        (["--no-error"], [1, 3, 5]),
        (["--grep", "WORD3"], [3]),
        (["--where", "user=u1"], [1, 4]),
        (["--where", "a.b=x=y", "--where", "user=u1"], [1, 4]),
        (["--trace", "t1"], [2, 3]),
        (["--min-ms", "350.5"], [4, 5, 6]),
        (["--min-cost", "0.01"], [4, 5, 6]),
        (["--error", "--since", "3h", "--where", "user=u0"], [6]),
    ],
    ids=str,
)
def test_filters(read, options, expected):
    """A file and a receiver have the same reports for each filter."""
    moment = datetime.fromtimestamp((NOW - 2 * 3_600_000) / 1_000, timezone.utc)
    local = moment.astimezone().replace(tzinfo=None)
    filled = [one.format(iso=moment.isoformat(), local=local.isoformat()) for one in options]
    assert ids(read("logs", "--json", *filled)) == expected


@pytest.mark.parametrize(
    "options, message",
    [
        (["--since", "yesterday"], "--since: must be Unix milliseconds, an ISO 8601 time, or an"),
        (["--until", "2026-13-01"], "--until: must be Unix milliseconds, an ISO 8601 time, or an"),
        (["--status", "many"], "--status: must be a status such as 429, or a class such as 5xx"),
        (["--where", "user"], "--where: must be a name, = and a value, such as user=u-42"),
        (["--where", "=x"], "--where: must be a name, = and a value, such as user=u-42"),
        (["--where", "a=1", "--where", "a=2"], "--where: gives the label a twice"),
        (["--grep", ""], "--grep: must have 1 to 1,000 characters"),
        (["--min-cost", "-1"], "Invalid value for '--min-cost': "),
        (["--min-ms", "nan"], "Invalid value for '--min-ms': "),
        (["-n", "-1"], "Invalid value for '-n'"),
        (["--colour", "red"], "No such option"),
    ],
)
def test_wrong_filter(read, options, message):
    """A wrong value is an error of usage that says what is right."""
    ended = read("logs", *options)
    assert (ended.returncode, ended.stdout) == (2, "")
    said = ended.stderr.replace("Invalid value for --", "--")
    assert message in said
    assert "Traceback" not in said


def test_command_line_wins(run, folder, url, tmp_path):
    """An option wins over the variables, whichever it is; both options are one too many."""
    Store(tmp_path / "empty.db").close()
    with_url = {"OPENPIPE_REPORT_READ_URL": url, "OPENPIPE_REPORT_READ_KEY": KEY}
    ended = run("logs", "--db", tmp_path / "empty.db", **with_url)
    assert ended.stderr == f"No reports in {tmp_path}/empty.db yet.\n"
    with_db = {"OPENPIPE_REPORT_DB": str(tmp_path / "empty.db")}
    assert ids(run("logs", "--json", "--url", url, "--key", KEY, "-n", 1, **with_db)) == [6]
    ended = run("logs", "--db", "x.db", "--url", url)
    assert ended.returncode == 2
    assert "give --db or --url, not both" in ended.stderr


@pytest.mark.parametrize(
    "key, message", [("", "asks for a key"), ("wr0ng", "does not accept this key")]
)
def test_wrong_key(run, url, key, message):
    """A receiver that does not accept the key is one line of error, without the key."""
    ended = run("logs", "--url", url, "--key", key)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert message in ended.stderr
    assert "wr0ng" not in ended.stderr


def test_show(read):
    """A report is found by its id and by its completion id."""
    for name in ("3", "chat-3"):
        assert json.loads(read("show", name).stdout) == make_report(3)
    ended = read("show", "chat-9")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: no report chat-9 in ")
