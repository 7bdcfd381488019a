"""What only a database server has: URLs, several receivers, lost connections, its own limits."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from support.postgresql import QUICK, running_server, to_libpq

from openpipe_report.server.store import (
    Filter,
    IdempotencyConflictError,
    Store,
    StoreError,
    StoreUnavailableError,
)
from openpipe_report.server.store.migrating import SCHEMA_VERSION

PASSWORD = "secret-word"


def execute(url, statement):
    with psycopg.connect(to_libpq(url), autocommit=True) as connection:
        return connection.execute(statement)


def chat(content):
    return {"reqPayload": {"messages": [{"role": "user", "content": content}]}}


def test_creates_tables(empty_postgresql):
    """The tables are created in an empty database, which a reader is told of before."""
    with pytest.raises(StoreError, match="openpipe-report serve --db") as caught:
        Store(empty_postgresql, read_only=True)
    assert PASSWORD not in str(caught.value)
    with Store(empty_postgresql) as store:
        store.add({"statusCode": 1}).result()
    with Store(empty_postgresql, read_only=True) as store:
        assert [row.status for row in store.recent()] == [1]
        with pytest.raises(StoreError, match="read only"):
            store.add({})


def test_starts_at_the_same_time(empty_postgresql):
    """Of receivers that start at the same time one creates the tables, and all go on."""
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(Store, [empty_postgresql] * 4))
    for store in stores:
        store.add({}).result()
    assert stores[0].count() == 4
    for store in stores:
        store.close()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_schemes(postgresql, scheme):
    """The usual spellings of the scheme name the same driver."""
    with Store(postgresql.replace("postgresql+psycopg", scheme)) as store:
        assert store.name.startswith("postgresql+psycopg://tests:***@127.0.0.1:")


@pytest.mark.parametrize(
    "change, message",
    [
        pytest.param(("127.0.0.1", "127.0.0.2"), r"cannot use .*127\.0\.0\.2", id="no server"),
        pytest.param((PASSWORD, "wrong-word"), "password authentication failed", id="password"),
        pytest.param(("reports_", "nosuch_"), 'database "nosuch_.*does not exist', id="database"),
        pytest.param(("tests:", "tests:a@"), "cannot be read.*PGPASSWORD", id="unescaped @"),
        pytest.param(("tests:", "tests:a/"), "password authentication", id="unescaped slash"),
        pytest.param(("@127.0.0.1:", "@127.0.0.1:x"), "cannot be read.*PGPASSWORD", id="port"),
        pytest.param(("+psycopg", "+asyncpg"), "asyncpg is not supported", id="driver"),
    ],
)
@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
def test_unusable_url(postgresql, change, message, read_only):
    """A URL that cannot be used is an error that has the remedy and not the password."""
    with pytest.raises(StoreError, match=message) as caught:
        Store(postgresql.replace(*change), read_only=read_only)
    assert PASSWORD not in str(caught.value)
    assert "wrong-word" not in str(caught.value)


def test_password_of_the_query_is_masked(postgresql):
    """A password that is given as a parameter is masked as well."""
    url = postgresql.replace(f":{PASSWORD}", "") + f"?password={PASSWORD}"
    with Store(url) as store:
        assert PASSWORD not in store.name


def test_password_of_the_environment(postgresql, monkeypatch, tmp_path):
    """The password may be in `PGPASSWORD`, and all may be in a service file."""
    bare = postgresql.replace(f":{PASSWORD}", "")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with Store(bare) as store:
        store.add({"statusCode": 1}).result()
    monkeypatch.delenv("PGPASSWORD")
    address, _, database = bare.rpartition("/")
    port = address.rpartition(":")[2]
    service = tmp_path / "services"
    service.write_text(
        f"[ours]\nhost=127.0.0.1\nport={port}\nuser=tests\npassword={PASSWORD}\ndbname={database}\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    with Store("postgresql+psycopg:///?service=ours") as store:
        assert store.count() == 1


def test_schema_of_its_own(empty_postgresql):
    """Beside another program's tables, the receiver has a schema of its own."""
    execute(empty_postgresql, "CREATE TABLE reports (id int)")
    with pytest.raises(StoreError, match="tables of another program"):
        Store(empty_postgresql)
    execute(empty_postgresql, "CREATE SCHEMA ours")
    with Store(f"{empty_postgresql}?options=-csearch_path%3Dours") as store:
        store.add({}).result()
        assert store.count() == 1
    assert execute(empty_postgresql, "SELECT * FROM public.reports").fetchall() == []


@pytest.mark.parametrize(
    "revision, message",
    [
        pytest.param("ae1027a6acf", "tables of another program", id="another program's"),
        pytest.param("0099", "newer openpipe-report .*schema 99.*pip install -U", id="newer"),
    ],
)
@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
def test_refuses_tables(postgresql, revision, message, read_only):
    """Tables that are not the receiver's, or a newer one's, are refused and left alone."""
    execute(postgresql, f"UPDATE alembic_version SET version_num = '{revision}'")
    with pytest.raises(StoreError, match=message):
        Store(postgresql, read_only=read_only)


