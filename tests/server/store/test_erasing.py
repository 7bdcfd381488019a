"""Erasing reports, beside running writes and so that no byte of them is left."""

from __future__ import annotations

import random
import sqlite3
import threading

import pytest
from dirty_equals import IsStr

from openpipe_report.server.store import Filter, Store, wiping

VOCABULARY = ["".join(random.Random(n).choices("abcdefghij", k=8)) for n in range(500)]
SECRET = "zqsecret"


def report(number, word="plain"):
    """Return a report with a word in all its texts, ids and labels, of very different sizes."""
    chosen = random.Random(number)
    text = " ".join(chosen.choices(VOCABULARY, k=chosen.randrange(150)))
    return {
        "requestedAt": 1_700_000_000_000 + number,
        "errorMessage": f"failed: {word}{number}" if number % 5 == 0 else None,
        "reqPayload": {
            "model": f"model-{word}",
            "messages": [{"role": "user", "content": f"{text} {word}{number} 東京{word}の天気"}],
            "metadata": {"user": word, "note": f"{word} {number}", f"name-{word}": "v"},
        },
        "respPayload": {"id": f"id-{word}-{number}", "filler": "x" * chosen.randrange(9_000)},
        "tags": {"$trace_id": f"trace-{word}-{number}"},
    }


def is_left(path):
    """Whether the word is anywhere in the files of a store."""
    return any(SECRET.encode() in one.read_bytes() for one in path.parent.iterdir())


def fill(store, count):
    added = [
        store.add(
            {k: v for k, v in report(n, word).items() if v is not None},
            idempotency_key=f"key-{word}-{n}",
        )
        for n in range(count)
        for word in [SECRET if n % 7 == 3 else f"user{n % 7}"]
    ]
    for one in added:
        one.result()
    wanted = [{"field": "metadata.user", "equals": SECRET}]
    for number in range(2):
        store.update_metadata(wanted, {"comment": f"{SECRET} {number} " * 5}).result()
    store.start()
    while store.queries.unindexed():
        pass


OF_SECRET = Filter(metadata=(("user", SECRET),))


@pytest.mark.parametrize("full_text", [True, False], ids=["FTS5", "plain text"])
def test_nothing_is_left(path, full_text):
    """No byte of an erased report is left: not its text, labels, ids, keys or words."""
    with Store(path, full_text=full_text) as store:
        fill(store, 700)
        assert is_left(path)
        assert store.erase(OF_SECRET) == 100
        assert store.wipe() == []
        assert not is_left(path)
        assert store.count() == 600
        assert store.queries.count(Filter(text="user1")) == 100
        assert store.queries.count(Filter(text="東京user1の")) == 100
        assert store.queries.count(Filter(text=SECRET)) == 0
        assert len(store.recent()[0].metadata) == 3
    assert not is_left(path)
    with sqlite3.connect(path) as other:
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if full_text:
            check = "INSERT INTO report_search(report_search) VALUES ('integrity-check')"
            other.execute(check)
    other.close()


@pytest.mark.parametrize("full_text", [True, False], ids=["FTS5", "plain text"])
def test_no_text_is_left_in_a_large_file(path, full_text, monkeypatch):
    """Of a file that is not written anew, prompts and answers are wiped, free pages too."""
    monkeypatch.setattr(wiping, "SMALL", 0)
    added = []
    with Store(path, full_text=full_text) as store:
        for number in range(600):
            one = report(number) | {"errorMessage": "e"}
            if number % 6 == 1:
                one["respPayload"]["content"] = f"{SECRET} {SECRET}{number} 東京{SECRET}の " * 9
            added.append(store.add(one))
        for one in added:
            one.result()
        store.start()
        while store.queries.unindexed():
            pass
        assert store.erase(Filter(text=SECRET)) == 100
        assert store.wipe() == [IsStr(regex="Ids and labels may be left.*")]
        assert not is_left(path)
        assert store.queries.count(Filter(text="plain599")) == 1
        assert store.wipe(vacuuming=True) == []
    with sqlite3.connect(path) as other:
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        query = "SELECT count(*) FROM sqlite_master WHERE name = 'wiped_pages'"
        assert other.execute(query).fetchone() == (0,)
    other.close()


@pytest.mark.parametrize(
    "wanted, left",
    [
        (Filter(), []),
        (Filter(until=1_700_000_000_003), [3, 4, 5]),
        (Filter(model="model-user1"), [0, 2, 3, 4, 5]),
        (Filter(text="user2"), [0, 1, 3, 4, 5]),
        (Filter(error=True), [1, 2, 3, 4]),
        (Filter(project="other"), [0, 1, 2, 3, 4, 5]),
        (Filter(project="default"), []),
    ],
)
def test_filters(store, wanted, left):
    """The reports that match are erased, and no others."""
    fill(store, 6)
    assert store.erase(wanted) == 6 - len(left)
    assert [row.requested_at - 1_700_000_000_000 for row in store.queries.iterate()] == left
    assert store.erase(wanted) == 0


