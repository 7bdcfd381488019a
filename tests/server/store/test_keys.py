"""API keys in the database."""

from __future__ import annotations

import time

import pytest

from openpipe_report.server.store import Store, StoreError
from openpipe_report.server.store import keys as keys_module
from openpipe_report.server.store.keys import hash_key


def files(folder):
    return b"".join(one.read_bytes() for one in folder.iterdir())


def test_create(file_store, path):
    """A key has a prefix and 256 random bits, and is nowhere in the files; its hash is."""
    row, key = file_store.keys.create("ci", project="team-a", scope="write")
    other, other_key = file_store.keys.create("ci", project="team-a", scope="write")
    assert key.startswith("opr_")
    assert len(key) == len("opr_") + 43
    assert key != other_key
    assert file_store.keys.all() == [row, other]
    assert (row.name, row.project, row.scope) == ("ci", "team-a", "write")
    assert (row.expires_at, row.revoked_at, row.last_used_at) == (None, None, None)
    assert abs(row.created_at - time.time() * 1_000) < 60_000
    assert key.removeprefix("opr_").encode() not in files(path.parent)
    assert hash_key(key).encode() in files(path.parent)
    assert file_store.keys.accepted().by_hash == {hash_key(key): row, hash_key(other_key): other}


def test_states(store):
    """A key that is revoked or expired is accepted no longer, and is still listed."""
    now = time.time() * 1_000
    active, active_key = store.keys.create("active", project="a", scope="read", expires_at=now * 2)
    expired, _ = store.keys.create("expired", project="a", scope="read", expires_at=now - 1)
    revoked, _ = store.keys.create("revoked", project="a", scope="read", expires_at=now - 1)
    assert store.keys.revoke([revoked.id, 99]) == [revoked]
    assert store.keys.revoke([revoked.id]) == []
    assert [one.state(now) for one in store.keys.all()] == ["active", "expired", "revoked"]
    assert store.keys.accepted().by_hash == {hash_key(active_key): active}
    assert expired in store.keys.all()


def test_are_required(store):
    """Keys are required from the first one on, also once it is revoked."""
    assert (store.keys.exist(), store.keys.accepted().are_required) == (False, False)
    row, _ = store.keys.create("one", project="a", scope="read")
    store.keys.revoke([row.id])
    assert (store.keys.exist(), store.keys.accepted().are_required) == (True, True)


def test_last_use(store):
    """The time of the last use is kept."""
    row, _ = store.keys.create("one", project="a", scope="read")
    store.keys.mark_used(row.id, 5.0).result()
    assert store.keys.all()[0].last_used_at == 5.0


@pytest.mark.parametrize(
    "changed",
    [
        {"name": ""},
        {"name": "x" * 101},
        {"name": "a\nb"},
        {"name": "a\x1b[31mb"},
        {"name": "\ud800"},
        {"project": ""},
        {"project": "-a"},
        {"project": "a b"},
        {"project": "a/b"},
        {"project": "a\n"},
        {"project": "é"},
        {"project": "x" * 65},
        {"scope": "all"},
        {"scope": "Read"},
    ],
)
def test_wrong_arguments(store, changed):
    """A wrong name, project or scope is an error, and nothing is made."""
    arguments = {"name": "ci", "project": "a", "scope": "read", **changed}
    with pytest.raises(ValueError):
        store.keys.create(arguments.pop("name"), **arguments)
    assert store.keys.all() == []


def test_too_many(store, monkeypatch):
    """The number of keys that are accepted is bounded; a revoked one makes room."""
    monkeypatch.setattr(keys_module, "MAX_KEYS", 2)
    rows = [store.keys.create("one", project="a", scope="read")[0] for _ in range(2)]
    with pytest.raises(StoreError, match="revoke some"):
        store.keys.create("one", project="a", scope="read")
    store.keys.revoke([rows[0].id])
    store.keys.create("one", project="a", scope="read")


def test_reading_only(path):
    """A store that is opened to read lists keys and makes none."""
    Store(path).close()
    with Store(path, read_only=True) as store:
        assert store.keys.all() == []
        with pytest.raises(StoreError, match="read only"):
            store.keys.create("one", project="a", scope="read")
