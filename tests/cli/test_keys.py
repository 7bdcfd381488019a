"""The commands that make, list and revoke API keys, beside a receiver that runs."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from openpipe_report.server.store import Store

DB = "openpipe-reports.db"


def make(run, *arguments):
    ended = run("keys", "create", "ci", *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def until(answers, status):
    """Ask until an answer has this status; returns the seconds that it took."""
    began = time.monotonic()
    while answers().status_code != status:
        assert time.monotonic() - began < 20
        time.sleep(0.05)
    return time.monotonic() - began


def test_create(run, tmp_path):
    """The key alone is on stdout; the rest, and what the first key means, is on stderr."""
    first = run("keys", "create", "the [bold]ci[/bold]", "--project", "team-a", "--expires", "90d")
    second = run("keys", "create", "bob", "--scope", "read")
    assert first.stdout.startswith("opr_")
    assert first.stdout.count("\n") == second.stdout.count("\n") == 1
    assert "Made key 1, the [bold]ci[/bold]: project team-a, scope write, until " in first.stderr
    assert "every request to a receiver of this database needs a key" in first.stderr
    assert second.stderr.startswith("Made key 2, bob: project default, scope read, does not expire")
    assert "It is the first" not in second.stderr
    with Store(tmp_path / DB) as store:
        expires_at = store.keys.all()[0].expires_at
    assert expires_at == pytest.approx((time.time() + 90 * 86_400) * 1_000, abs=60_000)


def test_list(run):
    """All keys are listed with their state, and no key is shown."""
    keys = [make(run, "--project", project) for project in ("a", "b", "b")]
    assert run("keys", "revoke", 2).stdout == "Revoked key 2, ci.\n"
    shown = run("keys", "list").stdout
    rows = [line.split() for line in shown.splitlines()]
    assert rows[0][:5] == ["id", "name", "project", "scope", "state"]
    assert [row[:5] for row in rows[1:]] == [
        ["1", "ci", "a", "write", "active"],
        ["2", "ci", "b", "write", "revoked"],
        ["3", "ci", "b", "write", "active"],
    ]
    lines = run("keys", "list", "--json", "--project", "b").stdout.splitlines()
    assert [(row["id"], row["state"]) for row in map(json.loads, lines)] == [
        (2, "revoked"),
        (3, "active"),
    ]
    assert not [key for key in keys if key in shown or key in "".join(lines)]


@pytest.mark.parametrize("columns", [40, 60])
def test_list_in_narrow_terminal(run, columns):
    """In a narrow terminal each key is a block of lines that fit."""
    make(run, "--project", "a" * 30)
    lines = run("keys", "list", COLUMNS=str(columns)).stdout.splitlines()
    assert lines[0] == "1: ci"
    assert max(map(len, lines)) <= columns
    assert f"  project {'a' * 30}" in lines


def test_list_of_nothing(run):
    """Without keys nothing is printed on stdout; without a database it is an error."""
    assert run("keys", "list").returncode == 1
    Store(DB).close()
    ended = run("keys", "list")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "There are no keys.\n")


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (["create", "x", "--scope", "all"], 2, "a scope is write, read, admin"),
        (["create", "x", "--project", "a b"], 2, "a project is named by"),
        (["create", "", "--project", "a"], 2, "the name of a key has"),
        (["create", "x", "--expires", "soon"], 2, "must be a number and s, m, h, d or w"),
        (["create", "x", "--expires", "0d"], 2, "must be more than nothing"),
        (["create", "x", "--db", "missing/x.db"], 1, "the folder of missing/x.db does not exist"),
        (["revoke", "1", "--db", "missing.db"], 1, "there is no database at missing.db"),
        (["revoke", "7"], 1, "there is no key 7"),
    ],
)
def test_wrong_arguments(run, arguments, status, message):
    """What is wrong is told in one sentence, and no key is made."""
    make(run)
    ended = run("keys", *arguments)
    assert ended.returncode == status
    assert message in " ".join(ended.stderr.split())
    assert ended.stdout == ""
    assert len(run("keys", "list", "--json").stdout.splitlines()) == 1


def test_beside_a_receiver(serve, run):
    """A receiver that runs needs a key soon after the first was made, and none after its end."""
    _, url = serve()
    sent = {"url": f"{url}/report", "json": {}}
    assert httpx.post(**sent).status_code == 200
    old = make(run)
    assert until(lambda: httpx.post(**sent), 401) < 5

    def post(key):
        return httpx.post(**sent, headers={"Authorization": f"Bearer {key}"})

    new = make(run)
    assert until(lambda: post(new), 200) < 5
    assert post(old).status_code == 200
    run("keys", "revoke", 1)
    assert until(lambda: post(old), 401) < 5
    assert post(new).status_code == 200
    assert json.loads(run("keys", "list", "--json").stdout.splitlines()[1])["last_used_at"]


def test_beyond_loopback(run, serve):
    """A receiver with keys may listen for other machines, without a key of its own."""
    ended = run("serve", "--host", "0.0.0.0", "--port", 0)
    assert "make keys with `openpipe-report keys create`" in ended.stderr
    key = make(run, "--scope", "admin", "--project", "a")
    process, url = serve("--host", "0.0.0.0")
    lines = [process.stdout.readline() for _ in range(5)]
    assert "or one of `keys create`" in lines[-1]
    url = url.replace("0.0.0.0", "127.0.0.1")
    assert httpx.get(f"{url}/reports").status_code == 401
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx.post(f"{url}/report", json={}, headers=headers).status_code == 200
    assert [json.loads(line)["id"] for line in run("logs", "--json").stdout.splitlines()] == [1]
    for project, count in (("a", 1), ("b", 0)):
        shown = run("logs", "--json", "--project", project).stdout
        assert len(shown.splitlines()) == count


def test_made_key_as_simple_key(run, serve):
    """A key of `keys create` in OPENPIPE_API_KEY gives `serve` no other key, and no more rights."""
    ended = run("serve", "--port", 0, OPENPIPE_API_KEY="opr_of-another-database")
    assert ended.returncode == 1
    assert "has a key of `keys create`, and openpipe-reports.db has no keys" in ended.stderr
    key = make(run, "--scope", "write", "--project", "a")
    _, url = serve(OPENPIPE_API_KEY=key)
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx.post(f"{url}/report", json={}, headers=headers).status_code == 200
    assert httpx.get(f"{url}/reports", headers=headers).status_code == 403
    shown = run("logs", "--json", "--project", "a", OPENPIPE_API_KEY="").stdout
    assert len(shown.splitlines()) == 1
