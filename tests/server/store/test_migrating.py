"""The upgrade of older files, and what the tables of a new file are."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from openpipe_report.server.store import Filter, IdempotencyConflictError, Store, StoreError
from openpipe_report.server.store.tables import metadata

FIRST_EDITION = """
PRAGMA application_id = 1330664048;
PRAGMA user_version = 1;
CREATE TABLE reports (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    stored_at FLOAT NOT NULL,
    idempotency_key VARCHAR,
    requested_at FLOAT,
    duration_ms FLOAT,
    endpoint VARCHAR,
    model VARCHAR,
    status INTEGER,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    total_tokens INTEGER,
    error VARCHAR,
    metadata_json TEXT,
    report TEXT NOT NULL,
    UNIQUE (idempotency_key)
);
PRAGMA journal_mode = WAL;
"""
SCHEMA_2 = Path(__file__).parent / "data" / "schema_2.sql"
CHAT = (
    '{"requestedAt":1700000000000,"statusCode":200,"reqPayload":{"model":"gpt-4o-mini",'
    '"messages":[{"role":"user","content":"a caf\\u00e9 needle"}],"metadata":{"user":"ada"}},'
    '"respPayload":{"id":"id-1","object":"chat.completion","model":"gpt-4o-mini",'
    '"usage":{"prompt_tokens":1000,"completion_tokens":0}}}'
)


def make_first_edition(path, rows):
    """Write a file as the first edition did, with these ids, keys and reports."""
    with sqlite3.connect(path) as other:
        other.executescript(FIRST_EDITION)
        other.executemany(
            "INSERT INTO reports(id, stored_at, idempotency_key, report) VALUES (?, 5.5, ?, ?)",
            rows,
        )
    other.close()


def make_schema_2(path):
    """Write a file of schema 2, with the reports 1 to 3, one changed label and one that waits."""
    with sqlite3.connect(path) as other:
        other.executescript(SCHEMA_2.read_text())
    other.close()


def content(path, query="SELECT id, idempotency_key, report FROM reports"):
    with sqlite3.connect(path) as other:
        found = other.execute(query).fetchall()
    other.close()
    return found


def test_upgrade(path):
    """Every report is kept with its id, time and key; all else is derived, and can be searched."""
    make_first_edition(path, [(3, "k", CHAT), (9, None, "{}")])
    told = []
    with Store(path, progress=lambda *progress: told.append(progress)) as store:
        assert told == [(2, 2)]
        row, empty = store.recent()
        assert (row.id, row.stored_at, row.idempotency_key) == (3, 5.5, "k")
        assert (row.endpoint, row.model, row.metadata) == (
            "chat/completions",
            "gpt-4o-mini",
            {"user": "ada"},
        )
        assert row.cost == pytest.approx(0.00015)
        assert (empty.id, store.report(9)) == (9, {})
        store.start()
        while store.queries.unindexed():
            pass
        assert store.queries.count(Filter(text="cafe needle")) == 1
    assert content(path, "SELECT report FROM raw_reports WHERE report_id = 3") == [(CHAT,)]


def test_backup(path):
    """The older file is kept beside, with all it had, readable by its owner only."""
    rows = [(number, f"k{number}", CHAT) for number in range(1, 1_201)]
    make_first_edition(path, rows)
    path.chmod(0o644)
    Store(path).close()
    backup = path.with_name("reports.db.schema-1.backup")
    assert content(backup) == rows
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(one.name for one in path.parent.iterdir()) == [path.name, backup.name]
    Store(path).close()
    assert content(backup) == rows


def test_ids_are_not_given_again(path):
    """An id that the first edition had given is not given again, even if its report is gone."""
    make_first_edition(path, [(1, None, "{}"), (7, None, "{}")])
    with sqlite3.connect(path) as other:
        other.execute("DELETE FROM reports")
    other.close()
    with Store(path) as store:
        store.add({}).result()
        assert [row.id for row in store.recent()] == [8]


def test_key_of_older_report(path):
    """A key that the first edition stored is still known."""
    make_first_edition(path, [(1, "k", '{"statusCode":200}')])
    with Store(path) as store:
        store.add({"statusCode": 200}, idempotency_key="k").result()
        assert store.count() == 1


def test_upgrade_of_schema_2(path):
    """All reports, keys, labels and waiting changes are kept, in the project `default`."""
    make_schema_2(path)
    columns = content(path, "SELECT * FROM reports")
    with Store(path) as store:
        one, two, three = store.recent()
        assert {row.project for row in (one, two, three)} == {"default"}
        assert [row.idempotency_key for row in (one, two, three)] == ["k1", "k2", None]
        assert (one.metadata, two.metadata) == ({"user": "u1", "score": "5"}, {"user": "u2"})
        store.add({}, idempotency_key="k1", project="other").result()
        with pytest.raises(IdempotencyConflictError):
            store.add({}, idempotency_key="k1").result()
        store.add({"respPayload": {"id": "id-9"}}, project="other").result()
        store.add({"respPayload": {"id": "id-9"}}).result()
        assert [row.metadata for row in store.recent(2)] == [{}, {"score": "9"}]
        store.start()
        while store.queries.unindexed():
            pass
        assert store.queries.count(Filter(text="needle2")) == 1
    assert content(path.with_name("reports.db.schema-2.backup"), "SELECT * FROM reports") == columns
    upgraded = content(path, "SELECT * FROM reports WHERE id <= 3")
    assert [(row[0], *row[2:]) for row in upgraded] == columns


def test_failed_upgrade(path):
    """An upgrade that fails leaves the file as it was."""
    make_first_edition(path, [(1, None, CHAT), (2, None, "not JSON")])
    with pytest.raises(ValueError, match="Expecting value"):
        Store(path)
    assert len(content(path)) == 2
    assert content(path, "PRAGMA user_version") == [(1,)]


def test_reading_older_file(path):
    """An older file that is opened to read is left alone; the error says what to do."""
    make_first_edition(path, [(1, None, "{}")])
    with pytest.raises(StoreError, match=r"older .*openpipe-report serve --db .*reports\.db"):
        Store(path, read_only=True)
    assert content(path) == [(1, None, "{}")]


@pytest.mark.parametrize("schema", [None, 1, 2])
def test_tables(path, schema):
    """The tables of a new file and of an upgraded one are those of the code."""
    if schema == 1:
        make_first_edition(path, [])
    elif schema == 2:
        make_schema_2(path)
    Store(path).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        ours = {
            "include_object": lambda _object, name, kind, *_: (
                kind != "table" or name in metadata.tables
            )
        }
        context = MigrationContext.configure(connection, opts={"compare_type": True, **ours})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == "0003"
    engine.dispose()
    assert content(path, "PRAGMA user_version") == [(3,)]