def test_reading_older_tables(postgresql):
    """Older tables that are opened to read are left alone; the error says what to do."""
    older = f"{SCHEMA_VERSION - 1:04}"
    execute(postgresql, f"UPDATE alembic_version SET version_num = '{older}'")
    with pytest.raises(StoreError, match=r"older openpipe-report .*serve --db"):
        Store(postgresql, read_only=True)


def test_encoding(postgresql_server):
    """A database that cannot hold every text is refused."""
    url = postgresql_server.url(postgresql_server.create_database("template0 ENCODING 'LATIN1'"))
    with pytest.raises(StoreError, match="ENCODING 'UTF8'"):
        Store(url)


def test_key_at_two_receivers(postgresql):
    """A report that two receivers get at the same time with one key is stored once."""
    with Store(postgresql) as one, Store(postgresql) as two:
        waiting = [
            store.add({"statusCode": number}, idempotency_key=f"k{number}")
            for number in range(500)
            for store in (one, two)
        ]
        for future in waiting:
            future.result()
        assert sorted(row.status for row in one.recent()) == list(range(500))
        assert [row.id for row in one.recent()] == list(range(1, 501))
        with pytest.raises(IdempotencyConflictError):
            two.add({"statusCode": 1}, idempotency_key="k0").result()


def test_ids_are_seen_in_order(postgresql):
    """Who follows by id misses no report of concurrent receivers, whichever commits first."""
    stores = [Store(postgresql) for _ in range(3)]
    is_done = threading.Event()
    seen = []

    def follow():
        with Store(postgresql, read_only=True) as reader:
            while True:
                last_round = is_done.is_set()
                while rows := reader.queries.tail(seen[-1] if seen else 0):
                    seen.extend(row.id for row in rows)
                if last_round:
                    return

    follower = threading.Thread(target=follow)
    follower.start()
    pick = random.Random(1)
    waiting = [pick.choice(stores).add(chat("x" * pick.randint(0, 5_000))) for _ in range(1_500)]
    for future in waiting:
        future.result()
    is_done.set()
    follower.join()
    for store in stores:
        store.close()
    assert seen == list(range(1, 1_501))


def test_feedback_at_another_receiver(postgresql):
    """Feedback that another receiver gets before the report is applied to it."""
    with Store(postgresql) as one, Store(postgresql) as two:
        wanted = [{"field": "completionId", "equals": "id-7"}]
        assert one.update_metadata(wanted, {"score": "1"}).result() == 0
        two.add({"respPayload": {"id": "id-7"}}).result()
        assert one.recent()[0].metadata == {"score": "1"}


def test_locked(postgresql, monkeypatch):
    """While somebody holds the lock longer than we wait, the failure is a temporary one."""
    monkeypatch.setattr("openpipe_report.server.store.postgresql.engine.LOCK_TIMEOUT", 0.05)
    with Store(postgresql) as store:
        with psycopg.connect(to_libpq(postgresql)) as other:
            other.execute("SELECT * FROM last_ids FOR UPDATE")
            with pytest.raises(StoreUnavailableError, match="lock timeout"):
                store.add({"statusCode": 1}).result()
        store.add({"statusCode": 2}).result()
        assert [(row.id, row.status) for row in store.recent()] == [(1, 2)]


def test_refused_write(postgresql, caplog):
    """An error of PostgreSQL's is told without the row that it is about."""
    execute(postgresql, "ALTER TABLE reports ADD CHECK (error <> 'a secret')")
    with Store(postgresql) as store:
        waiting = [store.add({"errorMessage": text}) for text in ("a secret", "fine")]
        with pytest.raises(StoreError, match="CheckViolation") as caught:
            waiting[0].result()
        waiting[1].result()
        assert [row.error for row in store.recent()] == ["fine"]
    assert "a secret" not in str(caught.value)
    assert "a secret" not in caplog.text


def test_server_restarts(caplog):
    """While the server is away nothing is acknowledged; once it is back, all goes on."""
    with running_server(*QUICK) as server:
        url = server.url(server.create_database())
        with Store(url) as store:
            store.add({"statusCode": 1}).result()
            store.check_usable()
            server.stop()
            with pytest.raises(StoreUnavailableError, match="cannot be written"):
                store.add({"statusCode": 2}).result()
            with pytest.raises(StoreUnavailableError, match="cannot be read"):
                store.check_usable()
            server.start()
            store.add({"statusCode": 3}).result()
            store.check_usable()
            assert [row.status for row in store.recent()] == [1, 3]
    assert PASSWORD not in caplog.text
    assert any(one.levelno == logging.ERROR for one in caplog.records)