def test_waiting_changes(file_store, path):
    """Changes that wait for a report are erased with it, and with a label that they name."""
    store = file_store
    fill(store, 7)
    by_completion = [{"field": "completionId", "equals": f"later-{number}"} for number in range(4)]
    of_secret = {"field": "metadata.user", "equals": SECRET}
    store.update_metadata([by_completion[0], of_secret], {"score": "1"}).result()
    store.update_metadata([by_completion[1]], {"user": SECRET, "score": "1"}).result()
    store.update_metadata([by_completion[2]], {"user": "other", "score": "1"}).result()
    ids = [{"field": "completionId", "equals": f"id-{SECRET}-3"}]
    store.update_metadata([*ids, {"field": "model", "equals": "x"}], {"score": SECRET}).result()
    store.erase(OF_SECRET)
    store.wipe()
    assert not is_left(path)
    store.add({"respPayload": {"id": "later-2"}}).result()
    assert store.recent(1)[0].metadata == {"user": "other", "score": "1"}


def test_other_projects(store):
    """Erasing in one project leaves the reports and waiting changes of the others."""
    for project in ("a", "b"):
        store.add(report(3, SECRET) | {"errorMessage": "e"}, project=project).result()
        waiting = [{"field": "completionId", "equals": "later"}]
        store.update_metadata(waiting, {"user": SECRET}, project=project).result()
    assert store.erase(Filter(project="a", metadata=OF_SECRET.metadata)) == 1
    for project in ("a", "b"):
        store.add({"respPayload": {"id": "later"}}, project=project).result()
    found = [(row.project, row.metadata.get("user")) for row in store.recent()]
    assert found == [("b", SECRET), ("a", None), ("b", SECRET)]


def test_beside_writes(file_store, path):
    """Reports that come meanwhile are all stored and found, and those that match are erased too."""
    store = file_store
    fill(store, 350)
    stop = threading.Event()
    added = []

    def add():
        while not stop.is_set():
            store.add(report(1, "meanwhile"), idempotency_key=str(len(added))).result()
            added.append(1)

    thread = threading.Thread(target=add)
    thread.start()
    try:
        assert store.erase(OF_SECRET) == 50
        store.wipe()
    finally:
        stop.set()
        thread.join()
    while store.queries.unindexed():
        pass
    assert store.queries.count(Filter(text="meanwhile1")) == len(added)
    assert store.count() == 300 + len(added)
    assert store.wipe() == []
    assert not is_left(path)


def test_wiping_a_server(postgresql):
    """On PostgreSQL the tables are vacuumed, and what may be left is told."""
    with Store(postgresql) as store:
        fill(store, 14)
        assert store.erase(OF_SECRET) == 2
        log = IsStr(regex="The server's log of changes.*")
        told = []
        free = IsStr(regex=".*--vacuum removes them.*")
        assert store.wipe(lambda: told.append(1)) == [log, free]
        assert store.wipe(vacuuming=True) == [log]
        assert len(told) == 5
        assert store.count() == 12


def test_progress_and_stop(store):
    """Progress is told after each step, and the rest is left where erasing is stopped."""
    fill(store, 120)
    told = []
    assert store.erase(Filter(), progress=told.append, is_stopped=lambda: len(told) == 2) == 100
    assert told == [50, 100]
    assert store.count() == 20


def test_before_it_is_indexed(path):
    """A report that is erased before it is in the search index never comes into it."""
    with Store(path) as store:
        store.add(report(3, SECRET) | {"errorMessage": "e"}).result()
        store.erase(Filter())
        store.add(report(1)).result()
        while store.queries.unindexed():
            pass
        assert store.queries.count(Filter(text="plain1")) == 1
        store.wipe()
        assert not is_left(path)
    with Store(path) as store:
        store.add(report(2)).result()
        assert [row.id for row in store.recent()] == [2, 3]


def test_key_of_an_erased_report(store):
    """The Idempotency-Key of an erased report is free."""
    store.add({}, idempotency_key="k").result()
    store.erase(Filter())
    store.add({"statusCode": 200}, idempotency_key="k").result()
    assert [row.id for row in store.recent()] == [2]


def test_large_reports(store):
    """Reports of many megabytes are erased in steps of their own."""
    for _ in range(3):
        store.add({"reqPayload": {"text": "x" * 3_000_000}}).result()
    told = []
    assert store.erase(Filter(), progress=told.append) == 3
    assert told == [1, 2, 3]


def test_reader_that_does_not_end(file_store, path):
    """While somebody reads, the `-wal` cannot be emptied, and that is told."""
    store = file_store
    fill(store, 7)
    with sqlite3.connect(path) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM reports").fetchall()
        store.erase(OF_SECRET)
        assert store.wipe() == [IsStr(regex="Some pages may be left.*")]
    other.close()
    assert store.wipe() == []
    assert not is_left(path)
