"""Changes of labels in a spool: kept, read back and resent with their path, beside reports."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest
from support.backend import HANG_GUARD, PRELUDE, Backend, Made, script_environment, take

from openpipe_report import Reporter
from openpipe_report import __main__ as command

SCRIPT = """
reporter = Reporter(base_url=sys.argv[1], spool=sys.argv[2])
for number in range(20):
    reporter.submit(Made(number))
    reporter.update_metadata(completion_id=f"id-{number}", metadata={"score": number})
reporter.channel.spool.sync(60)
print("stored", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def backend():
    with Backend() as backend:
        yield backend


def kill(backend, path):
    """Kill a process that has stored twenty reports and twenty changes, and delivered none."""
    backend.answer = lambda post: (503, b"", {})
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + SCRIPT, backend.base_url, str(path)],
        env=script_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "stored\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=HANG_GUARD)
    backend.posts.clear()
    backend.answer = take


def delivered(backend):
    """What has arrived, each under its key once: the labels of reports, the scores of changes."""
    posts = {post.key: post for post in backend.posts}.values()
    reports = [post.label for post in posts if post.path.endswith("/report")]
    scores = [
        int(post.report["metadata"]["score"])
        for post in posts
        if post.path.endswith("/logs/update-metadata")
    ]
    return sorted(reports), sorted(scores)


VERSION_2 = """
ALTER TABLE reports RENAME TO later;
CREATE TABLE reports (
    number INTEGER PRIMARY KEY,
    idempotency_key TEXT NOT NULL,
    tag INTEGER NOT NULL,
    body BLOB NOT NULL,
    reason TEXT
);
INSERT INTO reports
    SELECT number, idempotency_key, tag, body, reason FROM later WHERE path = 'report';
DROP TABLE later;
PRAGMA user_version = 2;
"""

ALL = (list(range(20)), list(range(20)))


def test_killed(backend, path):
    """The next process delivers what a killed one has left, each to its own path."""
    kill(backend, path)
    reporter = Reporter(base_url=backend.base_url, spool=path)
    reporter.update_metadata(completion_id="id-20", metadata={"score": 20})
    while reporter.stats().delivered < 41:
        threading.Event().wait(0.01)
    assert delivered(backend) == (ALL[0], [*ALL[1], 20])
    assert reporter.shutdown(HANG_GUARD)
    assert list(path.iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["--dead"]], ids=["waiting", "dead letters"])
def test_resend(backend, path, monkeypatch, arguments):
    """`resend` delivers them, and those that were refused with `--dead`."""
    kill(backend, path)
    if arguments:
        backend.answer = lambda post: (400, b"", {})
        reporter = Reporter(base_url=backend.base_url, spool=path)
        reporter.submit(Made(0))
        while reporter.stats().rejected < 41:
            threading.Event().wait(0.01)
        reporter.shutdown(HANG_GUARD)
        backend.answer = take
    backend.posts.clear()
    argv = ["openpipe-report", "resend", "--spool", str(path), "--base-url", backend.base_url]
    monkeypatch.setattr(sys, "argv", [*argv, *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert not ended.value.code
    extra = [0] if arguments else []
    assert delivered(backend) == (sorted([*extra, *ALL[0]]), ALL[1])


def test_set_aside(backend, path):
    """Those that only the file has are read back with their path."""
    down = threading.Event()
    down.set()
    backend.answer = lambda post: (503, b"", {}) if down.is_set() else take(post)
    reporter = Reporter(base_url=backend.base_url, spool=path, max_queue_reports=10)
    for number in range(20):
        for report in (True, False):
            while not (
                reporter.submit(Made(number))
                if report
                else reporter.update_metadata(
                    completion_id=f"id-{number}", metadata={"score": number}
                )
            ):
                assert reporter.channel.spool.sync(HANG_GUARD)
    assert reporter.channel.spool.sync(HANG_GUARD)
    assert reporter.channel.budget.aside > 20
    down.clear()
    reporter.flush(HANG_GUARD)
    assert delivered(backend) == ALL
    assert reporter.stats().delivered == 40
    reporter.shutdown(HANG_GUARD)


def test_file_of_the_version_before(backend, path):
    """A file without paths holds reports, which are delivered."""
    kill(backend, path)
    [file] = path.glob("*.spool")
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.executescript(VERSION_2)
    reporter = Reporter(base_url=backend.base_url, spool=path)
    reporter.update_metadata(completion_id="id-20", metadata={"score": 20})
    while reporter.stats().delivered < 21:
        threading.Event().wait(0.01)
    reports, scores = delivered(backend)
    assert reports == ALL[0]
    assert scores[-1] == 20  # others are what the killed process was sending
    assert reporter.shutdown(HANG_GUARD)
    assert list(path.iterdir()) == []