def test_hung_receiver(postgresql, monkeypatch):
    """A receiver that stops in the middle of a write does not keep the others from writing."""
    monkeypatch.setattr("openpipe_report.server.store.postgresql.engine.IDLE_TIMEOUT", 0.2)
    with Store(postgresql) as hung, Store(postgresql) as other:

        def hang():
            database = hung._database
            with database.engine.connect() as connection, database.transaction(connection):
                other.add({"statusCode": 1}).result()
                connection.exec_driver_sql("SELECT 1")

        with pytest.raises(StoreUnavailableError):
            hang()
        hung.add({"statusCode": 2}).result()
        assert [row.status for row in other.recent()] == [1, 2]


@pytest.mark.parametrize(
    "report",
    [
        pytest.param({"tags": {"a" * 300: "\U0001f600" * 2_000}}, id="long label"),
        pytest.param({"tags": {"\ud800" * 300: "\ud800" * 2_000}}, id="surrogates in a label"),
        pytest.param({"reqPayload": {"model": "\ud800" * 300}}, id="surrogates in a model"),
        pytest.param({"respPayload": {"id": "\U0001f600" * 300}}, id="long id"),
        pytest.param(chat("x" * 300_000), id="long word"),
        pytest.param(chat("\ufdfa" * 200_000), id="letters that are decomposed"),
        pytest.param(chat("".join(map(chr, range(0x4E00, 0x9FFF))) * 10), id="all Han characters"),
        pytest.param(chat("".join(map(chr, range(0x20000, 0x2A6DF))) * 5), id="rare characters"),
        pytest.param(chat(" ".join(map(str, range(60_000)))), id="many words"),
        pytest.param(chat("a' b\\ c'' \\' ':* & | ! <->"), id="quotes and operators"),
    ],
)
def test_beyond_an_index(postgresql, report):
    """What is longer than PostgreSQL's indexes hold is stored, and given back as it was."""
    with Store(postgresql) as store:
        store.add(report, idempotency_key="k" * 5_000).result()
        store.add(report, idempotency_key="k" * 5_000).result()
        assert [store.report(row.id) for row in store.recent()] == [report]
        for name in store.recent()[0].metadata:
            [value] = report["tags"].values()
            assert store.queries.count(Filter(metadata=((name, value),))) == 1
            assert store.queries.count(Filter(metadata=((name, value[:250]),))) == 0


@pytest.mark.parametrize(
    "text, content, count",
    [
        ("gpt-4o", "use gpt-4o", 1),
        ("gpt-4o", "a gpt, and 4o", 0),
        ("\u672c\u8a9e\u306f", "\u65e5\u672c\u8a9e\u306f\u96e3\u3057\u3044", 1),
        ("\u65e5\u672c\u8a9e", "\u65e5\u672c\u3068\u672c\u8a9e", 0),
        ("gpt-4o last", "gpt-4o " * 300 + "last", 1),
        ("gpt-4o", " ".join(map(str, range(20_000))) + " gpt-4o", 1),
        ("\u672c\u8a9e\u306f", "\u65e5\u672c\u8a9e\u306f" * 6_000, 1),
        ("\u672c\u8a9e\u306f" * 500, "\u65e5\u672c\u8a9e\u306f" * 6_000, 0),
        ("none", "gpt-4o " * 300 + "last", 0),
    ],
)
def test_phrases(postgresql, text, content, count):
    """Parts of a phrase must be neighbours; a text too long for that is found all the same."""
    with Store(postgresql) as store:
        store.add(chat(content)).result()
        assert store.queries.count(Filter(text=text)) == count


WITHOUT_PSYCOPG = """
import sys
sys.modules["psycopg"] = None
from openpipe_report.server.store import Store, StoreError
try:
    Store("postgresql+psycopg://u:secret-word@h/d")
except StoreError as error:
    print(error)
"""


def test_without_driver():
    """Without the extra, the error names it."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PSYCOPG],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    assert "pip install 'openpipe-report[postgres]'" in done.stdout
    assert PASSWORD not in done.stdout


@pytest.mark.parametrize("vacuuming", [None, True])
def test_erases(postgresql, tmp_path, vacuuming):
    """Reports are erased with their labels and words; their ids are not given again."""
    with Store(postgresql) as store:
        for number in range(20):
            store.add({**chat(f"needle n{number}"), "tags": {"odd": number % 2}}).result()
        assert store.erase(Filter(metadata=(("odd", 1),))) == 10
        assert len(store.wipe(vacuuming=vacuuming)) == (1 if vacuuming else 2)
        assert store.queries.count(Filter(text="needle")) == 10
        assert store.queries.count(Filter(text="needle n3")) == 0
        store.add({}).result()
        assert store.queries.newest_id() == 21
        with pytest.raises(StoreError, match="pg_dump"):
            store.back_up(tmp_path / "copy")
    for table, count in (("labels", 10), ("raw_reports", 11), ("report_search", 11)):
        assert execute(postgresql, f"SELECT count(*) FROM {table}").fetchall() == [(count,)]
