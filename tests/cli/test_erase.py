"""The commands `erase`, `prune` and `backup`, beside a receiver that runs."""

from __future__ import annotations

import io
import itertools
import os
import pty
import stat
import subprocess
import sys
import threading
import time

import httpx
import pytest

from openpipe_report.server.store import Store

DB = "openpipe-reports.db"
DAY = 86_400_000
SECRET = "zqsecret"


def report(number, user="other"):
    return {
        "requestedAt": time.time() * 1_000 - number * DAY,
        "reqPayload": {"messages": f"words of {user} {number}", "metadata": {"user": user}},
        "respPayload": {"id": f"{user}-{number}"},
    }


@pytest.fixture
def stored(tmp_path):
    """A database with reports of the last ten days, each second one of a user."""
    path = tmp_path / DB
    with Store(path) as store:
        for number in range(10):
            store.add(report(number, SECRET if number % 2 else "other")).result()
    return path


def is_left(folder):
    return any(SECRET.encode() in one.read_bytes() for one in folder.iterdir() if one.is_file())


def count(path):
    with Store(path, read_only=True) as store:
        return store.count()


def test_erase(run, stored, tmp_path):
    """The number is shown first, then the reports are erased, without a trace."""
    ended = run("erase", "--where", f"user={SECRET}", "--yes")
    assert (ended.returncode, ended.stdout) == (0, "Erased 5 report(s).\n")
    assert ended.stderr == "5 report(s) match.\n"
    assert count(stored) == 5
    assert not is_left(tmp_path)
    again = run("erase", "--where", f"user={SECRET}", "--yes")
    assert (again.returncode, again.stdout) == (0, "Erased 0 report(s).\n")


@pytest.mark.parametrize("answer, left", [("y", 5), ("n", 10)])
def test_question(stored, answer, left, environ):
    """On a terminal it asks."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "openpipe_report", "erase", "--where", f"user={SECRET}"]
    process = subprocess.Popen(
        command, cwd=stored.parent, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    os.write(ours, f"{answer}\n".encode())
    output, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert b"5 report(s) match.\nErase them for ever?" in output
    assert process.returncode == (answer == "n")
    assert count(stored) == left


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (["erase"], 2, "say which reports to erase"),
        (["erase", "--where", "user=zqsecret"], 2, "give --yes"),
        (["erase", "--status", "high", "--yes"], 2, "--status: must be a status"),
        (["erase", "--where", "user", "--yes"], 2, "must be a name, = and a value"),
        (["erase", "--model", "x", "--db", "missing.db"], 1, "there is no database"),
        (["prune"], 2, "--older-than"),
        (["prune", "--older-than", "old"], 2, "must be a number and s, m, h, d or w"),
        (["backup", "other.db"], 1, "exists: name another file, or give --force"),
        (["backup", DB, "--force"], 1, f"{DB} is the database itself: name another file"),
        (["backup", "link.db", "--force"], 1, "link.db is the database itself"),
        (["backup", "missing/x.db"], 1, "cannot write missing/x.db"),
        (["backup", "copy.db", "--db", "missing.db"], 1, "there is no database"),
    ],
)
def test_wrong_arguments(run, stored, arguments, status, message, monkeypatch):
    """What is wrong is told, and nothing is erased."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    stored.with_name("link.db").symlink_to(DB)
    stored.with_name("other.db").touch()
    ended = run(*arguments)
    assert ended.returncode == status
    assert message in " ".join(ended.stderr.split())
    assert count(stored) == 10


def test_prune(run, stored):
    """Reports of calls that are older are erased, without a question."""
    ended = run("prune", "--older-than", "5d")
    assert (ended.returncode, ended.stdout) == (0, "Erased 5 report(s).\n")
    assert run("prune", "--older-than", "1h", "--project", "a").stdout == "Erased 0 report(s).\n"
    assert count(stored) == 5


def test_notes(run, stored):
    """Copies that upgrades have left, and bytes that only a new file gets rid of, are named."""
    stored.with_name(f"{DB}.schema-2.backup").touch()
    stored.with_name(f"other-{DB}.schema-2.backup").touch()
    ended = run("erase", "--where", f"user={SECRET}", "--yes", "--no-vacuum")
    assert f"An upgrade has kept the reports in {DB}.schema-2.backup: remove it." in ended.stderr
    assert "--vacuum removes them" in ended.stderr
    assert ended.stderr.count("remove it") == 1


def test_beside_a_receiver(serve, run, tmp_path):
    """A receiver goes on meanwhile; afterwards no byte of what was erased is in any file."""
    _, url = serve()
    stop = threading.Event()
    statuses = []

    def send():
        with httpx.Client() as client:
            for number in itertools.count():
                if stop.is_set():
                    return
                sent = client.post(f"{url}/report", json=report(0, f"meanwhile{number}"))
                statuses.append(sent.status_code)

    with httpx.Client() as client:
        for number in range(60):
            user = SECRET if number % 3 == 1 else "other"
            assert client.post(f"{url}/report", json=report(number, user)).status_code == 200
        body = {
            "filters": [{"field": "metadata.user", "equals": SECRET}],
            "metadata": {"comment": f"from {SECRET}"},
        }
        assert client.post(f"{url}/logs/update-metadata", json=body).json() == {"matchedLogs": 20}
    thread = threading.Thread(target=send)
    thread.start()
    try:
        ended = run("erase", "--where", f"user={SECRET}", "--yes")
        copied = run("backup", "copy.db")
    finally:
        stop.set()
        thread.join()
    assert ended.stdout == "Erased 20 report(s).\n"
    assert copied.stdout == f"Copied {DB} to copy.db.\n"
    assert set(statuses) == {200}
    assert not is_left(tmp_path)
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    with Store(tmp_path / DB, read_only=True) as store:
        assert store.count() == 40 + len(statuses)
    assert 40 <= count(tmp_path / "copy.db") <= 40 + len(statuses)


def test_keep(serve, run, stored):
    """`serve --keep` erases what is older, and all else stays."""
    serve("--keep", "5d")
    deadline = time.monotonic() + 30
    while count(stored) != 5:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert run("serve", "--keep", "always").returncode == 2
