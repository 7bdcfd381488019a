"""`stats`: tables and bars of what the calls come to."""

from __future__ import annotations

import json
import re
import time

import pytest
from rich.cells import cell_len

from openpipe_report.cli.bars import make_bar
from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.store import Store

HOUR = 3_600_000
FIRST = 1_700_000_000_000 // HOUR * HOUR
HOSTILE = "\x1b[31m[bold]\u202e\ud800\0\n" + "日本語" * 30


def make_call(hour, model, *, failed=False):
    return {
        "requestedAt": FIRST + hour * HOUR,
        "receivedAt": FIRST + hour * HOUR + 1_200,
        "statusCode": 500 if failed else 200,
        "reqPayload": {"model": model},
        "respPayload": {"usage": {"prompt_tokens": 1_000, "completion_tokens": 0}},
        "tags": {"$endpoint": "chat/completions"},
    }


CALLS = [
    *[make_call(0, "gpt-4o")] * 3,
    make_call(0, HOSTILE, failed=True),
    make_call(5, "gpt-4o", failed=True),
    {"requestedAt": FIRST + 5 * HOUR},
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("stats") / "reports.db"
    with Store(path) as store:
        for call in CALLS:
            store.add(call).result()
    return path


def local(hour):
    return time.strftime("%Y-%m-%d %H:%M", time.localtime((FIRST + hour * HOUR) / 1_000))


def test_whole(run, path):
    """Without groups there is one line."""
    heading, line = run("stats", "--db", path).stdout.splitlines()
    assert heading.split() == ["calls", "errors", "tokens", "cost", "p50", "p95"]
    assert re.split(r"  +", line.strip()) == ["6", "2", "5,000", "$0.010000", "1.2 s", "1.2 s"]


def test_by_time_and_group(run, path):
    """Groups come by time, the largest first; a gap is shown, and the sum."""
    lines = run("stats", "--db", path, "--by", "model", "--bucket", "hour").stdout.splitlines()
    cells = [re.split(r"  +", line.strip()) for line in lines]
    assert cells[0][:4] == ["local time", "model", "calls", "errors"]
    assert cells[1][:4] == [local(0), "gpt-4o", "3", "0"]
    assert cells[2][0].startswith("\\u001b[31m[bold]\\u202e")
    assert cells[3] == ["..."]
    assert [row[0] for row in cells[4:6]] == [local(5), "gpt-4o"]
    assert cells[4][1:] == ["(none)", "1", "0", "-", "-", "-", "-"]
    assert cells[6] == ["total", "6", "2", "5,000", "$0.010000", "-", "-"]


def test_filters(run, path):
    """Only the reports that match are counted; where none does, that is said."""
    [row] = run("stats", "--db", path, "--error", "--json").stdout.splitlines()
    assert (json.loads(row)["calls"], json.loads(row)["errors"]) == (2, 2)
    ended = run("stats", "--db", path, "--model", "none")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr == f"No reports in {path} that match.\n"


def test_remote(run, path):
    """A receiver elsewhere has the same statistics."""
    options = ["stats", "--by", "model", "--bucket", "hour"]
    expected = run(*options, "--db", path).stdout
    with Store(path, read_only=True) as store, serving(create_app(store)) as url:
        assert run(*options, "--url", url).stdout == expected


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
@pytest.mark.parametrize("options", [[], ["--by", "model"], ["--bucket", "hour", "--by", "model"]])
def test_fits_terminal(run, path, columns, options):
    """No line is wider than the terminal: bars and columns give way, then names are cut."""
    shown = run("stats", "--db", path, *options, COLUMNS=str(columns), FORCE_COLOR="1").stdout
    lines = re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()
    assert max(map(cell_len, lines)) <= columns
    assert "".join(lines).isprintable()
    assert ("█" in shown) is (columns == 120 and bool(options))
    assert ("Too narrow for: p50" in shown) or columns > 40


@pytest.mark.parametrize(
    "option, message",
    [
        (["--by", "colour"], "--by: must be model, "),
        (["--bucket", "year"], "Invalid value for '--bucket'"),
        (["--status", "many"], "--status: must be"),
    ],
)
def test_wrong_option(run, path, option, message):
    """A wrong value is an error of usage."""
    ended = run("stats", "--db", path, *option)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr


@pytest.mark.parametrize(
    "value, part, ascii_only, expected",
    [
        (80, 0, False, "██████████"),
        (40, 0, False, "█████"),
        (41, 0, False, "█████▏"),
        (1, 0, False, "▏"),
        (0, 0, False, ""),
        (80, 20, True, "##########"),
        (1, 0, True, "#"),
        (0, 0, True, ""),
    ],
)
def test_bar(value, part, ascii_only, expected):
    """A bar is as long as its value, and is never empty for one."""
    assert make_bar(value, part, 80, 10, ascii_only=ascii_only).plain == expected


def test_red_part():
    """The last piece of a bar is red; a small one can be seen."""
    for part, length in [(40, 5), (1, 1), (80, 10)]:
        [*_, span] = make_bar(80, part, 80, 10, ascii_only=False).spans
        assert (span.style, span.end - span.start) == ("red", length)
