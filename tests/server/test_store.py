"""The store: commits, derived columns, and the check of files."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from dirty_equals import IsNow

from openpipe_report.server.store import Store, StoreError
from openpipe_report.server.store.migrating import SCHEMA_VERSION


@pytest.fixture
def path(tmp_path):
    return tmp_path / "reports.db"


@pytest.fixture
def store(source):
    with Store(source) as opened:
        yield opened


@pytest.fixture
def file_store(path):
    with Store(path) as opened:
        yield opened


def test_stored_at(store):
    """A report without a time has the receiver's."""
    store.add({}).result()
    (row,) = store.recent()
    assert row.stored_at / 1_000 == IsNow(unix_number=True, delta=60)


def test_reads_in_order(store):
    """`recent` gives the newest, oldest first; `reports` all of them."""
    for status in range(5):
        store.add({"statusCode": status}).result()
    assert [row.status for row in store.recent(2)] == [3, 4]
    assert [row.status for row in store.recent()] == [0, 1, 2, 3, 4]
    assert list(store.reports()) == [{"statusCode": status} for status in range(5)]
    assert store.count() == 5


@pytest.mark.parametrize("report_id", [0, -1, 2, 10**30])
def test_unknown_id(store, report_id):
    """An id that no report has gives None."""
    store.add({}).result()
    assert store.report(report_id) is None


@pytest.mark.parametrize("number", [float("nan"), float("inf")], ids=str)
def test_refuses_what_json_cannot_say(store, number):
    """A number that is not JSON raises at once."""
    with pytest.raises(ValueError, match="JSON"):
        store.add({"reqPayload": number})


def test_many_threads(store):
    """Reports of many threads are each stored once, a repeated key among them too."""
    with ThreadPoolExecutor(8) as pool:
        futures = list(
            pool.map(
                lambda n: store.add({"statusCode": n // 2}, idempotency_key=f"{n // 2}"),
                range(1_000),
            )
        )
    assert [future.result() for future in futures] == [None] * 1_000
    assert store.count() == 500
    assert sorted(row.status for row in store.recent()) == list(range(500))


def test_close_commits(source):
    """Closing commits what was added before it; adding after it raises."""
    store = Store(source)
    futures = [store.add({"statusCode": n}) for n in range(50)]
    store.close()
    store.close()
    assert all(future.done() for future in futures)
    with pytest.raises(StoreError, match="closed"):
        store.add({})
    with Store(source) as again:
        assert again.count() == 50


def test_key_is_remembered(source):
    """A key is remembered in the file, not only while the process runs."""
    for _ in range(2):
        with Store(source) as store:
            store.add({}, idempotency_key="k").result()
    with Store(source, read_only=True) as store:
        assert store.count() == 1


def test_failure_reaches_the_caller(file_store, path):
    """A failed commit fails the report's future, and the next report is stored."""
    file_store.add({}).result()
    with sqlite3.connect(path) as other:
        other.execute("ALTER TABLE reports RENAME TO away")
    other.close()
    with pytest.raises(Exception, match="no such table") as caught:
        file_store.add({"errorMessage": "secret"}).result()
    assert "secret" not in str(caught.value)
    with sqlite3.connect(path) as other:
        other.execute("ALTER TABLE away RENAME TO reports")
    other.close()
    file_store.add({}).result()
    assert file_store.count() == 2


def test_durable_settings(file_store, path):
    """The file is in WAL mode and carries the schema's version."""
    with sqlite3.connect(path) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert other.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    other.close()


KILLED = """
import os, signal, sys
from openpipe_report.server.store import Store, StoreError
store = Store(sys.argv[1])
store.add({"statusCode": 200}).result()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_survives_kill(source):
    """A report whose future was done is there after `kill -9`."""
    subprocess.run([sys.executable, "-c", KILLED, str(source)], check=False)
    with Store(source, read_only=True) as store:
        assert list(store.reports()) == [{"statusCode": 200}]


def make_text(path):
    path.write_text("not a database, but long enough to have a header " * 10)


def make_foreign(path):
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (id)")
    other.close()


def make_newer(path):
    Store(path).close()
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    other.close()


@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
@pytest.mark.parametrize(
    "make, message",
    [
        pytest.param(make_text, "is not an SQLite database", id="text"),
        pytest.param(make_foreign, "another program", id="another program's"),
        pytest.param(make_newer, "newer openpipe-report .*pip install -U", id="newer"),
        pytest.param(lambda path: path.mkdir(), "is a folder", id="folder"),
    ],
)
def test_refuses_file(path, make, message, read_only):
    """A file that is not the receiver's is refused by name, with a remedy, and unchanged."""
    make(path)
    before = None if path.is_dir() else path.read_bytes()
    with pytest.raises(StoreError, match=message) as caught:
        Store(path, read_only=read_only)
    assert str(path) in str(caught.value)
    assert before is None or path.read_bytes() == before


def test_reading_makes_no_file(path):
    """Opening a missing file for reading says how to create one, and creates none."""
    with pytest.raises(StoreError, match="openpipe-report serve --db"):
        Store(path, read_only=True)
    assert not path.exists()
    with pytest.raises(StoreError, match="folder of"):
        Store(path / "deeper")


def test_reading_writes_nothing(source):
    """A store opened to read refuses to add."""
    Store(source).close()
    with Store(source, read_only=True) as store, pytest.raises(StoreError, match="read only"):
        store.add({}).result()


def test_two_processes_of_one_file(source, store):
    """Two stores of one file take turns."""
    with Store(source) as second:
        futures = [one.add({}) for _ in range(100) for one in (store, second)]
        for future in futures:
            future.result()
        assert second.count() == 200
