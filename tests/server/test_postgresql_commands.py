"""The commands on a PostgreSQL database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import httpx
import pytest

from openpipe_report.server.store import Store

PASSWORD = "secret-word"
COMMAND = [sys.executable, "-m", "openpipe_report"]


def run(*arguments, status=0, **variables):
    """Run a command; return what it has printed, which never has the password in it."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )
    printed = done.stdout + done.stderr
    assert done.returncode == status, printed
    assert PASSWORD not in printed
    return printed


def test_serve(empty_postgresql):
    """`serve` creates the tables and stores what it acknowledges; `logs` reads it."""
    variables = {"OPENPIPE_REPORT_DB": empty_postgresql}
    with subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **variables},
    ) as receiver:
        url = receiver.stdout.readline().split()[-1]
        place = receiver.stdout.readline()
        httpx.post(f"{url}/report", json={"statusCode": 418}).raise_for_status()
        assert httpx.get(f"{url.removesuffix('/api/v1')}/readyz").status_code == 200
        receiver.send_signal(signal.SIGTERM)
        printed, _ = receiver.communicate(timeout=60)
    assert receiver.returncode == 0
    assert place.startswith("Storing in postgresql+psycopg://tests:***@127.0.0.1:")
    assert PASSWORD not in place + printed
    assert "418" in run("logs", **variables)
    assert "418" in run("show", "1", **variables)


def test_copy(tmp_path, postgresql):
    """`copy` moves a store to PostgreSQL and back, and says what it has done."""
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    with Store(first) as store:
        for number in range(3):
            store.add({"statusCode": number}, idempotency_key=f"k{number}").result()
    assert "Copied 3 report(s); postgresql+psycopg://tests:***@" in run(
        "copy", "--from", first, "--to", postgresql
    )
    assert "Copied 0 report(s)" in run("copy", "--from", first, "--to", postgresql)
    assert "has all 3" in run("copy", "--from", postgresql, "--to", second)
    with Store(second, read_only=True) as store:
        assert [(row.id, row.idempotency_key) for row in store.recent()] == [
            (1, "k0"),
            (2, "k1"),
            (3, "k2"),
        ]
    with Store(second) as store:
        store.add({}).result()
    assert "copy to an empty database" in run(
        "copy", "--from", postgresql, "--to", second, status=1
    )


@pytest.mark.parametrize(
    "source, target, message, status",
    [
        ("http://127.0.0.1:1", "b.db", "is a receiver", 2),
        ("a.db", "a.db", "the same database", 2),
        ("missing.db", "b.db", "there is no database at missing.db", 1),
        (f"postgresql+psycopg://u:{PASSWORD}@127.0.0.1:1/d", "b.db", "u:\\*\\*\\*@", 1),
        (f"mysql://u:{PASSWORD}@h/d", "b.db", "mysql is not supported", 1),
    ],
)
def test_wrong_copy(tmp_path, monkeypatch, source, target, message, status):
    """A wrong place is one line of error, and no file is made."""
    monkeypatch.chdir(tmp_path)
    printed = run("copy", "--from", source, "--to", target, status=status)
    assert message.replace("\\", "") in printed
    assert printed.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [["erase", "--model", "m", "--yes"], ["prune", "--older-than", "1d"], ["reprice"]],
    ids=["erase", "prune", "reprice"],
)
def test_nothing_there(empty_postgresql, command):
    """A database without reports is told, and no tables are made in it: its name may be wrong."""
    for _ in range(2):
        assert "has no reports" in run(*command, "--db", empty_postgresql, status=1)


def test_server_is_away():
    """A server that cannot be reached is one line of error."""
    away = f"postgresql+psycopg://u:{PASSWORD}@127.0.0.1:1/d"
    for command in ("logs", "serve", "reprice"):
        printed = run(command, "--db", away, status=1)
        assert "u:***@127.0.0.1:1/d" in printed
        assert printed.count("\n") == 1


def test_key_of_another_database(postgresql):
    """A key that the database has not is named with the database, whose password is not shown."""
    printed = run("serve", "--db", postgresql, "--port", "0", status=1, OPENPIPE_API_KEY="opr_x")
    assert "tests:***@" in printed
    assert "has no keys" in printed


def test_backup(postgresql, tmp_path):
    """`backup` names the program that copies such a database."""
    assert "pg_dump" in run("backup", tmp_path / "copy.db", "--db", postgresql, status=1)
